"""The trail's rows: written as events come, found by whatever is known of them."""

from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import asyncpg
from asyncpg import Record
from msgspec import Struct
from msgspec.structs import asdict, astuple

from libs.events.recorded import envelope_without_person
from libs.runtime.bulk import COPY_ROWS_MIN, copy_new
from libs.runtime.db import Connection
from libs.runtime.paging import Position
from services.ledger.domain.story.telling import LotFacts
from services.ledger.domain.trail import TrailRow, row_of_envelope

COLUMN_NAMES = TrailRow.__struct_fields__
COLUMNS = ", ".join(COLUMN_NAMES)
FORGET_ROWS = 2_000
# As many rows a page looks into for a JSON path, about a quarter of a second. The cursor goes on.
LOOKED_INTO_MAX = 20_000
CHAIN_ROWS_MAX = 1_000
SEARCH_SECONDS = 5.0

# ruff: noqa: S608  -- the statements are put together from constants of this module alone

EXTEND = "SELECT extend_trail($1::date[])"
RECORD = f"""
    INSERT INTO trail ({COLUMNS})
    SELECT * FROM unnest(
        $1::uuid[], $2::timestamptz[], $3::text[], $4::integer[], $5::text[], $6::text[],
        $7::uuid[], $8::uuid[], $9::uuid[], $10::uuid[], $11::uuid[], $12::bytea[])
    ON CONFLICT DO NOTHING
"""
OF_ACCOUNT = f"""
    SELECT {COLUMNS} FROM trail
     WHERE account_id = $1 AND (occurred_at, event_id) > ($2, $3)
     ORDER BY occurred_at, event_id LIMIT $4
"""
BLANK = """
    UPDATE trail SET version = blank.version, data = blank.data
      FROM unnest($1::uuid[], $2::timestamptz[], $3::integer[], $4::bytea[])
           AS blank (event_id, occurred_at, version, data)
     WHERE trail.event_id = blank.event_id AND trail.occurred_at = blank.occurred_at
"""
CONDITIONS = {
    "types": "type = ANY(${}::text[])",
    "account_id": "account_id = ${}",
    "user_id": "user_id = ${}",
    "workspace_id": "workspace_id = ${}",
    "subject": "subject = ${}",
    "correlation_id": "correlation_id = ${}",
    "since": "occurred_at >= ${}",
    "until": "occurred_at < ${}",
}


FIND_JOB = f"""
    SELECT {COLUMNS} FROM trail
     WHERE correlation_id = ANY($1::uuid[]) OR subject = $2
     ORDER BY occurred_at, event_id LIMIT $3
"""
FIND_CHAINS = f"""
    SELECT row.* FROM unnest($1::uuid[]) AS chain (id)
     CROSS JOIN LATERAL (SELECT {COLUMNS} FROM trail WHERE correlation_id = chain.id
                          ORDER BY occurred_at, event_id LIMIT $2) AS row
     ORDER BY occurred_at, event_id
"""
# Bookings that have reversed those of a job tell of themselves, in chains of their own.
REVERSALS = """
    SELECT reversal.correlation_id
      FROM transaction AS booked
      JOIN remark ON remark.reverses_id = booked.id
      JOIN transaction AS reversal
        ON reversal.id = remark.transaction_id AND reversal.job_id IS NULL
     WHERE booked.job_id = $1
"""
LOTS = """
    SELECT lot.id, wallet, source, credits, occurred_at
      FROM lot LEFT JOIN transaction ON transaction.account_id = lot.account_id
                                    AND transaction.account_version = lot.opened_version
     WHERE lot.id = ANY($1::uuid[])
"""

# The last row that was looked into comes too, whether it fits or not: the cursor goes on from it.
SEARCH = f"""
    SELECT * FROM (
        SELECT *, ($4::text IS NULL OR trail_has(data, $4::text::jsonpath)) AS fits,
               row_number() OVER (ORDER BY occurred_at DESC, event_id DESC) AS place,
               count(*) OVER () AS looked_into
          FROM (SELECT {COLUMNS} FROM trail
                 WHERE occurred_at <= $1 AND (occurred_at, event_id) < ($1, $2) AND {{where}}
                 ORDER BY occurred_at DESC, event_id DESC LIMIT $3) AS newest
    ) AS looked
     WHERE fits OR place = looked_into ORDER BY place
"""
CHAINS = """
    SELECT correlation_id FROM (
        SELECT correlation_id, occurred_at FROM trail WHERE {where}
         ORDER BY occurred_at DESC, event_id DESC LIMIT $2
    ) AS newest GROUP BY correlation_id ORDER BY max(occurred_at) DESC LIMIT $1
"""


class Wanted(Struct, frozen=True, kw_only=True):
    """Which events are asked for; `path` is a JSON path into their data."""

    types: Sequence[str] | None = None
    account_id: UUID | None = None
    user_id: UUID | None = None
    workspace_id: UUID | None = None
    subject: str | None = None
    correlation_id: UUID | None = None
    since: datetime | None = None
    until: datetime | None = None
    path: str | None = None


async def record(connection: Connection, rows: Sequence[TrailRow]) -> None:
    """Keep events; one that is kept already stays as it is."""
    if not rows:
        return
    in_order = sorted(rows, key=lambda row: (row.occurred_at, row.event_id.int))
    days = sorted({row.occurred_at.astimezone(UTC).date() for row in in_order})
    await connection.execute(EXTEND, days)
    if len(rows) >= COPY_ROWS_MIN and await copy_new(
        connection, "trail", COLUMN_NAMES, map(astuple, in_order)
    ):
        return
    await connection.execute(RECORD, *zip(*map(astuple, in_order), strict=True))


async def forget(connection: Connection, account_id: UUID) -> None:
    """Take the words and pictures of whoever is erased out of what is kept of them."""
    after = Position(datetime(1, 1, 1, tzinfo=UTC), UUID(int=0))
    while True:
        found = await connection.fetch(OF_ACCOUNT, account_id, after.at, after.id, FORGET_ROWS)
        if not found:
            return
        rows = [trail_row(each) for each in found]
        kept = [row_of_envelope(envelope_without_person(each.envelope)) for each in rows]
        changed = [new for new, row in zip(kept, rows, strict=True) if new.data != row.data]
        await connection.execute(
            BLANK,
            [each.event_id for each in changed],
            [each.occurred_at for each in changed],
            [each.version for each in changed],
            [each.data for each in changed],
        )
        after = Position(rows[-1].occurred_at, rows[-1].event_id)


async def find_job(connection: Connection, job_id: UUID) -> list[TrailRow]:
    """Everything that a job has led to, up to `CHAIN_ROWS_MAX` events, the oldest first."""
    reversals = await connection.fetch(REVERSALS, job_id)
    chains = [job_id, *(each["correlation_id"] for each in reversals)]
    rows = await connection.fetch(FIND_JOB, chains, str(job_id), CHAIN_ROWS_MAX)
    return [trail_row(each) for each in rows]


async def find_chains(
    connection: Connection, correlation_ids: Collection[UUID]
) -> list[list[TrailRow]]:
    """Everything that each of these causes has led to, as `find_job`; of an unknown one nothing."""
    chains: dict[UUID, list[TrailRow]] = {}
    for row in await connection.fetch(FIND_CHAINS, list(correlation_ids), CHAIN_ROWS_MAX):
        chains.setdefault(row["correlation_id"], []).append(trail_row(row))
    return list(chains.values())


async def find_lots(connection: Connection, lot_ids: Collection[UUID]) -> dict[UUID, LotFacts]:
    """What persons know lots by."""
    rows = await connection.fetch(LOTS, list(lot_ids)) if lot_ids else []
    return {
        row["id"]: LotFacts(
            wallet=row["wallet"],
            source=row["source"],
            credits=row["credits"],
            opened_at=row["occurred_at"],
        )
        for row in rows
    }


async def list_chains(connection: Connection, wanted: Wanted, limit: int) -> list[UUID]:
    """The chains of the newest events that fit, the newest first."""
    where, values = _conditions(wanted, first=3)
    rows = await connection.fetch(
        CHAINS.format(where=where), limit, LOOKED_INTO_MAX, *values, timeout=SEARCH_SECONDS
    )
    return [row["correlation_id"] for row in rows]


class Found(Struct, frozen=True):
    """Rows, newest first, and where the search has stopped if it did not come to the end."""

    rows: Sequence[TrailRow]
    after: Position | None


async def search(connection: Connection, wanted: Wanted, after: Position, limit: int) -> Found:
    """Events, newest first, from behind a position on.

    With a path, a page ends after `LOOKED_INTO_MAX` events, whatever it has found.

    Raises:
        TimeoutError: it took longer than `SEARCH_SECONDS`.
    """
    where, values = _conditions(wanted, first=5)
    looked_into = limit + 1 if wanted.path is None else LOOKED_INTO_MAX
    rows = await connection.fetch(
        SEARCH.format(where=where),
        after.at,
        after.id,
        looked_into,
        wanted.path,
        *values,
        timeout=SEARCH_SECONDS,
    )
    fitting = [row for row in rows if row["fits"]]
    if len(fitting) > limit:
        shown = fitting[:limit]
        return Found([trail_row(each) for each in shown], _place(shown[-1]))
    has_more = wanted.path is not None and bool(rows) and rows[-1]["place"] == looked_into
    after_last = _place(rows[-1]) if has_more else None
    return Found([trail_row(each) for each in fitting], after_last)


async def is_path(connection: Connection, path: str) -> bool:
    """Whether a text is a JSON path."""
    try:
        await connection.fetchval("SELECT $1::text::jsonpath IS NOT NULL", path)
    except (asyncpg.PostgresSyntaxError, asyncpg.DataError):
        return False
    return True


def _conditions(wanted: Wanted, *, first: int) -> tuple[str, list[Any]]:
    """What is asked for, and the values from the first place on."""
    given = {name: value for name, value in asdict(wanted).items() if value is not None}
    given.pop("path", None)
    conditions = [CONDITIONS[name].format(place) for place, name in enumerate(given, start=first)]
    return " AND ".join(conditions) or "true", list(given.values())


def _place(row: Record) -> Position:
    return Position(row["occurred_at"], row["event_id"])


def trail_row(row: Record) -> TrailRow:
    """A row of a statement that has the table's columns."""
    return TrailRow(**{name: row[name] for name in COLUMN_NAMES})
