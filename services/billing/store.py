"""Every SQL statement of billing."""

from collections.abc import Sequence
from uuid import UUID

from asyncpg import Record
from msgspec.structs import astuple

from libs.events.billing import UsageOutcome
from libs.runtime.bulk import COPY_ROWS_MIN, copy_new
from libs.runtime.db import Connection
from libs.runtime.paging import Position
from services.billing.domain.usage import Usage

# In the order of the struct's fields.
COLUMNS = """
    id, job_id, account_id, user_id, workspace_id, operation, provider, model, price_book_version,
    requested_at, units_requested, units_delivered, credits, outcome, error_code, input_tokens,
    output_tokens, queued_ms, provider_ms, provider_cost_microusd, event_id, correlation_id,
    occurred_at
"""

COLUMN_NAMES = Usage.__struct_fields__

# ruff: noqa: S608  -- the statements are put together from constants of this module alone

RECORD_USAGE = f"""
    INSERT INTO usage ({COLUMNS})
    SELECT * FROM unnest(
        $1::uuid[], $2::uuid[], $3::uuid[], $4::uuid[], $5::uuid[], $6::text[], $7::text[],
        $8::text[], $9::integer[], $10::timestamptz[], $11::integer[], $12::integer[],
        $13::bigint[], $14::text[], $15::text[], $16::bigint[], $17::bigint[], $18::bigint[],
        $19::bigint[], $20::bigint[], $21::uuid[], $22::uuid[], $23::timestamptz[])
    ON CONFLICT (job_id) DO NOTHING
    RETURNING job_id
"""

SELECT_USAGE = f"SELECT {COLUMNS} FROM usage"

LIST_OWN_USAGE = f"""
    {SELECT_USAGE}
     WHERE owner_id = $1 AND (occurred_at, id) < ($2, $3)
     ORDER BY occurred_at DESC, id DESC
     LIMIT $4
"""

LIST_ALL_USAGE = f"""
    {SELECT_USAGE}
     WHERE (occurred_at, id) < ($1, $2)
     ORDER BY occurred_at DESC, id DESC
     LIMIT $3
"""

FIND_USAGE = f"{SELECT_USAGE} WHERE job_id = $1"

FIND_OWN_USAGE = f"{SELECT_USAGE} WHERE job_id = $1 AND owner_id = $2"


async def record_usage(connection: Connection, usages: Sequence[Usage]) -> frozenset[UUID]:
    """Write one row per job; returns the jobs that had one already."""
    if not usages:
        return frozenset()
    if len(usages) >= COPY_ROWS_MIN and await copy_new(
        connection, "usage", COLUMN_NAMES, map(astuple, usages)
    ):
        return frozenset()
    rows = await connection.fetch(RECORD_USAGE, *zip(*map(astuple, usages), strict=True))
    return frozenset(each.job_id for each in usages) - {row["job_id"] for row in rows}


async def list_own_usage(
    connection: Connection, owner_id: UUID, after: Position, limit: int
) -> list[Usage]:
    """A person's usage, newest first, from behind a position on."""
    rows = await connection.fetch(LIST_OWN_USAGE, owner_id, after.at, after.id, limit)
    return [_usage(row) for row in rows]


async def list_all_usage(connection: Connection, after: Position, limit: int) -> list[Usage]:
    """Everybody's usage, newest first, from behind a position on."""
    rows = await connection.fetch(LIST_ALL_USAGE, after.at, after.id, limit)
    return [_usage(row) for row in rows]


async def find_usage(connection: Connection, job_id: UUID) -> list[Usage]:
    """The usage of a job: one row, or none yet."""
    return [_usage(row) for row in await connection.fetch(FIND_USAGE, job_id)]


async def find_own_usage(connection: Connection, job_id: UUID, owner_id: UUID) -> list[Usage]:
    """The usage of a person's job: one row, or none, as for everybody else's jobs."""
    return [_usage(row) for row in await connection.fetch(FIND_OWN_USAGE, job_id, owner_id)]


def _usage(row: Record) -> Usage:
    return Usage(**{**row, "outcome": UsageOutcome(row["outcome"])})
