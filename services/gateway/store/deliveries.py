"""Statements about what is to be told to other programs, and how that went."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

import msgspec
from asyncpg import Record
from msgspec import Struct

from libs.events.derived_ids import derived_id
from libs.runtime.db import Connection
from libs.runtime.paging import Position
from services.gateway.domain.feed import FeedEntry
from services.gateway.domain.jobs import JobState
from services.gateway.domain.webhooks import Outcome
from services.gateway.store.jobs import ORDER_COLUMNS, STATE_COLUMNS, OwnJob, own_job

WEBHOOK_CHANNEL: Final = "webhook"
"""Something is to be told to another program."""

# Who wants to be told: at the address that the order has named, and at those that are registered.
# Locked, as an endpoint that is being removed would not be there when it is referred to.
WANTED = """
    SELECT e.endpoint_id, j.job_id, coalesce(e.url, j.webhook_url) AS url, e.events
      FROM job j JOIN webhook_endpoint e ON e.user_id = j.user_id
     WHERE j.job_id = ANY($1::uuid[]) AND e.disabled_at IS NULL
       AND (e.url IS NOT NULL OR j.webhook_url IS NOT NULL)
       FOR KEY SHARE OF e
"""
QUEUE = """
    INSERT INTO webhook_delivery (delivery_id, endpoint_id, url, event, job_id, state, told_at,
                                  due_at)
    SELECT told.*, clock_timestamp(), clock_timestamp()
      FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::uuid[], $6::jsonb[]) AS told
    ON CONFLICT (delivery_id) DO NOTHING
"""
NEXT = """
    SELECT min(greatest(due_at, leased_until)) FROM webhook_delivery WHERE due_at IS NOT NULL
"""
# Nobody else sends what is leased. Where nothing has arrived of late, fewer are tried at once.
TAKE = """
    WITH healthy AS (
        SELECT d.delivery_id FROM webhook_delivery d JOIN webhook_endpoint e USING (endpoint_id)
         WHERE d.due_at <= $1 AND (d.leased_until IS NULL OR d.leased_until <= $1)
           AND e.failing_since IS NULL
         ORDER BY d.due_at LIMIT $3 FOR UPDATE OF d SKIP LOCKED
    ), failing AS (
        SELECT d.delivery_id FROM webhook_delivery d JOIN webhook_endpoint e USING (endpoint_id)
         WHERE d.due_at <= $1 AND (d.leased_until IS NULL OR d.leased_until <= $1)
           AND e.failing_since IS NOT NULL
         ORDER BY d.due_at LIMIT $4 FOR UPDATE OF d SKIP LOCKED
    )
    UPDATE webhook_delivery d
       SET leased_until = $1::timestamptz + $2::interval, attempts = attempts + 1, step = step + 1
     WHERE delivery_id IN (
           SELECT delivery_id FROM healthy UNION ALL SELECT delivery_id FROM failing)
    RETURNING delivery_id, endpoint_id, url, event, job_id, state, told_at, attempts, step
"""
FIND_JOB = f"""
    SELECT {ORDER_COLUMNS}, {STATE_COLUMNS} FROM job WHERE job_id = $1
"""  # noqa: S608  -- put together from constants alone
LOG = """
    INSERT INTO webhook_attempt (delivery_id, number, at, status, error, latency_ms)
    SELECT $1, $2, $3, $4, $5, $6 WHERE EXISTS (
           SELECT FROM webhook_delivery WHERE delivery_id = $1 AND attempts = $2 FOR UPDATE)
    RETURNING true
"""
SETTLE = """
    UPDATE webhook_delivery SET leased_until = NULL, due_at = $2, delivered_at = $3
     WHERE delivery_id = $1
"""
# What would be tried there in vain is not kept waiting.
HOLD_BACK = """
    UPDATE webhook_delivery SET due_at = NULL
     WHERE endpoint_id = $1 AND due_at IS NOT NULL AND leased_until IS NULL
"""
NOTE_ARRIVAL = """
    UPDATE webhook_endpoint SET failing_since = NULL
     WHERE endpoint_id = $1 AND failing_since IS NOT NULL
"""
NOTE_FAILURE = """
    UPDATE webhook_endpoint SET failing_since = coalesce(failing_since, $2)
     WHERE endpoint_id = $1 RETURNING failing_since
"""
DISABLE = """
    UPDATE webhook_endpoint SET disabled_at = $2
     WHERE endpoint_id = $1 AND url IS NOT NULL AND disabled_at IS NULL RETURNING true
"""
FORGET = """
    DELETE FROM webhook_delivery WHERE delivery_id IN (
           SELECT delivery_id FROM webhook_delivery WHERE told_at < $1 AND due_at IS NULL
            ORDER BY told_at LIMIT $2)
"""
LIST = """
    SELECT delivery_id, url, event, job_id, told_at, due_at, attempts, delivered_at
      FROM webhook_delivery
     WHERE endpoint_id = $1 AND (told_at, delivery_id) < ($2, $3)
     ORDER BY told_at DESC, delivery_id DESC LIMIT $4
"""
LIST_ATTEMPTS = """
    SELECT delivery_id, number, at, status, error, latency_ms FROM webhook_attempt
     WHERE delivery_id = ANY($1::uuid[]) ORDER BY delivery_id, number
"""
REPLAY = """
    UPDATE webhook_delivery SET due_at = $3, step = 0, delivered_at = NULL
     WHERE delivery_id = $1 AND endpoint_id = $2
       AND (leased_until IS NULL OR leased_until <= $3)
    RETURNING true
"""
EXISTS = "SELECT true FROM webhook_delivery WHERE delivery_id = $1 AND endpoint_id = $2"


class Due(Struct, frozen=True, kw_only=True):
    """Something that this process is to send now; `attempts` says that it is still its turn."""

    delivery_id: UUID
    endpoint_id: UUID
    url: str
    event: str
    job_id: UUID
    state: JobState
    told_at: datetime
    attempts: int
    step: int


class Attempt(Struct, frozen=True, kw_only=True):
    number: int
    at: datetime
    status: int | None
    error: str | None
    latency_ms: int


class Delivery(Struct, frozen=True, kw_only=True):
    """Something that was, or is to be, told; due never more: it has arrived, or was given up."""

    delivery_id: UUID
    url: str
    event: str
    job_id: UUID
    told_at: datetime
    due_at: datetime | None
    delivered_at: datetime | None
    attempts: Sequence[Attempt]


async def queue(connection: Connection, entries: Sequence[tuple[FeedEntry, int]]) -> bool:
    """Keep what is to be told of jobs, by entries with their positions in the feeds.

    Answers whether anybody wants it. A delivery's id follows from what it tells to whom.
    """
    jobs = {entry.job_id for entry, _ in entries if entry.job_id is not None}
    if not jobs:
        return False
    wanted: dict[UUID, list[Record]] = defaultdict(list)
    for row in await connection.fetch(WANTED, list(jobs)):
        wanted[row["job_id"]].append(row)
    rows = [
        (
            derived_id(to["endpoint_id"], str(position)),
            to["endpoint_id"],
            to["url"],
            entry.kind.value,
            entry.job_id,
            msgspec.json.encode(entry.body).decode(),
        )
        for entry, position in entries
        if entry.job_id is not None
        for to in wanted[entry.job_id]
        if entry.kind.value in to["events"]
    ]
    if rows:
        await connection.execute(QUEUE, *zip(*rows, strict=True))
    return bool(rows)


async def next_at(connection: Connection) -> datetime | None:
    at: datetime | None = await connection.fetchval(NEXT)
    return at


async def take(
    connection: Connection, at: datetime, lease: timedelta, *, most: int, most_failing: int
) -> Sequence[Due]:
    """Take what is due, for as long as the lease lasts."""
    rows = await connection.fetch(TAKE, at, lease, most, most_failing)
    return [
        Due(**{**row, "state": msgspec.json.decode(row["state"], type=JobState)}) for row in rows
    ]


async def find_job(connection: Connection, job_id: UUID) -> OwnJob | None:
    """The job that something is told of."""
    row = await connection.fetchrow(FIND_JOB, job_id)
    return None if row is None else own_job(row)


async def settle(
    connection: Connection, due: Due, outcome: Outcome, *, at: datetime, again_at: datetime | None
) -> bool:
    """Log an attempt, and when there is another one. False: it was not this process's turn."""
    logged = await connection.fetchval(
        LOG, due.delivery_id, due.attempts, at, outcome.status, outcome.error, outcome.latency_ms
    )
    if logged:
        delivered_at = at if outcome.has_arrived else None
        await connection.execute(SETTLE, due.delivery_id, again_at, delivered_at)
    return bool(logged)


async def note_arrival(connection: Connection, endpoint_id: UUID) -> None:
    await connection.execute(NOTE_ARRIVAL, endpoint_id)


async def note_failure(connection: Connection, endpoint_id: UUID, at: datetime) -> datetime:
    """Answers since when nothing has arrived."""
    since: datetime = await connection.fetchval(NOTE_FAILURE, endpoint_id, at) or at
    return since


async def disable(connection: Connection, endpoint_id: UUID, at: datetime) -> bool:
    """Tell an endpoint nothing more; the addresses of orders are never disabled together."""
    disabled = await connection.fetchval(DISABLE, endpoint_id, at)
    if disabled:
        await connection.execute(HOLD_BACK, endpoint_id)
    return bool(disabled)


async def forget(connection: Connection, before: datetime, most: int) -> None:
    """Forget what has ended long ago."""
    await connection.execute(FORGET, before, most)


async def list_of(
    connection: Connection, endpoint_id: UUID, *, after: Position, limit: int
) -> list[Delivery]:
    """What an endpoint was told, the newest first."""
    rows = await connection.fetch(LIST, endpoint_id, after.at, after.id, limit)
    attempts: dict[UUID, list[Attempt]] = defaultdict(list)
    for row in await connection.fetch(LIST_ATTEMPTS, [row["delivery_id"] for row in rows]):
        fields = dict(row)
        attempts[fields.pop("delivery_id")].append(Attempt(**fields))
    return [Delivery(**{**row, "attempts": attempts[row["delivery_id"]]}) for row in rows]


async def exists(connection: Connection, delivery_id: UUID, endpoint_id: UUID) -> bool:
    return bool(await connection.fetchval(EXISTS, delivery_id, endpoint_id))


async def replay(
    connection: Connection, delivery_id: UUID, endpoint_id: UUID, at: datetime
) -> bool:
    """Have it sent again, from the ladder's foot. False: it is being sent just now."""
    return bool(await connection.fetchval(REPLAY, delivery_id, endpoint_id, at))
