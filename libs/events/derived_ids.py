"""Ids that follow from others, so that a rebuild gives the same: UUID version 5 (RFC 9562)."""

from hashlib import sha1
from uuid import UUID

_FIXED_BITS = ~(0xF << 76 | 0x3 << 62)
_VERSION_5 = 0x5 << 76 | 0x2 << 62


def derived_id(namespace: UUID, name: str) -> UUID:
    """What `uuid.uuid5` answers, in half its time: projections make one for every row."""
    digest = sha1(namespace.bytes + name.encode(), usedforsecurity=False).digest()
    return UUID(int=int.from_bytes(digest[:16]) & _FIXED_BITS | _VERSION_5)
