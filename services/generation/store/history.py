"""Statements of a rebuild: decided jobs and their winners, as recorded events tell of them."""

from collections.abc import Sequence

from libs.events.envelope import Event, encode
from libs.events.generation import GenerationCompleted, GenerationFailed, GenerationRequested
from libs.runtime.db import Connection

REMEMBER = """
    INSERT INTO job (id, account_id, provider, cost, start_tag, requested, state, queued_at,
                     deadline_at)
    SELECT DISTINCT ON (id) id, account_id, provider, 0, 0, requested, 'queued', queued_at,
           deadline_at
      FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::bytea[], $5::timestamptz[],
                  $6::timestamptz[]) WITH ORDINALITY
           AS row (id, account_id, provider, requested, queued_at, deadline_at, place)
     ORDER BY id, place
    ON CONFLICT (id) DO NOTHING
"""

# A request that nobody could read, and that was given up, is known by its answer alone.
DECIDE = """
    WITH answer AS (
        SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::uuid[],
                             $6::timestamptz[], $7::bigint[], $8::bigint[])
               AS row (id, account_id, state, failure_code, attempt_id, decided_at, provider_ms,
                       provider_cost_microusd)
    ), decided AS (
        INSERT INTO job (id, account_id, provider, cost, start_tag, requested, state, queued_at,
                         deadline_at, decided_at, failure_code, attempt_id)
        SELECT id, account_id, '', 0, 0, '', state, decided_at, decided_at, decided_at,
               failure_code, attempt_id
          FROM answer
        ON CONFLICT (id) DO UPDATE
           SET state = excluded.state, decided_at = excluded.decided_at,
               failure_code = excluded.failure_code, attempt_id = excluded.attempt_id
         WHERE job.decided_at IS NULL
        RETURNING id
    )
    INSERT INTO attempt (id, job_id, number, worker, state, started_at, ended_at, provider_ms,
                         provider_cost_microusd)
    SELECT attempt_id, id, 1, '', 'won', decided_at, decided_at, provider_ms,
           provider_cost_microusd
      FROM answer JOIN decided USING (id) WHERE state = 'completed'
"""

# What was decided stays decided: a request that is told again must not be generated again.
ADOPT_JOBS = """
    INSERT INTO job AS live (id, account_id, provider, cost, start_tag, requested, state, fence,
                             tries, queued_at, deadline_at, decided_at, failure_code, attempt_id)
    SELECT id, account_id, provider, cost, start_tag, requested, state, fence, tries, queued_at,
           deadline_at, decided_at, failure_code, attempt_id
      FROM {schema}.job WHERE decided_at IS NOT NULL ORDER BY id
    ON CONFLICT (id) DO UPDATE
       SET state = excluded.state, failure_code = excluded.failure_code, wait_until = NULL,
           attempt_id = excluded.attempt_id,
           decided_at = coalesce(live.decided_at, excluded.decided_at)
     WHERE (live.state, live.failure_code, live.attempt_id)
           IS DISTINCT FROM (excluded.state, excluded.failure_code, excluded.attempt_id)
"""
ADOPT_WINNERS = """
    INSERT INTO attempt AS live (id, job_id, number, worker, state, started_at, ended_at,
                                 provider_ms, provider_cost_microusd)
    SELECT won.id, won.job_id, coalesce(max(other.number), 0) + 1, won.worker, won.state,
           won.started_at, won.ended_at, won.provider_ms, won.provider_cost_microusd
      FROM {schema}.attempt AS won
      LEFT JOIN attempt AS other ON other.job_id = won.job_id AND other.id <> won.id
     GROUP BY won.id
    ON CONFLICT (id) DO UPDATE
       SET state = excluded.state, ended_at = coalesce(live.ended_at, excluded.ended_at),
           sweep_at = NULL, provider_ms = excluded.provider_ms,
           provider_cost_microusd = excluded.provider_cost_microusd
     WHERE (live.state, live.provider_ms, live.provider_cost_microusd) IS DISTINCT FROM
           (excluded.state, excluded.provider_ms, excluded.provider_cost_microusd)
"""


async def remember(connection: Connection, events: Sequence[Event[GenerationRequested]]) -> None:
    """Take down what was asked for."""
    rows = [
        (
            event.data.job_id,
            event.data.account_id,
            event.data.request.provider,
            encode(event),
            event.data.request.requested_at,
            event.data.request.deadline_at,
        )
        for event in events
    ]
    if rows:
        await connection.execute(REMEMBER, *zip(*rows, strict=True))


async def decide(
    connection: Connection, events: Sequence[Event[GenerationCompleted] | Event[GenerationFailed]]
) -> None:
    """Take down answers, at most one for each job; what is decided stays as it is."""
    rows = [
        (
            event.data.job_id,
            event.data.account_id,
            "completed" if isinstance(event.data, GenerationCompleted) else "failed",
            event.data.code.value if isinstance(event.data, GenerationFailed) else None,
            event.data.attempt_id,
            event.time,
            event.data.provider_ms,
            event.data.provider_cost_microusd,
        )
        for event in events
    ]
    if rows:
        await connection.execute(DECIDE, *zip(*rows, strict=True))


async def adopt(connection: Connection, schema: str) -> int:
    """Take over decided jobs and winners that differ or are missing; answers how many rows."""
    done = [
        await connection.execute(statement.format(schema=schema))
        for statement in (ADOPT_JOBS, ADOPT_WINNERS)
    ]
    return sum(int(each.rpartition(" ")[2]) for each in done)
