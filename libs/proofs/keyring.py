"""A signer's keys, and those of them that are published.

The last key signs; the earlier ones verify what they have signed, for ever.
"""

import hmac
from collections.abc import Sequence
from datetime import datetime
from hashlib import sha256
from typing import Annotated, Final

import msgspec
from msgspec import Meta, Struct
from msgspec.structs import replace

from libs.proofs.notes import NoteError, SigningKey, VerifierKey

SECRET_BYTES: Final = 32

_Moment = Annotated[datetime, Meta(tz=True)]


class KeyringError(ValueError):
    """The text holds no keys; what it says never holds any of them."""


class HeldKey(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A signing key's seed (base64), and since when it has signed."""

    seed: Annotated[bytes, Meta(min_length=SECRET_BYTES, max_length=SECRET_BYTES)]
    created_at: _Moment


class Keyring(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The secrets: the log's name, which its keys share, the key of prompts' hashes, the keys."""

    origin: Annotated[str, Meta(min_length=1, max_length=200, pattern=r"^[^\s+]+$")]
    prompt_key: Annotated[bytes, Meta(min_length=SECRET_BYTES)]
    keys: Annotated[tuple[HeldKey, ...], Meta(min_length=1)]

    @classmethod
    def read(cls, text: str | bytes) -> "Keyring":
        """The keys in a text.

        Raises:
            KeyringError: it holds none, or none of this form.
        """
        try:
            return msgspec.json.decode(text, type=cls)
        except (msgspec.MsgspecError, UnicodeError):
            raise KeyringError("the text is not a keyring: JSON with origin, keys, ...") from None

    @property
    def text(self) -> str:
        """As it is kept."""
        return msgspec.json.format(msgspec.json.encode(self)).decode() + "\n"

    @property
    def signing(self) -> SigningKey:
        """The key that signs now."""
        return SigningKey(name=self.origin, seed=self.keys[-1].seed)

    @property
    def verifiers(self) -> list[VerifierKey]:
        """Every key that has ever signed, the oldest first."""
        return [SigningKey(name=self.origin, seed=each.seed).verifier for each in self.keys]

    def rotated(self, seed: bytes, now: datetime) -> "Keyring":
        """The same with a new key that signs from now on."""
        return replace(self, keys=(*self.keys, HeldKey(seed=seed, created_at=now)))

    def prompt_hash(self, prompt: str) -> bytes:
        """HMAC-SHA-256 under the key of prompts' hashes."""
        return hmac.digest(self.prompt_key, prompt.encode("utf-8", "replace"), sha256)

    def published(self) -> "PublishedKeys":
        """What everybody may know."""
        return PublishedKeys(
            origin=self.origin,
            keys=tuple(
                PublishedKey(
                    key=verifier.text, created_at=held.created_at, is_signing=held is self.keys[-1]
                )
                for verifier, held in zip(self.verifiers, self.keys, strict=True)
            ),
        )


class PublishedKey(Struct, frozen=True, kw_only=True, rename="camel"):
    """A key as C2SP's notes spell it."""

    key: str
    created_at: _Moment
    is_signing: bool


class PublishedKeys(Struct, frozen=True, kw_only=True, rename="camel"):
    """The document at the well-known address."""

    origin: str
    keys: tuple[PublishedKey, ...]


def read_published(text: bytes) -> Sequence[VerifierKey]:
    """The keys of a published document.

    Raises:
        KeyringError: it is none, or a key of it was changed.
    """
    try:
        document = msgspec.json.decode(text, type=PublishedKeys)
        return [VerifierKey.read(each.key) for each in document.keys]
    except (msgspec.MsgspecError, UnicodeError, NoteError) as error:
        raise KeyringError(f"it holds no published keys: {error}") from None
