"""Lots that come to their end."""

from datetime import datetime
from uuid import UUID

from libs.runtime.db import Connection

NEXT_END = """
    SELECT expires_at FROM lot WHERE is_spendable AND expires_at IS NOT NULL
     ORDER BY expires_at, id LIMIT 1
"""
FIND_ENDED = """
    SELECT account_id, id FROM lot
     WHERE is_spendable AND expires_at IS NOT NULL AND expires_at <= $1
     ORDER BY expires_at, id LIMIT $2
"""


async def next_end(connection: Connection) -> datetime | None:
    """When the next lot with something left ends."""
    found: datetime | None = await connection.fetchval(NEXT_END)
    return found


async def find_ended(connection: Connection, now: datetime, limit: int) -> list[tuple[UUID, UUID]]:
    """(account, lot) of lots that have something left after their end. Nothing is locked."""
    rows = await connection.fetch(FIND_ENDED, now, limit)
    return [(row["account_id"], row["id"]) for row in rows]
