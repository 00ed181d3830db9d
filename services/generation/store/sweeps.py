"""Statements about attempts that lost, and whose objects are to be deleted."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from msgspec import Struct

from libs.runtime.db import Connection
from services.generation.domain.jobs import AttemptState

TAKE_SWEEPS = """
    UPDATE attempt SET sweep_at = $2
     WHERE id IN (SELECT id FROM attempt WHERE sweep_at <= $1
                   ORDER BY sweep_at LIMIT $3 FOR UPDATE SKIP LOCKED)
    RETURNING id, job_id, state, sweeps
"""

SWEPT = """
    UPDATE attempt SET sweeps = sweeps + 1, sweep_at = swept.sweep_at
      FROM unnest($1::uuid[], $2::timestamptz[]) AS swept (id, sweep_at)
     WHERE attempt.id = swept.id AND attempt.sweep_at = $3
"""

NEXT_SWEEP = "SELECT min(sweep_at) FROM attempt WHERE sweep_at IS NOT NULL"


class Sweep(Struct, frozen=True, kw_only=True):
    """An attempt that lost, whose objects are to go."""

    id: UUID
    job_id: UUID
    state: AttemptState
    sweeps: int


async def take_sweeps(
    connection: Connection, *, now: datetime, again_at: datetime, limit: int
) -> list[Sweep]:
    """Attempts to sweep now; they come again at `again_at` unless `swept` says otherwise."""
    rows = await connection.fetch(TAKE_SWEEPS, now, again_at, limit)
    return [Sweep(**{**row, "state": AttemptState(row["state"])}) for row in rows]


async def swept(
    connection: Connection, done: Sequence[tuple[UUID, datetime | None]], taken_until: datetime
) -> None:
    """Note attempts as swept, each with the time of its next sweep; new orders stay untouched."""
    ids, times = zip(*done, strict=True)
    await connection.execute(SWEPT, list(ids), list(times), taken_until)


async def next_sweep(connection: Connection) -> datetime | None:
    """When the next attempt is to be swept."""
    due: datetime | None = await connection.fetchval(NEXT_SWEEP)
    return due
