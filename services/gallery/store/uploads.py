"""Addresses for uploads, each good for one try; and which objects are known here."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from libs.runtime.db import Connection

CLAIM = """
    INSERT INTO upload_claim (item_id, expires_at) VALUES ($1, $2)
    ON CONFLICT DO NOTHING RETURNING item_id
"""
FORGET_CLAIMS = "DELETE FROM upload_claim WHERE expires_at < $1"
LIST_CHECKSUMS = """
    SELECT key, sha256
      FROM (SELECT key, sha256 FROM asset UNION ALL SELECT key, sha256 FROM thumbnail) AS object
     WHERE key > $1 ORDER BY key LIMIT $2
"""
KNOWN_KEYS = """
    SELECT key FROM asset WHERE key = ANY($1::text[])
    UNION ALL SELECT key FROM thumbnail WHERE key = ANY($1::text[])
    UNION ALL SELECT object_key FROM thumbnail_work WHERE object_key = ANY($1::text[])
    UNION ALL SELECT key FROM announced_object WHERE key = ANY($1::text[])
"""
ANNOUNCE = "INSERT INTO announced_object (key, expires_at) VALUES ($1, $2)"
TAKE_ANNOUNCED = "DELETE FROM announced_object WHERE key = $1 RETURNING key"
GIVE_UP_ANNOUNCED = "DELETE FROM announced_object WHERE expires_at < $1"


async def claim_upload(connection: Connection, item_id: UUID, expires_at: datetime) -> bool:
    """Whether this is the first use of an address."""
    return await connection.fetchval(CLAIM, item_id, expires_at) is not None


async def forget_claims(connection: Connection, before: datetime) -> None:
    """Addresses that have expired refuse by themselves."""
    await connection.execute(FORGET_CLAIMS, before)


async def announce(connection: Connection, key: str, expires_at: datetime) -> None:
    """An object is about to be stored: until then nobody gives it up."""
    await connection.execute(ANNOUNCE, key, expires_at)


async def take_announced(connection: Connection, key: str) -> bool:
    """Whether an object may be listed; False if it has been given up, and may be deleted any time.

    Until the commit nobody else decides.
    """
    return await connection.fetchval(TAKE_ANNOUNCED, key) is not None


async def give_up_announced(connection: Connection, now: datetime) -> None:
    """Whoever still stores what has expired may not list it any more."""
    await connection.execute(GIVE_UP_ANNOUNCED, now)


async def known_keys(connection: Connection, keys: Sequence[str]) -> frozenset[str]:
    """Those of some objects that a picture shows, and those that are about to be shown."""
    return frozenset(row["key"] for row in await connection.fetch(KNOWN_KEYS, keys))


async def list_checksums(connection: Connection, after: str, limit: int) -> list[tuple[str, str]]:
    """(key, SHA-256) of objects that pictures show, and of thumbnails, ordered by key."""
    rows = await connection.fetch(LIST_CHECKSUMS, after, limit)
    return [(row["key"], row["sha256"]) for row in rows]
