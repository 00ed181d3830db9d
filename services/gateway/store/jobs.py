"""Jobs, as their owners read them."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from asyncpg import Record
from msgspec import Struct

from libs.runtime.db import Connection
from libs.runtime.paging import Position
from services.gateway.domain.jobs import Answer, Charge, JobState, Listing, Stage, Status

STATE_COLUMNS = "status, stage, progress, answer, charge, listing, recorded_at"

ORDER_COLUMNS = """job_id, operation, provider, model, prompt, units, unit_credits,
           price_book_version, created_at, deadline_at"""

_OWN = f"{ORDER_COLUMNS}, {STATE_COLUMNS}"
SELECT_JOB = f"""
    SELECT {_OWN} FROM job WHERE job_id = $1 AND user_id = $2
"""  # noqa: S608  -- put together from constants of this module alone
SELECT_JOBS = f"""
    SELECT {_OWN} FROM job
     WHERE user_id = $1 AND (created_at, job_id) < ($2, $3)
       AND ($4::text[] IS NULL OR operation = ANY($4)) AND ($5::text IS NULL OR status = $5)
     ORDER BY created_at DESC, job_id DESC LIMIT $6
"""  # noqa: S608  -- as above
# Locked, so that a job's end and its cancellation have an order.
LOCK_JOB = f"""
    SELECT account_id, {_OWN} FROM job WHERE job_id = $1 AND user_id = $2 FOR UPDATE
"""  # noqa: S608  -- as above
# Only the first of many who ask finds it open.
NOTE_CANCELLATION = """
    UPDATE job SET cancel_requested_at = $2
     WHERE job_id = $1 AND cancel_requested_at IS NULL
    RETURNING true
"""


class OwnJob(Struct, frozen=True, kw_only=True):
    """A job: what was ordered at what price, and its state."""

    job_id: UUID
    operation: str
    provider: str
    model: str
    prompt: str
    units: int
    unit_credits: int
    price_book_version: int
    created_at: datetime
    deadline_at: datetime
    state: JobState


async def find_own_job(connection: Connection, job_id: UUID, user_id: UUID) -> OwnJob | None:
    """A user's job; none when it is somebody else's."""
    row = await connection.fetchrow(SELECT_JOB, job_id, user_id)
    return None if row is None else own_job(row)


async def list_own_jobs(
    connection: Connection,
    user_id: UUID,
    *,
    after: Position,
    operations: Sequence[str] | None,
    status: Status | None,
    limit: int,
) -> list[OwnJob]:
    """A user's jobs behind a position, the newest first."""
    rows = await connection.fetch(
        SELECT_JOBS, user_id, after.at, after.id, operations, status, limit
    )
    return [own_job(row) for row in rows]


async def lock_own_job(
    connection: Connection, job_id: UUID, user_id: UUID
) -> tuple[UUID, OwnJob] | None:
    """The paying account and the job, which stays as it is until the transaction's end."""
    row = await connection.fetchrow(LOCK_JOB, job_id, user_id)
    return None if row is None else (row["account_id"], own_job(row))


async def note_cancellation(connection: Connection, job_id: UUID, at: datetime) -> bool:
    """Write down that a job's end was asked for. False: it had been before."""
    return bool(await connection.fetchval(NOTE_CANCELLATION, job_id, at))


def own_job(row: Record, state: JobState | None = None) -> OwnJob:
    """The job in a row of the job table, in its own state or in one of before."""
    return OwnJob(
        job_id=row["job_id"],
        operation=row["operation"],
        provider=row["provider"],
        model=row["model"],
        prompt=row["prompt"],
        units=row["units"],
        unit_credits=row["unit_credits"],
        price_book_version=row["price_book_version"],
        created_at=row["created_at"],
        deadline_at=row["deadline_at"],
        state=state_of(row) if state is None else state,
    )


def state_of(row: Record) -> JobState:
    """The state in a row that has the state's columns."""
    return JobState(
        status=Status(row["status"]),
        stage=Stage(row["stage"]),
        progress=row["progress"],
        answer=_decoded(row["answer"], Answer),
        charge=_decoded(row["charge"], Charge),
        listing=_decoded(row["listing"], Listing),
        recorded_at=row["recorded_at"],
    )


def encoded(value: Struct | None) -> str | None:
    """A part of a state as its JSON column takes it."""
    return None if value is None else msgspec.json.encode(value).decode()


def _decoded(text: str | None, model: Any) -> Any:
    return None if text is None else msgspec.json.decode(text, type=model)
