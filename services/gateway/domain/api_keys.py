"""API keys: `dg_<id>_<secret>`, what they may be used for, and how they are recognised.

The secret is 32 random bytes, so a plain SHA-256 of it is as hard to turn round as the secret is to
guess: slow hashes are for what people choose. The whole key is shown once, when it is made.
"""

import hashlib
import hmac
from collections.abc import Iterable
from enum import StrEnum
from typing import Final
from uuid import UUID

from libs.events.text import is_storable
from services.gateway.domain.text import InvalidRequestError

PREFIX: Final = "dg_"
NAME_CHARS_MAX: Final = 100
LIVE_KEYS_MAX: Final = 100
_ID_CHARS: Final = 32
_SECRET_CHARS: Final = 43  # 32 bytes in base64 without padding


class Scope(StrEnum):
    """What a key may be used for. None of them is an administrator's."""

    READ = "read"
    GENERATE = "generate"


def written(key_id: UUID, secret: str) -> str:
    """The key as its owner sends it."""
    return f"{PREFIX}{key_id.hex}_{secret}"


def parsed(token: str) -> tuple[UUID, bytes] | None:
    """The id in a key and the hash of its secret; none when it cannot be a key of ours."""
    key_id, _, secret = token.removeprefix(PREFIX).partition("_")
    if len(key_id) != _ID_CHARS or len(secret) != _SECRET_CHARS or not secret.isascii():
        return None
    try:
        return UUID(hex=key_id), hashed(secret)
    except ValueError:
        return None


def hashed(secret: str) -> bytes:
    """What is kept of a secret."""
    return hashlib.sha256(secret.encode()).digest()


def is_same(one: bytes, other: bytes) -> bool:
    """Whether two hashes are equal, in a time that tells nothing of where they differ."""
    return hmac.compare_digest(one, other)


def check_name(name: str | None) -> str:
    """The trimmed name.

    Raises:
        InvalidRequestError: it is missing or too long.
    """
    trimmed = (name or "").strip()
    if not trimmed or len(trimmed) > NAME_CHARS_MAX or not is_storable(trimmed):
        text = f"A key's name must be plain text of 1 to {NAME_CHARS_MAX} characters"
        raise InvalidRequestError(text, field="name")
    return trimmed


def check_scopes(names: Iterable[str]) -> tuple[Scope, ...]:
    """The scopes, each once, in their own order.

    Raises:
        InvalidRequestError: there is none, or one that no key can have.
    """
    wanted = set(names)
    known = {scope.value for scope in Scope}
    if not wanted or not wanted <= known:
        text = f"Scopes are one or both of {' and '.join(sorted(known))}: nothing else can be given"
        raise InvalidRequestError(text, field="scopes")
    return tuple(scope for scope in Scope if scope.value in wanted)
