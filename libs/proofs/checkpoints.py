"""A log's state as it is signed: whose log, how many leaves, which root (C2SP tlog-checkpoint)."""

from collections.abc import Iterable

from msgspec import Struct

from libs.proofs.merkle import HASH_BYTES
from libs.proofs.notes import (
    NoteError,
    SigningKey,
    VerifierKey,
    from_base64,
    open_note,
    sign_note,
    to_base64,
)


class Checkpoint(Struct, frozen=True, kw_only=True):
    """A tree of `size` leaves, of the log named `origin`."""

    origin: str
    size: int
    root: bytes

    def sign(self, key: SigningKey) -> str:
        """The checkpoint as a signed note."""
        return sign_note(f"{self.origin}\n{self.size}\n{to_base64(self.root)}\n", key)


def open_checkpoint(note: str, keys: Iterable[VerifierKey], origin: str) -> Checkpoint:
    """The checkpoint in a signed note, of that log.

    Raises:
        NoteError: it is none, it was changed, or it is of another log.
    """
    lines = open_note(note, keys).split("\n")
    if len(lines) != 4 or lines[3]:
        raise NoteError("It is not a checkpoint of ours: it must have three lines.")
    named, size, root = lines[:3]
    if named != origin:
        raise NoteError(f"It is a checkpoint of {named[:50]!r}, not of {origin!r}.")
    if not (size.isascii() and size.isdigit()) or str(int(size)) != size:
        raise NoteError(f"{size[:50]!r} is not the size of a log.")
    found = from_base64(root)
    if len(found) != HASH_BYTES:
        raise NoteError("The root of the checkpoint is not a hash.")
    return Checkpoint(origin=origin, size=int(size), root=found)
