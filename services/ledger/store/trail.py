"""The trail's rows: written as events come, found by whatever is known of them."""

from collections.abc import Sequence
from datetime import UTC, datetime
from uuid import UUID

from asyncpg import Record
from msgspec import Struct
from msgspec.structs import astuple

from libs.events.recorded import envelope_without_person
from libs.runtime.bulk import COPY_ROWS_MIN, copy_new
from libs.runtime.db import Connection
from libs.runtime.paging import Position
from services.ledger.domain.trail import TrailRow, row_of_envelope

COLUMN_NAMES = TrailRow.__struct_fields__
COLUMNS = ", ".join(COLUMN_NAMES)
FORGET_ROWS = 2_000
# As many rows a page looks into for a JSON path, about a quarter of a second. The cursor goes on.
LOOKED_INTO_MAX = 20_000

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


def trail_row(row: Record) -> TrailRow:
    """A row of a statement that has the table's columns."""
    return TrailRow(**{name: row[name] for name in COLUMN_NAMES})
