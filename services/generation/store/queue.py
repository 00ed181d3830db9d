"""Statements that put jobs into the queue, take them out of it, and keep them while they run.

Locks are taken in one order: shares of accounts, jobs by id, providers.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
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
    INSERT INTO provider (name, concurrency)
    SELECT * FROM unnest($1::text[], $2::integer[]) AS offered (name, concurrency) ORDER BY name
    ON CONFLICT (name) DO UPDATE SET concurrency = excluded.concurrency
     WHERE provider.concurrency <> excluded.concurrency
"""

# The update changes nothing: it makes the rows and locks them in one statement.
LOCK_SHARES = """
    INSERT INTO share (account_id, provider)
    SELECT * FROM unnest($1::uuid[], $2::text[]) AS asked (account_id, provider)
     ORDER BY account_id, provider
    ON CONFLICT (account_id, provider) DO UPDATE SET finish_tag = share.finish_tag
    RETURNING account_id, provider, finish_tag,
              (SELECT virtual_time FROM provider WHERE name = share.provider) AS virtual_time
"""

EXTEND_SHARES = """
    UPDATE share SET finish_tag = reached.finish_tag
      FROM unnest($1::uuid[], $2::text[], $3::bigint[])
           AS reached (account_id, provider, finish_tag)
     WHERE share.account_id = reached.account_id AND share.provider = reached.provider
"""

INSERT_JOBS = """
    INSERT INTO job (id, account_id, provider, cost, start_tag, requested, state, queued_at,
                     deadline_at, decided_at, failure_code)
    SELECT * FROM unnest(
        $1::uuid[], $2::uuid[], $3::text[], $4::bigint[], $5::bigint[], $6::bytea[], $7::text[],
        $8::timestamptz[], $9::timestamptz[], $10::timestamptz[], $11::text[])
    ON CONFLICT (id) DO NOTHING
    RETURNING id
"""

FIND_WAITING = """
    SELECT waiting.* FROM provider CROSS JOIN LATERAL (
        SELECT id, provider, start_tag FROM job
         WHERE state = 'queued' AND job.provider = provider.name
         ORDER BY start_tag, id
         LIMIT greatest(0, least($1, provider.concurrency - (
             SELECT count(*) FROM job WHERE state = 'running' AND job.provider = provider.name)))
           FOR UPDATE SKIP LOCKED) AS waiting
     WHERE provider.name = ANY($2)
"""

LOCK_PROVIDERS = """
    SELECT name, concurrency FROM provider WHERE name = ANY($1)
     ORDER BY name FOR NO KEY UPDATE
"""

COUNT_RUNNING = """
    SELECT provider, count(*) AS running FROM job
     WHERE state = 'running' AND provider = ANY($1) GROUP BY provider
"""

START = """
    WITH started AS (
        UPDATE job
           SET state = 'running', fence = fence + 1, tries = tries + 1,
               attempt_id = taken.attempt_id, wait_until = $3,
               started_at = coalesce(job.started_at, $4)
          FROM unnest($1::uuid[], $2::uuid[]) AS taken (id, attempt_id)
         WHERE job.id = taken.id AND job.state = 'queued'
        RETURNING job.*
    ), opened AS (
        INSERT INTO attempt (id, job_id, number, worker, state, started_at)
        SELECT attempt_id, id, tries, $5, 'running', $4 FROM started
    ), served AS (
        UPDATE provider SET virtual_time = greatest(virtual_time, latest.start_tag)
          FROM (SELECT provider, max(start_tag) AS start_tag FROM started GROUP BY provider)
               AS latest
         WHERE name = latest.provider
    )
    SELECT id AS job_id, fence, attempt_id, tries, queued_at, started_at, requested
      FROM started ORDER BY start_tag, id
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
    """A row for the queue, or one that was refused at once; in the order of INSERT_JOBS."""

    id: UUID
    account_id: UUID
    provider: str
    cost: int
    start_tag: int
    requested: bytes
    state: JobState
    queued_at: datetime
    deadline_at: datetime
    decided_at: datetime | None = None
    failure_code: str | None = None


class Share(Struct, frozen=True, kw_only=True):
    """An account's place at a provider, and the provider's virtual time."""

    finish_tag: int
    virtual_time: int


class Waiting(Struct, frozen=True, kw_only=True):
    """A job that could be taken."""

    id: UUID
    provider: str
    start_tag: int


async def offer_providers(connection: Connection, offered: Iterable[Capabilities]) -> None:
    """Make the providers and their limits known to the claims of all replicas."""
    rows = [(each.provider, each.concurrency) for each in offered]
    await connection.execute(OFFER_PROVIDERS, *map(list, zip(*rows, strict=True)))


async def lock_shares(
    connection: Connection, keys: Collection[tuple[UUID, str]]
) -> dict[tuple[UUID, str], Share]:
    """The shares of these accounts and providers, made where there were none, and locked."""
    rows = await connection.fetch(LOCK_SHARES, *map(list, zip(*keys, strict=True))) if keys else ()
    return {
        (row["account_id"], row["provider"]): Share(
            finish_tag=row["finish_tag"], virtual_time=row["virtual_time"] or 0
        )
        for row in rows
    }


async def extend_shares(
    connection: Connection, finish_tags: Mapping[tuple[UUID, str], int]
) -> None:
    """Write how far locked shares reach now."""
    rows = [(account_id, name, tag) for (account_id, name), tag in finish_tags.items()]
    if rows:
        await connection.execute(EXTEND_SHARES, *map(list, zip(*rows, strict=True)))


async def insert_jobs(connection: Connection, jobs: Sequence[NewJob]) -> frozenset[UUID]:
    """Write the jobs that are not there yet; returns which those were."""
    if not jobs:
        return frozenset()
    rows = await connection.fetch(INSERT_JOBS, *zip(*map(astuple, jobs), strict=True))
    return frozenset(row["id"] for row in rows)


async def find_waiting(
    connection: Connection, providers: Sequence[str], slots: int
) -> list[Waiting]:
    """Lock the jobs that are next, as many as each provider seems to have room for."""
    return [Waiting(**row) for row in await connection.fetch(FIND_WAITING, slots, providers)]


async def lock_free_calls(connection: Connection, providers: Collection[str]) -> dict[str, int]:
    """How many more calls each provider bears. Locks it, so that nobody else counts meanwhile."""
    limits = await connection.fetch(LOCK_PROVIDERS, list(providers))
    running = {
        row["provider"]: row["running"]
        for row in await connection.fetch(COUNT_RUNNING, list(providers))
    }
    return {row["name"]: row["concurrency"] - running.get(row["name"], 0) for row in limits}


async def start(
    connection: Connection,
    attempts: Mapping[UUID, UUID],
    *,
    worker: str,
    now: datetime,
    lease_until: datetime,
) -> list[Claim]:
    """Take locked jobs (id -> new attempt); no provider is called before this has committed."""
    rows = await connection.fetch(
        START, list(attempts), list(attempts.values()), lease_until, now, worker
    )
    return [_claim(row) for row in rows]


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
    return Claim(**{**row, "requested": read_request(row["requested"])})
