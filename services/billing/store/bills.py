"""Every statement about bills of providers."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from asyncpg import Record
from msgspec import Struct

from libs.events.billing import BillEntry, BillFinding, ProviderBillImported
from libs.events.envelope import Event
from libs.events.payload import Payload
from libs.runtime.db import Connection
from libs.runtime.paging import Position
from services.billing.domain.reconciliation import Before

KNOW_PROVIDER = "INSERT INTO billed_provider (name) VALUES ($1) ON CONFLICT DO NOTHING"
LOCK_PROVIDER = "SELECT FROM billed_provider WHERE name = $1 FOR UPDATE"

ADD_BILLS = """
    INSERT INTO bill (id, provider, file_name, sha256, actor, since, until, lines, billed_microusd,
                      own_microusd, findings, imported_at)
    SELECT DISTINCT ON (id) * FROM unnest(
        $1::uuid[], $2::text[], $3::text[], $4::text[], $5::uuid[], $6::timestamptz[],
        $7::timestamptz[], $8::integer[], $9::bigint[], $10::bigint[], $11::text[],
        $12::timestamptz[])
        AS told (id, provider, file_name, sha256, actor, since, until, lines, billed_microusd,
                 own_microusd, findings, imported_at)
     ORDER BY id
    ON CONFLICT (id) DO NOTHING
"""
ENTRY_COLUMNS = """line, reference, at, model, amount_microusd, status, finding, attempt_id,
                   own_microusd"""
# ruff: noqa: S608  -- the statements are put together from constants of this module alone
ADD_ENTRIES = f"""
    INSERT INTO bill_entry (bill_id, place, provider, {ENTRY_COLUMNS})
    SELECT * FROM unnest(
        $1::uuid[], $2::integer[], $3::text[], $4::integer[], $5::text[], $6::timestamptz[],
        $7::text[], $8::bigint[], $9::text[], $10::text[], $11::uuid[], $12::bigint[])
    ON CONFLICT (bill_id, place) DO NOTHING
"""
LISTED_BEFORE = f"""
    SELECT DISTINCT ON (reference) {ENTRY_COLUMNS} FROM bill_entry
     WHERE provider = $1 AND reference = ANY($2::text[]) AND reference <> '' AND line IS NOT NULL
     ORDER BY reference, at, bill_id, place
"""
COUNTED_BEFORE = """
    SELECT DISTINCT attempt_id, reference, line FROM bill_entry
     WHERE attempt_id = ANY($1::uuid[]) AND attempt_id IS NOT NULL
"""
BILL_COLUMNS = """id, provider, file_name, sha256, actor, since, until, lines, billed_microusd,
                  own_microusd, findings, imported_at"""
FIND_BILL = f"SELECT {BILL_COLUMNS} FROM bill WHERE id = $1"
LIST_BILLS = f"""
    SELECT {BILL_COLUMNS} FROM bill
     WHERE (imported_at, id) < ($1, $2) AND ($4::text IS NULL OR provider = $4)
     ORDER BY imported_at DESC, id DESC LIMIT $3
"""
LIST_ENTRIES = f"""
    SELECT place, {ENTRY_COLUMNS} FROM bill_entry
     WHERE bill_id = $1 AND place > $2 AND finding = ANY($4::text[]) ORDER BY place LIMIT $3
"""
DRIFT = """
    SELECT provider, count(*) AS bills, sum(lines)::bigint AS lines,
           sum(billed_microusd)::bigint AS billed_microusd,
           sum(own_microusd)::bigint AS own_microusd, min(since) AS since, max(until) AS until
      FROM bill GROUP BY provider ORDER BY provider
"""
FINDINGS = "SELECT provider, findings FROM bill"
UNKNOWN = """
    SELECT provider, count(*) FROM attempt
     WHERE outcome IN ('unknown', 'handed_back', 'stopped', 'late')
       AND provider_cost_source = 'unknown'
       AND NOT EXISTS (SELECT FROM bill_entry WHERE attempt_id = attempt.id)
     GROUP BY provider
"""


class Bill(Struct, frozen=True, kw_only=True):
    """A bill that was imported; in the order of BILL_COLUMNS."""

    id: UUID
    provider: str
    file_name: str
    sha256: str
    actor: UUID
    since: datetime
    until: datetime
    lines: int
    billed_microusd: int
    own_microusd: int
    findings: dict[BillFinding, int]
    imported_at: datetime


class Drift(Struct, frozen=True, kw_only=True):
    """What a provider's bills came to, against what we had recorded for the same."""

    provider: str
    bills: int
    lines: int
    billed_microusd: int
    own_microusd: int
    since: datetime
    until: datetime
    findings: dict[BillFinding, int]


async def lock_provider(connection: Connection, provider: str) -> None:
    """Let one bill of a provider be imported at a time."""
    await connection.execute(KNOW_PROVIDER, provider)
    await connection.execute(LOCK_PROVIDER, provider)


async def follow(connection: Connection, events: Sequence[Event[Payload]]) -> None:
    """Write the bills that events tell of; what is written already stays.

    Imports, rebuild and recovery all write by this.
    """
    told = [
        (event.time, event.data) for event in events if isinstance(event.data, ProviderBillImported)
    ]
    if not told:
        return
    bills = [
        (
            bill.bill_id,
            bill.provider,
            bill.file_name,
            bill.sha256,
            bill.actor,
            bill.since,
            bill.until,
            bill.lines,
            bill.billed_microusd,
            bill.own_microusd,
            msgspec.json.encode(bill.findings, order="sorted").decode(),
            at,
        )
        for at, bill in told
        if bill.part == 1
    ]
    if bills:
        await connection.execute(ADD_BILLS, *zip(*bills, strict=True))
    rows = [
        (bill.bill_id, bill.place + number, bill.provider, *_values(entry))
        for _, bill in told
        for number, entry in enumerate(bill.entries)
    ]
    if rows:
        await connection.execute(ADD_ENTRIES, *zip(*rows, strict=True))


def _values(entry: BillEntry) -> tuple[Any, ...]:
    return (
        entry.line,
        entry.reference,
        entry.at,
        entry.model,
        entry.amount_microusd,
        entry.status,
        entry.finding.value,
        entry.attempt_id,
        entry.own_microusd,
    )


async def find_before(
    connection: Connection, provider: str, references: Sequence[str], attempt_ids: Sequence[UUID]
) -> Before:
    """What earlier bills say of these references and attempts."""
    listed = await connection.fetch(LISTED_BEFORE, provider, references)
    counted = await connection.fetch(COUNTED_BEFORE, attempt_ids)
    return Before(
        lines={row["reference"]: _entry(row) for row in listed},
        counted=frozenset((row["attempt_id"], row["reference"]) for row in counted),
    )


async def find_bill(connection: Connection, bill_id: UUID) -> Bill | None:
    """One bill."""
    row = await connection.fetchrow(FIND_BILL, bill_id)
    return None if row is None else _bill(row)


async def list_bills(
    connection: Connection, provider: str | None, after: Position, limit: int
) -> list[Bill]:
    """Bills, the newest first."""
    rows = await connection.fetch(LIST_BILLS, after.at, after.id, limit, provider)
    return [_bill(row) for row in rows]


async def list_entries(
    connection: Connection, bill_id: UUID, findings: Sequence[BillFinding], after: int, limit: int
) -> list[tuple[int, BillEntry]]:
    """A bill's entries with their places, in their order."""
    rows = await connection.fetch(
        LIST_ENTRIES, bill_id, after, limit, [each.value for each in findings]
    )
    return [(row["place"], _entry(row)) for row in rows]


async def sum_drift(connection: Connection) -> list[Drift]:
    """Each provider that has sent a bill."""
    findings: dict[str, dict[BillFinding, int]] = {}
    for row in await connection.fetch(FINDINGS):
        sums = findings.setdefault(row["provider"], {})
        for finding, count in _findings(row["findings"]).items():
            sums[finding] = sums.get(finding, 0) + count
    rows = await connection.fetch(DRIFT)
    return [Drift(**row, findings=dict(sorted(findings[row["provider"]].items()))) for row in rows]


async def count_unknown(connection: Connection) -> dict[str, int]:
    """By provider, attempts of unknown outcome of which no bill has told."""
    return {row["provider"]: row["count"] for row in await connection.fetch(UNKNOWN)}


def _bill(row: Record) -> Bill:
    return Bill(**{**row, "findings": _findings(row["findings"])})


def _findings(text: str) -> dict[BillFinding, int]:
    return msgspec.json.decode(text, type=dict[BillFinding, int])


def _entry(row: Record) -> BillEntry:
    fields = {name: row[name] for name in BillEntry.__struct_fields__}
    return BillEntry(**{**fields, "finding": BillFinding(row["finding"])})
