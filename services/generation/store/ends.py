"""Statements that end attempts and jobs. Each changes only what nobody has decided before.

Locks are taken in one order: shares of accounts, jobs by id.
"""

from collections.abc import Collection, Sequence
from datetime import datetime
from uuid import UUID

from msgspec import Struct

from libs.events.envelope import Event
from libs.events.generation import GenerationRequested
from libs.runtime.db import Connection
from libs.runtime.outbox import OutboxRow
from services.generation.domain.jobs import AttemptState, Claim, JobState, Spent
from services.generation.store.queue import read_request

COMPLETE = "SELECT is_won, is_recovering FROM complete_job($1, $2, $3, $4, $5, $6, $7, $8, $9)"

# A final failure or a rest before the next attempt, by whoever holds the claim. A provider's job
# that goes on is left to the next attempt, or called off where none will follow.
FAIL = """
    WITH lost AS (
        UPDATE job SET state = $3, decided_at = $4, wait_until = $5, failure_code = $6
         WHERE id = $1 AND fence = $2 AND state = 'running' RETURNING attempt_id
    )
    UPDATE attempt SET state = 'failed', ended_at = $7, failure_code = $8, provider_ms = $9,
           provider_cost_microusd = $10, sweep_at = $11, failure_detail = $12,
           is_open = is_open AND $13, cancel_at = CASE WHEN is_open AND $13 THEN $4 END
      FROM lost WHERE attempt.id = lost.attempt_id RETURNING attempt.id
"""

RELEASE = """
    WITH held AS (
        SELECT job.id, is_open, attempt.started_at, submission
          FROM job JOIN unnest($1::uuid[], $2::bigint[]) AS claim (id, fence)
            ON job.id = claim.id AND job.fence = claim.fence
          JOIN attempt ON attempt.id = job.attempt_id
         WHERE job.state = 'running' AND ($6 OR wait_until <= $3)
         ORDER BY job.id FOR UPDATE OF job
    ), released AS (
        UPDATE job SET state = 'queued', wait_until = NULL,
               unknowns = unknowns + CASE WHEN is_open AND $6 THEN 0 ELSE $4 END
          FROM held WHERE job.id = held.id
        RETURNING job.id, provider, unknowns, attempt_id, is_open AS is_resumable, requested,
                  held.started_at, submission
    ), ended AS (
        UPDATE attempt SET state = $5, ended_at = $3, sweep_at = $7
          FROM released WHERE attempt.id = released.attempt_id
    )
    SELECT id, provider, unknowns, is_resumable, requested, attempt_id, started_at, submission
      FROM released
"""

RESUME = """
    UPDATE job SET state = 'queued', wait_until = NULL
     WHERE id = ANY($1) AND state = 'delayed' AND wait_until <= $2
"""

LOCK_SHARES_OF_JOBS = """
    SELECT FROM share
     WHERE (account_id, provider) IN (
         SELECT account_id, provider FROM job WHERE id = ANY($1) AND decided_at IS NULL)
     ORDER BY account_id, provider FOR UPDATE
"""

LOCK_JOBS = "SELECT FROM job WHERE id = ANY($1) ORDER BY id FOR UPDATE"

# A job that was never served gives its place back to its account.
END = """
    WITH undecided AS (
        SELECT id, state FROM job WHERE id = ANY($1) AND decided_at IS NULL
         ORDER BY id FOR UPDATE
    ), ended AS (
        UPDATE job SET state = 'failed', failure_code = $2, decided_at = $3, wait_until = NULL
          FROM undecided WHERE job.id = undecided.id
        RETURNING job.*, undecided.state AS state_before
    ), stopped AS (
        UPDATE attempt SET state = 'stopped', ended_at = $3, sweep_at = $4,
               cancel_at = CASE WHEN is_open THEN $3 END
          FROM ended WHERE attempt.id = ended.attempt_id AND ended.state_before = 'running'
        RETURNING attempt.id, attempt.started_at, submission
    ), called_off AS (
        UPDATE attempt SET cancel_at = $3
          FROM ended WHERE attempt.id = ended.attempt_id AND ended.state_before <> 'running'
           AND is_open
    ), returned AS (
        UPDATE share SET finish_tag = finish_tag - unserved.cost
          FROM (SELECT account_id, provider, sum(cost)::bigint AS cost FROM ended
                 WHERE tries = 0 GROUP BY account_id, provider) AS unserved
         WHERE share.account_id = unserved.account_id AND share.provider = unserved.provider
    )
    SELECT ended.id, requested, queued_at, ended.started_at, attempt_id,
           stopped.started_at AS stopped_since, stopped.submission
      FROM ended LEFT JOIN stopped ON stopped.id = attempt_id ORDER BY ended.id
"""

FIND_DUE = """
    SELECT id, provider, state, fence, deadline_at <= $1 AS is_expired FROM job
     WHERE decided_at IS NULL AND due_at <= $1 ORDER BY due_at LIMIT $2
"""

NEXT_DUE = "SELECT min(due_at) FROM job WHERE decided_at IS NULL"

MARK_LATE = """
    UPDATE attempt SET state = 'late', ended_at = $2, provider_ms = $3, provider_cost_microusd = $4,
           sweep_at = $5
     WHERE id = $1 AND state IN ('unknown', 'handed_back', 'stopped')
    RETURNING started_at, submission
"""


class Completion(Struct, frozen=True, kw_only=True):
    """What came of letting an attempt win."""

    is_won: bool
    is_recovering: bool  # its provider has failed before


class Ended(Struct, frozen=True, kw_only=True):
    """A job that was ended from outside of its attempt."""

    id: UUID
    requested: Event[GenerationRequested]
    queued_at: datetime
    started_at: datetime | None
    attempt_id: UUID | None
    stopped_since: datetime | None  # when the attempt began that was stopped by this
    submission: bytes | None  # the provider's job of that attempt


class Due(Struct, frozen=True, kw_only=True):
    """A job whose lease, rest or deadline is over."""

    id: UUID
    provider: str
    state: JobState
    fence: int
    is_expired: bool


class Released(Struct, frozen=True, kw_only=True):
    """A job that is back in the queue although its attempt is not known to have ended."""

    id: UUID
    provider: str
    unknowns: int
    is_resumable: bool  # the provider's job is known: the next attempt goes on with it
    requested: Event[GenerationRequested]
    attempt_id: UUID
    started_at: datetime  # of that attempt
    submission: bytes | None  # the provider's job of that attempt


class LateEnd(Struct, frozen=True, kw_only=True):
    """An attempt that ended after it had been given up."""

    started_at: datetime
    submission: bytes | None


async def complete(
    connection: Connection, claim: Claim, spent: Spent, now: datetime, answer: OutboxRow
) -> Completion:
    """Let an attempt win its job, unless the job is no longer its own to decide.

    In one call, hence one transaction, with the answer.
    """
    row = await connection.fetchrow(
        COMPLETE,
        claim.job_id,
        claim.fence,
        now,
        spent.provider_ms,
        spent.provider_cost_microusd,
        answer.event_id,
        answer.topic,
        answer.key,
        answer.encoded,
    )
    assert row is not None  # noqa: S101  # the function answers one row
    return Completion(**row)


async def fail(
    connection: Connection,
    claim: Claim,
    code: str,
    spent: Spent,
    *,
    now: datetime,
    rest_until: datetime | None,
    sweep_at: datetime,
    detail: str,
    goes_on: bool,
) -> bool:
    """Fail an attempt, and with no rest before a next one its job; False when it is not its own."""
    is_final = rest_until is None
    lost = await connection.fetchval(
        FAIL,
        claim.job_id,
        claim.fence,
        JobState.FAILED if is_final else JobState.DELAYED,
        now if is_final else None,
        rest_until,
        code if is_final else None,
        now,
        code,
        spent.provider_ms,
        spent.provider_cost_microusd,
        sweep_at,
        detail or None,
        goes_on,
    )
    return lost is not None


async def release(
    connection: Connection,
    claims: Collection[tuple[UUID, int]],
    *,
    state: AttemptState,
    counts: bool,
    is_own: bool,
    now: datetime,
    sweep_at: datetime,
) -> list[Released]:
    """Put running jobs (id, fence) back: one's own, or those whose lease is over."""
    ids, fences = zip(*claims, strict=True)
    rows = await connection.fetch(
        RELEASE, list(ids), list(fences), now, int(counts), state, is_own, sweep_at
    )
    return [Released(**{**row, "requested": read_request(row["requested"])}) for row in rows]


async def resume(connection: Connection, job_ids: Sequence[UUID], now: datetime) -> None:
    """Put jobs that have rested back into the queue."""
    await connection.execute(RESUME, job_ids, now)


async def lock_shares_of_jobs(connection: Connection, job_ids: Sequence[UUID]) -> None:
    """Lock the shares that ending these jobs may change: before the jobs, as everybody does."""
    await connection.execute(LOCK_SHARES_OF_JOBS, job_ids)


async def lock_jobs(connection: Connection, job_ids: Sequence[UUID]) -> None:
    """Lock jobs that more than one statement is going to change: in their order, all at once."""
    await connection.execute(LOCK_JOBS, job_ids)


async def end(
    connection: Connection, job_ids: Sequence[UUID], code: str, *, now: datetime, sweep_at: datetime
) -> list[Ended]:
    """Fail every one of these jobs that nobody has decided yet."""
    rows = await connection.fetch(END, job_ids, code, now, sweep_at)
    return [Ended(**{**row, "requested": read_request(row["requested"])}) for row in rows]


async def find_due(connection: Connection, now: datetime, limit: int) -> list[Due]:
    """Jobs that somebody must look at, the longest overdue first."""
    rows = await connection.fetch(FIND_DUE, now, limit)
    return [Due(**{**row, "state": JobState(row["state"])}) for row in rows]


async def next_due(connection: Connection) -> datetime | None:
    """When the next job is due."""
    due: datetime | None = await connection.fetchval(NEXT_DUE)
    return due


async def mark_late(
    connection: Connection, attempt_id: UUID, spent: Spent, *, now: datetime, sweep_at: datetime
) -> LateEnd | None:
    """Record that an attempt ended after all, and have its objects swept once more.

    None where that is known already, or was in time.
    """
    row = await connection.fetchrow(
        MARK_LATE, attempt_id, now, spent.provider_ms, spent.provider_cost_microusd, sweep_at
    )
    return None if row is None else LateEnd(**row)
