"""Statements about jobs of the past: what a recovery brings back, what an erasure blanks."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from msgspec import Struct
from msgspec.structs import astuple

from libs.runtime.db import Connection

# A job's objects are known by its attempt: one that failed is swept as if it had failed now.
ADD_DECIDED_JOBS = """
    WITH decided AS (
        SELECT * FROM unnest(
            $1::uuid[], $2::uuid[], $3::text[], $4::bigint[], $5::bytea[], $6::text[], $7::uuid[],
            $8::timestamptz[], $9::timestamptz[], $10::timestamptz[], $11::timestamptz[],
            $12::text[], $13::text[], $14::bigint[], $15::bigint[])
            AS decided (id, account_id, provider, cost, requested, state, attempt_id, queued_at,
                        started_at, deadline_at, decided_at, failure_code, attempt_state,
                        provider_ms, provider_cost_microusd)
    ), added AS (
        INSERT INTO job (id, account_id, provider, cost, start_tag, requested, state, fence, tries,
                         attempt_id, queued_at, started_at, deadline_at, decided_at, failure_code)
        SELECT id, account_id, provider, cost, 0, requested, state, 1,
               (attempt_id IS NOT NULL)::integer, attempt_id, queued_at, started_at, deadline_at,
               decided_at, failure_code
          FROM decided
        ON CONFLICT (id) DO NOTHING RETURNING id
    )
    INSERT INTO attempt (id, job_id, number, worker, state, started_at, ended_at, failure_code,
                         provider_ms, provider_cost_microusd, sweep_at)
    SELECT attempt_id, id, 1, '', attempt_state, started_at, decided_at, failure_code, provider_ms,
           provider_cost_microusd, CASE WHEN failure_code IS NOT NULL THEN decided_at END
      FROM decided JOIN added USING (id) WHERE attempt_id IS NOT NULL
"""

KEEP_REQUESTS = """
    UPDATE job SET requested = read.requested
      FROM unnest($1::uuid[], $2::bytea[]) AS read (id, requested) WHERE job.id = read.id
"""

FIND_UNDECIDED = """
    SELECT id FROM job WHERE account_id = ANY($1::uuid[]) AND decided_at IS NULL ORDER BY id
"""
LOCK_REQUESTS = """
    SELECT id, requested FROM job WHERE account_id = ANY($1::uuid[]) ORDER BY id FOR UPDATE
"""


class DecidedJob(Struct, frozen=True, kw_only=True):
    """A job that has ended, with its last attempt; in the order of ADD_DECIDED_JOBS."""

    id: UUID
    account_id: UUID
    provider: str
    cost: int
    requested: bytes
    state: str
    attempt_id: UUID | None
    queued_at: datetime
    started_at: datetime | None
    deadline_at: datetime
    decided_at: datetime
    failure_code: str | None
    attempt_state: str
    provider_ms: int
    provider_cost_microusd: int


async def add_decided_jobs(connection: Connection, jobs: Sequence[DecidedJob]) -> None:
    """Write jobs that are not there yet."""
    if jobs:
        await connection.execute(ADD_DECIDED_JOBS, *zip(*map(astuple, jobs), strict=True))


async def keep_requests(
    connection: Connection, job_ids: Sequence[UUID], requests: Sequence[bytes]
) -> None:
    """Put requests as they were published in place of what their answers tell of them."""
    await connection.execute(KEEP_REQUESTS, job_ids, requests)


async def find_undecided(connection: Connection, account_ids: Sequence[UUID]) -> list[UUID]:
    """Jobs of these accounts that are under way."""
    return [row["id"] for row in await connection.fetch(FIND_UNDECIDED, account_ids)]


async def lock_requests(
    connection: Connection, account_ids: Sequence[UUID]
) -> list[tuple[UUID, bytes]]:
    """All jobs of these accounts with their requests, locked."""
    rows = await connection.fetch(LOCK_REQUESTS, account_ids)
    return [(row["id"], row["requested"]) for row in rows]
