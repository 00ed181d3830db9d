"""The ledger's Merkle log: which events are its leaves, and what a seal adds to it."""

from collections.abc import Mapping, Sequence
from uuid import UUID

from msgspec import Struct

from libs.events.operations import LogSealed, SealedLeaf
from libs.proofs import tiles
from libs.proofs.merkle import HASH_BYTES
from libs.proofs.notes import NoteError, from_base64, to_base64
from libs.proofs.tiles import TileKey
from services.ledger.domain.errors import BrokenLogError


class Leaf(Struct, frozen=True, gc=False):
    """A credits event and the hash of its canonical JSON."""

    event_id: UUID
    hash: bytes


class Growth(Struct, frozen=True, kw_only=True):
    """A log that has grown: tiles that are new or longer, and its root."""

    position: int
    size: int
    root: bytes
    tiles: Mapping[TileKey, bytes]
    leaves: Sequence[Leaf]

    def seal(self) -> LogSealed:
        """What is told of it."""
        return LogSealed(
            position=self.position,
            size=self.size,
            root=to_base64(self.root),
            leaves=tuple(
                SealedLeaf(event_id=each.event_id, hash=to_base64(each.hash))
                for each in self.leaves
            ),
        )


def grow(size: int, edge: Mapping[TileKey, bytes], leaves: Sequence[Leaf]) -> Growth:
    """Append leaves to a log of that size; `edge` are the last tiles of its levels."""
    changed = tiles.append(size, edge, [each.hash for each in leaves])
    grown = size + len(leaves)
    return Growth(
        position=size,
        size=grown,
        root=tiles.root(grown, {**edge, **changed}),
        tiles=changed,
        leaves=leaves,
    )


def grow_as_sealed(size: int, edge: Mapping[TileKey, bytes], sealed: LogSealed) -> Growth:
    """Append what a seal says that it has appended.

    Raises:
        BrokenLogError: it does not begin where the log ends, or its root is another.
    """
    if sealed.position != size:
        raise BrokenLogError(
            f"A seal begins at {sealed.position}, and the log ends at {size}: bring back the seals "
            "between them."
        )
    growth = grow(size, edge, leaves_of(sealed))
    if (growth.size, to_base64(growth.root)) != (sealed.size, sealed.root):
        raise BrokenLogError(
            f"The seal at {sealed.position} says that the root of {sealed.size} leaves is "
            f"{sealed.root}; its leaves give {to_base64(growth.root)}."
        )
    return growth


def leaves_of(sealed: LogSealed) -> list[Leaf]:
    """The leaves that a seal names.

    Raises:
        BrokenLogError: what stands for a hash is none.
    """
    try:
        leaves = [Leaf(each.event_id, from_base64(each.hash)) for each in sealed.leaves]
    except NoteError as error:
        raise BrokenLogError(f"The seal at {sealed.position}: {error}") from error
    if any(len(each.hash) != HASH_BYTES for each in leaves):
        raise BrokenLogError(f"The seal at {sealed.position} holds what is no hash.")
    return leaves
