"""Tickets of streams, by their hashes."""

from datetime import datetime
from uuid import UUID

from msgspec import Struct

from libs.runtime.db import Connection

# What the user has left unused, or to its end, goes as the next one is made.
ADD = """
    WITH gone AS (
        DELETE FROM stream_ticket
         WHERE user_id = $2 AND (ends_at <= $7 OR (used_at IS NULL AND use_until <= $7))
    )
    INSERT INTO stream_ticket (ticket_sha256, user_id, session_epoch, stream, use_until, ends_at)
    VALUES ($1, $2, $3, $4, $5, $6)
"""
USE = """
    UPDATE stream_ticket SET used_at = coalesce(used_at, $3)
     WHERE ticket_sha256 = $1 AND stream = $2 AND ends_at > $3
       AND (used_at IS NOT NULL OR use_until > $3)
    RETURNING user_id, session_epoch, ends_at
"""


class Ticket(Struct, frozen=True, kw_only=True):
    """Which log-in a ticket stands for, and until when."""

    user_id: UUID
    session_epoch: int | None
    ends_at: datetime


async def add(
    connection: Connection,
    hashed: bytes,
    ticket: Ticket,
    *,
    stream: str,
    use_until: datetime,
    now: datetime,
) -> None:
    await connection.execute(
        ADD, hashed, ticket.user_id, ticket.session_epoch, stream, use_until, ticket.ends_at, now
    )


async def use(connection: Connection, hashed: bytes, stream: str, now: datetime) -> Ticket | None:
    """Whom a ticket lets into a stream; none when it is not good for it."""
    row = await connection.fetchrow(USE, hashed, stream, now)
    if row is None:
        return None
    return Ticket(
        user_id=row["user_id"], session_epoch=row["session_epoch"], ends_at=row["ends_at"]
    )
