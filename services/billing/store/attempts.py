"""Every statement about attempts."""

from collections.abc import Sequence
from datetime import datetime

from asyncpg import Record
from msgspec.structs import astuple

from libs.events.generation import CostSource
from libs.runtime.db import Connection
from services.billing.domain.attempts import Attempt, EndedAttempt

# Nothing but its late end comes after an attempt's end.
RECORD = """
    INSERT INTO attempt (id, job_id, account_id, provider, model, outcome, error_code, started_at,
                         ended_at, provider_references, provider_cost_microusd,
                         provider_cost_source)
    SELECT * FROM unnest(
        $1::uuid[], $2::uuid[], $3::uuid[], $4::text[], $5::text[], $6::text[], $7::text[],
        $8::timestamptz[], $9::timestamptz[], $10::text[], $11::bigint[], $12::text[])
    ON CONFLICT (id) DO UPDATE
       SET outcome = excluded.outcome, error_code = excluded.error_code,
           ended_at = excluded.ended_at, provider_references = excluded.provider_references,
           provider_cost_microusd = excluded.provider_cost_microusd,
           provider_cost_source = excluded.provider_cost_source
     WHERE excluded.outcome = 'late' AND attempt.outcome <> 'late'
"""

# An attempt is told by itself, or by its job's answer: the first is nearer to what happened.
FIND = """
    SELECT id, model, false AS is_won, started_at, ended_at, provider_references,
           provider_cost_microusd, provider_cost_source
      FROM attempt WHERE provider = $1 AND ended_at BETWEEN $2 AND $3
    UNION ALL
    SELECT attempt_id, model, outcome = 'completed',
           occurred_at - provider_ms * interval '1 millisecond', occurred_at, provider_references,
           provider_cost_microusd, provider_cost_source
      FROM usage
     WHERE provider = $1 AND occurred_at BETWEEN $2 AND $3 AND attempt_id IS NOT NULL
       AND NOT EXISTS (SELECT FROM attempt WHERE attempt.id = usage.attempt_id)
    LIMIT $4
"""
IS_KNOWN = """
    SELECT EXISTS (SELECT FROM attempt WHERE provider = $1)
        OR EXISTS (SELECT FROM usage WHERE provider = $1 AND attempt_id IS NOT NULL)
"""


async def record_attempts(connection: Connection, attempts: Sequence[EndedAttempt]) -> None:
    """Write attempts, sorted by their ids; each once, but for its late end."""
    if attempts:
        await connection.execute(RECORD, *zip(*map(astuple, attempts), strict=True))


async def find_attempts(
    connection: Connection, provider: str, since: datetime, until: datetime, limit: int
) -> list[Attempt]:
    """Attempts at a provider that ended within a time, its ends included."""
    return [_attempt(row) for row in await connection.fetch(FIND, provider, since, until, limit)]


async def is_known(connection: Connection, provider: str) -> bool:
    """Whether there was ever an attempt at a provider of this name."""
    return bool(await connection.fetchval(IS_KNOWN, provider))


def _attempt(row: Record) -> Attempt:
    return Attempt(
        id=row["id"],
        model=row["model"],
        is_won=row["is_won"],
        started_at=row["started_at"],
        ended_at=row["ended_at"],
        references=tuple(row["provider_references"].splitlines()),
        cost_microusd=row["provider_cost_microusd"],
        cost_source=CostSource(row["provider_cost_source"]),
    )
