"""The log: seals, the positions of leaves, tiles."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from msgspec import Struct

from libs.events.names import Topic
from libs.proofs import tiles
from libs.proofs.tiles import TileKey
from libs.runtime.db import Connection
from services.ledger.domain.log import Growth

# Held to the end of the transaction, however that comes: one at a time appends, of all replicas.
TRY_ALONE = "SELECT pg_try_advisory_xact_lock(hashtextextended(current_schema || '.log', 0))"
HAS_PENDING = "SELECT EXISTS (SELECT FROM outbox_pending)"
HEAD = "SELECT size, root, event_id, sealed_at FROM seal ORDER BY position DESC LIMIT 1"
# A seal that Kafka does not hold is ours alone, and dies with this database: what is sealed in its
# place may have another order. So nobody is shown one before it is published.
_IS_PUBLISHED = f"""
    event_id NOT IN (
        SELECT outbox.event_id FROM outbox_pending JOIN outbox USING (order_number)
         WHERE topic = '{Topic.OPERATIONS.value}' AND outbox.event_id IS NOT NULL)
"""  # noqa: S608  # put together from constants alone
PUBLISHED_HEAD = f"""
    SELECT size, root, event_id, sealed_at FROM seal WHERE {_IS_PUBLISHED}
     ORDER BY position DESC LIMIT 1
"""  # noqa: S608
PUBLISHED_COVERING = f"""
    SELECT size, root, event_id, sealed_at FROM (
        SELECT * FROM seal WHERE size > $1 ORDER BY size LIMIT 1) AS covering
     WHERE {_IS_PUBLISHED}
"""  # noqa: S608
PUBLISHED_AT_SIZE = f"""
    SELECT size, root, event_id, sealed_at FROM seal WHERE size = $1 AND {_IS_PUBLISHED}
"""  # noqa: S608
TILES = """
    SELECT level, number, hashes FROM tile
      JOIN unnest($1::smallint[], $2::bigint[]) AS asked (level, number) USING (level, number)
"""
SEALED = "SELECT event_id, position FROM leaf WHERE event_id = ANY($1::uuid[])"
KEPT = "SELECT event_id, encoded FROM leaf_event WHERE event_id = ANY($1::uuid[])"
SEAL = """
    INSERT INTO seal (position, size, root, event_id, sealed_at) VALUES ($1, $2, $3, $4, $5)
"""
ADD_LEAVES = """
    INSERT INTO leaf (position, event_id)
    SELECT $1 + place - 1, event_id FROM unnest($2::uuid[]) WITH ORDINALITY AS row (event_id, place)
"""
WRITE_TILES = """
    INSERT INTO tile (level, number, hashes)
    SELECT * FROM unnest($1::smallint[], $2::bigint[], $3::bytea[])
    ON CONFLICT (level, number) DO UPDATE SET hashes = excluded.hashes
"""
KEEP = """
    INSERT INTO leaf_event (event_id, encoded) SELECT * FROM unnest($1::uuid[], $2::bytea[])
    ON CONFLICT DO NOTHING
"""


class Seal(Struct, frozen=True, kw_only=True):
    """A state of the log, and the event that tells of it."""

    size: int
    root: bytes
    event_id: UUID
    sealed_at: datetime


async def try_alone(connection: Connection) -> bool:
    """Whether nobody else appends until this transaction ends."""
    return bool(await connection.fetchval(TRY_ALONE))


async def has_pending(connection: Connection) -> bool:
    """Whether something of ours has yet to reach Kafka."""
    return bool(await connection.fetchval(HAS_PENDING))


async def head(connection: Connection) -> Seal | None:
    """The last seal, to append to: it may not be on Kafka yet."""
    return _seal(await connection.fetchrow(HEAD))


async def published_head(connection: Connection) -> Seal | None:
    """The last seal that Kafka holds."""
    return _seal(await connection.fetchrow(PUBLISHED_HEAD))


async def published_covering(connection: Connection, position: int) -> Seal | None:
    """The seal that a leaf came with, once Kafka holds it."""
    return _seal(await connection.fetchrow(PUBLISHED_COVERING, position))


async def published_at_size(connection: Connection, size: int) -> Seal | None:
    """The seal of a log of exactly that size, once Kafka holds it."""
    return _seal(await connection.fetchrow(PUBLISHED_AT_SIZE, size))


async def load_tiles(connection: Connection, keys: Collection[TileKey]) -> dict[TileKey, bytes]:
    """Those of the tiles that are there."""
    ordered = sorted(keys)
    rows = await connection.fetch(TILES, [each[0] for each in ordered], [e[1] for e in ordered])
    return {(row["level"], row["number"]): row["hashes"] for row in rows}


async def edge(connection: Connection, size: int) -> dict[TileKey, bytes]:
    """What appending to a log of that size needs of it."""
    return await load_tiles(connection, tiles.edge_of(size))


async def positions(connection: Connection, event_ids: Collection[UUID]) -> dict[UUID, int]:
    """Where events stand in the log; those that are not sealed are left out."""
    rows = await connection.fetch(SEALED, list(event_ids))
    return {row["event_id"]: row["position"] for row in rows}


async def kept(connection: Connection, event_ids: Collection[UUID]) -> dict[UUID, bytes]:
    """Events of jobs as they were hashed."""
    rows = await connection.fetch(KEPT, list(event_ids))
    return {row["event_id"]: row["encoded"] for row in rows}


async def keep(connection: Connection, events: Sequence[tuple[UUID, bytes]]) -> None:
    """Keep (id, encoded) of events of jobs; a repeat changes nothing."""
    if events:
        await connection.execute(KEEP, *_columns(events))


async def write(connection: Connection, growth: Growth, event_id: UUID, at: datetime) -> None:
    """Append, with the seal that tells of it.

    Raises:
        asyncpg.UniqueViolationError: something else was appended there, or the leaf before.
    """
    await connection.execute(SEAL, growth.position, growth.size, growth.root, event_id, at)
    await connection.execute(ADD_LEAVES, growth.position, [e.event_id for e in growth.leaves])
    rows = [(*key, hashes) for key, hashes in sorted(growth.tiles.items())]
    await connection.execute(WRITE_TILES, *_columns(rows))


def _seal(row: Any) -> Seal | None:
    return None if row is None else Seal(**row)


def _columns(rows: Sequence[tuple[Any, ...]]) -> list[list[Any]]:
    return [list(column) for column in zip(*rows, strict=True)]
