"""Ids that follow from others, so that a rebuild gives the same: UUID version 5 (RFC 9562)."""

from hashlib import sha1
from uuid import UUID

from msgspec import convert


def derived_id(namespace: UUID, name: str) -> UUID:
    """What `uuid.uuid5` answers, in a quarter of its time: projections make one for every row."""
    digest = bytearray(sha1(namespace.bytes + name.encode(), usedforsecurity=False).digest()[:16])
    digest[6] = digest[6] & 0x0F | 0x50  # version 5
    digest[8] = digest[8] & 0x3F | 0x80  # variant of RFC 9562
    return convert(bytes(digest), UUID)
