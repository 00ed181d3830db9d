"""Signed notes and their keys, as C2SP's signed-note has them, with Ed25519.

A note is a text that ends with a newline, an empty line, and one line for each signature.
"""

from base64 import b64decode, b64encode
from binascii import Error as NotBase64Error
from collections.abc import Iterable
from hashlib import sha256
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from msgspec import Struct

ALGORITHM: Final = b"\x01"  # Ed25519
KEY_ID_BYTES: Final = 4
SEED_BYTES: Final = 32
NOTE_BYTES_MAX: Final = 1_000_000
_DASH: Final = "\N{EM DASH} "


class NoteError(ValueError):
    """A note, key or signature that is not what it should be; the text says why."""


class VerifierKey(Struct, frozen=True, kw_only=True):
    """A published key: it verifies what the signing key of that name has signed."""

    name: str
    public: bytes

    @property
    def id(self) -> bytes:
        """Tells keys of one name apart."""
        return sha256(self.name.encode() + b"\n" + ALGORITHM + self.public).digest()[:KEY_ID_BYTES]

    @property
    def text(self) -> str:
        """As it is published: name, id and key, joined by plus signs."""
        return f"{self.name}+{self.id.hex()}+{to_base64(ALGORITHM + self.public)}"

    @classmethod
    def read(cls, text: str) -> "VerifierKey":
        """The key in a published text.

        Raises:
            NoteError: it is none.
        """
        name, _, rest = text.partition("+")
        key_id, _, encoded = rest.partition("+")
        _require_name(name)
        material = from_base64(encoded)
        if material[:1] != ALGORITHM or len(material) != 1 + 32:
            raise NoteError(f"The key of {name} is not an Ed25519 key.")
        key = cls(name=name, public=material[1:])
        if key.id.hex() != key_id:
            raise NoteError(f"The key of {name} does not fit its id: it was changed.")
        return key

    def verify(self, message: bytes, signature: bytes) -> None:
        """Check a signature over bytes.

        Raises:
            NoteError: it is of other bytes, or of another key.
        """
        try:
            Ed25519PublicKey.from_public_bytes(self.public).verify(signature, message)
        except (InvalidSignature, ValueError):
            raise NoteError(f"The signature of {self.name} does not fit: it was changed.") from None


class SigningKey(Struct, frozen=True, kw_only=True):
    """The secret half; `seed` are 32 random bytes."""

    name: str
    seed: bytes

    def __post_init__(self) -> None:
        _require_name(self.name)
        if len(self.seed) != SEED_BYTES:
            raise NoteError(f"A signing key has {SEED_BYTES} bytes, not {len(self.seed)}.")

    @property
    def verifier(self) -> VerifierKey:
        """The half that is published."""
        key = Ed25519PrivateKey.from_private_bytes(self.seed)
        return VerifierKey(name=self.name, public=key.public_key().public_bytes_raw())

    def sign(self, message: bytes) -> bytes:
        """The signature over bytes; the same each time."""
        return Ed25519PrivateKey.from_private_bytes(self.seed).sign(message)


def sign_note(text: str, key: SigningKey) -> str:
    """The note with a text, signed."""
    if not text.endswith("\n"):
        raise NoteError("A note ends with a newline.")
    signature = to_base64(key.verifier.id + key.sign(text.encode()))
    return f"{text}\n{_DASH}{key.name} {signature}\n"


def open_note(note: str, keys: Iterable[VerifierKey]) -> str:
    """The text of a note that one of the keys has signed.

    Raises:
        NoteError: it is no note, no key of ours has signed it, or it was changed.
    """
    if len(note) > NOTE_BYTES_MAX:
        raise NoteError("The note is too long.")
    text, separator, signatures = note.rpartition("\n\n")
    if not separator or not signatures.endswith("\n"):
        raise NoteError("It is not a signed note.")
    text += "\n"
    known = {(key.name, key.id): key for key in keys}
    is_verified = False
    for line in signatures[:-1].split("\n"):
        name, _, encoded = line.removeprefix(_DASH).partition(" ")
        if not line.startswith(_DASH):
            raise NoteError("A signature of the note is not in its form.")
        signature = from_base64(encoded)
        key = known.get((name, signature[:KEY_ID_BYTES]))
        if key is not None:
            key.verify(text.encode(), signature[KEY_ID_BYTES:])
            is_verified = True
    if not is_verified:
        raise NoteError("None of the given keys has signed the note.")
    return text


def to_base64(data: bytes) -> str:
    return b64encode(data).decode()


def from_base64(text: str) -> bytes:
    """Bytes from their one spelling in base64.

    Raises:
        NoteError: it is another spelling, or none.
    """
    try:
        data = b64decode(text, validate=True)
    except (NotBase64Error, ValueError):
        data = b""
    if not data or to_base64(data) != text:
        raise NoteError("It is not base64: a character was changed.")
    return data


def _require_name(name: str) -> None:
    if not name or "+" in name or any(each.isspace() for each in name):
        raise NoteError(f"{name[:50]!r} cannot be the name of a key.")
