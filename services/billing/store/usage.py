"""Every statement about usage."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from asyncpg import Record
from msgspec import Struct
from msgspec.structs import asdict, astuple

from libs.events.billing import UsageOutcome
from libs.events.generation import CostSource
from libs.runtime.bulk import COPY_ROWS_MIN, copy_new
from libs.runtime.db import Connection
from libs.runtime.paging import Position
from services.billing.domain.usage import Usage

# In the order of the struct's fields.
COLUMNS = """
    id, job_id, account_id, user_id, workspace_id, operation, provider, model, price_book_version,
    requested_at, units_requested, units_delivered, credits, outcome, error_code, input_tokens,
    output_tokens, queued_ms, provider_ms, provider_cost_microusd, provider_cost_source,
    attempt_id, provider_references, event_id, correlation_id, occurred_at
"""

COLUMN_NAMES = Usage.__struct_fields__

# ruff: noqa: S608  -- the statements are put together from constants of this module alone

RECORD_USAGE = f"""
    INSERT INTO usage ({COLUMNS})
    SELECT * FROM unnest(
        $1::uuid[], $2::uuid[], $3::uuid[], $4::uuid[], $5::uuid[], $6::text[], $7::text[],
        $8::text[], $9::integer[], $10::timestamptz[], $11::integer[], $12::integer[],
        $13::bigint[], $14::text[], $15::text[], $16::bigint[], $17::bigint[], $18::bigint[],
        $19::bigint[], $20::bigint[], $21::text[], $22::uuid[], $23::text[], $24::uuid[],
        $25::uuid[], $26::timestamptz[])
    ON CONFLICT (job_id) DO NOTHING
    RETURNING job_id
"""

SELECT_USAGE = f"SELECT {COLUMNS} FROM usage"

# Conditions of a list, each with the place of its value; what is not asked for is left out, so that
# the plan is that of what is.
CONDITIONS = {
    "owner_id": "owner_id = ${}",
    "user_id": "user_id = ${}",
    "account_id": "account_id = ${}",
    "workspace_id": "workspace_id = ${}",
    "job_id": "job_id = ${}",
    "provider": "provider = ${}",
    "model": "model = ${}",
    "operation": "operation = ${}",
    "outcome": "outcome = ${}",
    "since": "occurred_at >= ${}",
    "until": "occurred_at < ${}",
}


class Filter(Struct, frozen=True, kw_only=True):
    """Which rows are asked for. `owner_id` is whose own list shows them."""

    owner_id: UUID | None = None
    user_id: UUID | None = None
    account_id: UUID | None = None
    workspace_id: UUID | None = None
    job_id: UUID | None = None
    provider: str | None = None
    model: str | None = None
    operation: str | None = None
    outcome: UsageOutcome | None = None
    since: datetime | None = None
    until: datetime | None = None


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


async def list_usage(
    connection: Connection, wanted: Filter, after: Position, limit: int
) -> list[Usage]:
    """Usage, newest first, from behind a position on."""
    statement, values = listing(wanted)
    rows = await connection.fetch(statement, after.at, after.id, limit, *values)
    return [_usage(row) for row in rows]


def listing(wanted: Filter) -> tuple[str, list[Any]]:
    """The statement of a list, and the values of its conditions."""
    given = {name: value for name, value in asdict(wanted).items() if value is not None}
    conditions = [CONDITIONS[name].format(place) for place, name in enumerate(given, start=4)]
    where = " AND ".join(["(occurred_at, id) < ($1, $2)", *conditions])
    return (
        f"{SELECT_USAGE} WHERE {where} ORDER BY occurred_at DESC, id DESC LIMIT $3",
        list(given.values()),
    )


def _usage(row: Record) -> Usage:
    source = CostSource(row["provider_cost_source"])
    outcome = UsageOutcome(row["outcome"])
    return Usage(**{**row, "outcome": outcome, "provider_cost_source": source})
