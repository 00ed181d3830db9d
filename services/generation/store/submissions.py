"""Statements about the jobs that providers have of ours: noted, and later called off."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from msgspec import Struct

from libs.runtime.db import Connection

# Whoever has lost its job meanwhile leaves a job at the provider that no attempt will ask about.
RECORD = """
    UPDATE attempt SET submission = $2, is_open = true,
           cancel_at = CASE WHEN state = 'running' THEN NULL ELSE $3::timestamptz END
     WHERE id = $1 RETURNING state = 'running'
"""

TAKE_CANCELS = """
    WITH taken AS (
        SELECT id FROM attempt WHERE cancel_at <= $1
         ORDER BY cancel_at LIMIT $3 FOR UPDATE SKIP LOCKED
    ), postponed AS (
        UPDATE attempt SET cancel_at = $2 FROM taken WHERE attempt.id = taken.id
        RETURNING attempt.id, job_id, submission
    )
    SELECT postponed.id, job.provider, submission FROM postponed JOIN job ON job.id = job_id
"""

CLOSE = "UPDATE attempt SET is_open = false, cancel_at = NULL WHERE id = ANY($1)"

NEXT_CANCEL = "SELECT min(cancel_at) FROM attempt WHERE cancel_at IS NOT NULL"


class Unwanted(Struct, frozen=True, kw_only=True):
    """A provider's job that nobody waits for."""

    id: UUID
    provider: str
    submission: bytes


async def record(
    connection: Connection, attempt_id: UUID, submission: bytes, now: datetime
) -> bool:
    """Note the provider's job of an attempt; False if that attempt has been replaced or stopped."""
    is_running: bool | None = await connection.fetchval(RECORD, attempt_id, submission, now)
    return bool(is_running)


async def take_cancels(
    connection: Connection, *, now: datetime, again_at: datetime, limit: int
) -> list[Unwanted]:
    """Jobs to call off now; they come again at `again_at` unless they are closed before."""
    rows = await connection.fetch(TAKE_CANCELS, now, again_at, limit)
    return [Unwanted(**row) for row in rows]


async def close(connection: Connection, attempt_ids: Sequence[UUID]) -> None:
    """Note that nothing is to be expected of these jobs any more."""
    await connection.execute(CLOSE, attempt_ids)


async def next_cancel(connection: Connection) -> datetime | None:
    """When the next job is to be called off."""
    due: datetime | None = await connection.fetchval(NEXT_CANCEL)
    return due
