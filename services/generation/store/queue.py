"""Statements that put jobs into the queue, take them out of it, and keep them while they run.

Locks are taken in one order: shares of accounts, jobs by id. A claim locks providers, then only
jobs that nobody holds: it waits for other claims alone.
"""

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from typing import cast
from uuid import UUID

from asyncpg import Record
from msgspec import Struct
from msgspec.structs import astuple

from libs.events.envelope import Event
from libs.events.generation import GenerationRequested
from libs.events.registry import REGISTRY
from libs.runtime.db import Connection
from services.generation.domain.capabilities import Capabilities
from services.generation.domain.jobs import Claim, JobState

OFFER_PROVIDERS = """
    INSERT INTO provider (name, concurrency, per_minute)
    SELECT * FROM unnest($1::text[], $2::integer[], $3::integer[])
        AS offered (name, concurrency, per_minute) ORDER BY name
    ON CONFLICT (name) DO UPDATE
       SET concurrency = excluded.concurrency, per_minute = excluded.per_minute
     WHERE (provider.concurrency, provider.per_minute)
           IS DISTINCT FROM (excluded.concurrency, excluded.per_minute)
"""

# Start-time fair queueing, see domain/fairness.py: the first of an account's new jobs starts at its
# share's finish tag or the provider's virtual time, whichever is later, and each at the end of the
# one before. A job that turns out to be there already leaves a gap in its account's tags, no more.
ENQUEUE = """
    WITH asked AS (
        SELECT asked.*, coalesce(virtual_time, 0) AS virtual_time FROM unnest(
            $1::uuid[], $2::uuid[], $3::text[], $4::bigint[], $5::bytea[], $6::text[],
            $7::timestamptz[], $8::timestamptz[], $9::timestamptz[], $10::text[])
            WITH ORDINALITY AS asked (id, account_id, provider, cost, requested, state, queued_at,
                                      deadline_at, decided_at, failure_code, place)
          LEFT JOIN provider ON provider.name = asked.provider
    ), extended AS (
        INSERT INTO share (account_id, provider, finish_tag)
        SELECT account_id, provider, max(virtual_time) + sum(cost) FROM asked
         WHERE state = 'queued' GROUP BY account_id, provider ORDER BY account_id, provider
        ON CONFLICT (account_id, provider) DO UPDATE SET finish_tag = greatest(
            excluded.finish_tag, share.finish_tag + excluded.finish_tag - coalesce(
                (SELECT virtual_time FROM provider WHERE name = share.provider), 0))
        RETURNING account_id, provider, finish_tag
    )
    INSERT INTO job (id, account_id, provider, cost, start_tag, requested, state, queued_at,
                     deadline_at, decided_at, failure_code)
    SELECT id, account_id, provider, cost,
           coalesce(finish_tag - sum(cost) OVER (
               PARTITION BY account_id, provider ORDER BY place DESC), 0),
           requested, state, queued_at, deadline_at, decided_at, failure_code
      FROM asked LEFT JOIN extended USING (account_id, provider)
     ORDER BY id
    ON CONFLICT (id) DO NOTHING
    RETURNING id
"""

CLAIM = """
    SELECT is_behind, again_at, job_id, fence, attempt_id, tries, queued_at, started_at, requested,
           submission
      FROM claim_jobs($1, $2, $3, $4, $5, $6)
"""

RENEW = """
    WITH held AS (
        SELECT job.id FROM job JOIN unnest($1::uuid[], $2::bigint[]) AS claim (id, fence)
            ON job.id = claim.id AND job.fence = claim.fence
         WHERE state = 'running' ORDER BY job.id FOR UPDATE OF job
    )
    UPDATE job SET wait_until = $3 FROM held WHERE job.id = held.id RETURNING job.id
"""


class NewJob(Struct, frozen=True, kw_only=True):
    """A row for the queue, or one that was refused at once; in the order of ENQUEUE."""

    id: UUID
    account_id: UUID
    provider: str
    cost: int
    requested: bytes
    state: JobState
    queued_at: datetime
    deadline_at: datetime
    decided_at: datetime | None = None
    failure_code: str | None = None


class Claimed(Struct, frozen=True, kw_only=True):
    """What a claim has brought."""

    claims: list[Claim]
    is_behind: bool  # jobs may be left that wait for a free slot or call
    again_at: datetime | None = None  # when jobs may be taken that their provider's pace holds up


async def offer_providers(connection: Connection, offered: Iterable[Capabilities]) -> None:
    """Make the providers and their limits known to the claims of all replicas."""
    rows = [(each.provider, each.concurrency, each.per_minute) for each in offered]
    await connection.execute(OFFER_PROVIDERS, *map(list, zip(*rows, strict=True)))


async def enqueue(connection: Connection, jobs: Sequence[NewJob]) -> frozenset[UUID]:
    """Queue the jobs that are not there yet, in their order; returns which those were."""
    rows = await connection.fetch(ENQUEUE, *zip(*map(astuple, jobs), strict=True))
    return frozenset(row["id"] for row in rows)


async def claim(
    connection: Connection,
    providers: Sequence[str],
    attempt_ids: Sequence[UUID],
    *,
    worker: str,
    now: datetime,
    lease_until: datetime,
) -> Claimed:
    """Take the next jobs, one for each attempt id at most; with the call it has committed."""
    rows = await connection.fetch(
        CLAIM, providers, len(attempt_ids), attempt_ids, worker, now, lease_until
    )
    return Claimed(
        claims=[_claim(row) for row in rows if row["job_id"] is not None],
        is_behind=any(row["is_behind"] for row in rows),
        again_at=rows[0]["again_at"] if rows else None,
    )


async def renew(
    connection: Connection, claims: Collection[Claim], lease_until: datetime
) -> frozenset[UUID]:
    """Hold claims for longer; returns the jobs whose claim is still good."""
    rows = await connection.fetch(
        RENEW, [each.job_id for each in claims], [each.fence for each in claims], lease_until
    )
    return frozenset(row["id"] for row in rows)


def read_request(encoded: bytes) -> Event[GenerationRequested]:
    """The event that asked for a job, from the job's row."""
    return cast("Event[GenerationRequested]", REGISTRY.decode(encoded))


def _claim(row: Record) -> Claim:
    return Claim(
        job_id=row["job_id"],
        fence=row["fence"],
        attempt_id=row["attempt_id"],
        tries=row["tries"],
        queued_at=row["queued_at"],
        started_at=row["started_at"],
        requested=read_request(row["requested"]),
        submission=row["submission"],
    )
