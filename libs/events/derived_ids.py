"""Ids that follow from others, so that a rebuild gives the same: UUID version 5 (RFC 9562)."""

from hashlib import sha1
from uuid import UUID

from msgspec import msgpack

_HEAD = b"\xc4\x10"  # 16 bytes follow, in MessagePack: its decoder makes an id at the least cost
_uuid = msgpack.Decoder(UUID).decode


def derived_id(namespace: UUID, name: str) -> UUID:
    """What `uuid.uuid5` answers, in a fifth of its time: projections make one for every row."""
    digest = sha1(namespace.bytes + name.encode(), usedforsecurity=False).digest()
    encoded = bytearray(_HEAD + digest[:16])
    encoded[8] = encoded[8] & 0x0F | 0x50  # version 5
    encoded[10] = encoded[10] & 0x3F | 0x80  # variant of RFC 9562
    return _uuid(encoded)
