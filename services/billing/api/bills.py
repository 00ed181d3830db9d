"""Reconciliation over HTTP, for administrators: bills, their entries, and what they came to."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request, Response, status
from msgspec.structs import asdict
from pydantic import AwareDatetime

from libs.events.billing import FLAGGED, BillEntry, BillFinding
from libs.runtime.auth import Principal, RequirePrincipal, require_admin
from libs.runtime.db import Database
from libs.runtime.http.bodies import Body, Cursor
from libs.runtime.paging import Position, decode_cursor, page
from services.billing.api.usage import LIMIT_DEFAULT, Limit
from services.billing.handlers.bills import Asked, BillNotFound, Bills
from services.billing.store import bills as store
from services.billing.store.bills import Bill, Drift

NAME_CHARS_MAX = 100
FLAGGED_SHOWN_MAX = 1_000
_PLAIN = r"^[^\x00-\x1f\x7f]+$"
_FILE = {"requestBody": {"required": True, "content": {"text/csv": {"schema": {"type": "string"}}}}}

Name = Annotated[str, Query(max_length=NAME_CHARS_MAX, pattern=_PLAIN)]


class EntryBody(Body):
    """A line of a bill, or, without a line, an attempt that it does not list."""

    line: int | None
    reference: str
    at: datetime
    model: str
    amount_microusd: int
    status: str
    finding: BillFinding
    attempt_id: UUID | None
    own_microusd: int


class BillBody(Body):
    """A bill with what it came to. `driftMicrousd` is what it says more than we had recorded."""

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
    drift_microusd: int
    findings: dict[BillFinding, int]
    flagged: int
    imported_at: datetime


class ImportedBody(BillBody):
    """What came of an import, with the first entries that somebody should look at."""

    is_new: bool
    is_dry_run: bool
    flagged_entries: list[EntryBody]


class BillsBody(Body):
    items: list[BillBody]
    next_cursor: str | None


class EntriesBody(Body):
    """Entries in their order; `nextPlace` is the next page's `afterPlace`."""

    items: list[EntryBody]
    next_place: int | None


class DriftBody(Body):
    """All of a provider's bills, and the attempts of which none has told yet."""

    provider: str
    bills: int
    lines: int
    billed_microusd: int
    own_microusd: int
    drift_microusd: int
    findings: dict[BillFinding, int]
    flagged: int
    since: datetime | None
    until: datetime | None
    unknown_attempts: int


class DriftsBody(Body):
    items: list[DriftBody]


def create_router(database: Database, bills: Bills, principal_of: RequirePrincipal) -> APIRouter:
    """The routes of `/api/admin/reconciliation`."""
    router = APIRouter(prefix="/api/admin/reconciliation", tags=["reconciliation"])
    is_admin = require_admin(principal_of)
    _add_import(router, database, bills, is_admin)
    _add_lists(router, database, is_admin)
    return router


def _add_import(
    router: APIRouter, database: Database, bills: Bills, is_admin: RequirePrincipal
) -> None:
    Admin = Annotated[Principal, Depends(is_admin)]  # noqa: N806  # a type, made at start

    @router.post("/bills", status_code=status.HTTP_201_CREATED, openapi_extra=_FILE)
    async def import_bill(
        request: Request,
        response: Response,
        admin: Admin,
        provider: Name,
        file_name: Annotated[
            str, Query(alias="fileName", max_length=NAME_CHARS_MAX, pattern=_PLAIN)
        ] = "bill.csv",
        since: Annotated[AwareDatetime | None, Query(description="From when on.")] = None,
        until: Annotated[AwareDatetime | None, Query(description="Until when.")] = None,
        is_dry_run: Annotated[bool, Query(alias="dryRun")] = False,
    ) -> ImportedBody:
        """Compare a provider's bill with our attempts; 200 for one that is known, or a dry run."""
        imported = await bills.import_(
            Asked(
                provider=provider,
                file_name=file_name,
                content=await request.body(),
                actor=admin.user_id,
                since=since,
                until=until,
                is_dry_run=is_dry_run,
            )
        )
        if is_dry_run or not imported.is_new:
            response.status_code = status.HTTP_200_OK
        entries: list[BillEntry] = [each for each in imported.entries if each.finding.is_flagged]
        if not imported.is_new:
            async with database.read() as connection:
                listed = await store.list_entries(
                    connection, imported.bill.id, sorted(FLAGGED), -1, FLAGGED_SHOWN_MAX
                )
            entries = [entry for _, entry in listed]
        return ImportedBody(
            **_of_bill(imported.bill),
            is_new=imported.is_new,
            is_dry_run=is_dry_run,
            flagged_entries=[EntryBody(**asdict(each)) for each in entries[:FLAGGED_SHOWN_MAX]],
        )


def _add_lists(router: APIRouter, database: Database, is_admin: RequirePrincipal) -> None:
    Admin = Annotated[Principal, Depends(is_admin)]  # noqa: N806  # a type, made at start

    @router.get("/bills")
    async def list_bills(
        _admin: Admin,
        provider: Name | None = None,
        limit: Limit = LIMIT_DEFAULT,
        cursor: Cursor = None,
    ) -> BillsBody:
        """Imported bills, the newest first."""
        after = decode_cursor(cursor)
        async with database.read() as connection:
            rows = await store.list_bills(connection, provider, after, limit + 1)
        found = page(rows, limit, lambda bill: Position(bill.imported_at, bill.id))
        items = [BillBody(**_of_bill(each)) for each in found.rows]
        return BillsBody(items=items, next_cursor=found.next_cursor)

    @router.get("/bills/{bill_id}/entries")
    async def list_entries(
        _admin: Admin,
        bill_id: UUID,
        finding: Annotated[list[BillFinding] | None, Query(description="Default: all.")] = None,
        after_place: Annotated[int, Query(alias="afterPlace", ge=-1, lt=2**31)] = -1,
        limit: Limit = LIMIT_DEFAULT,
    ) -> EntriesBody:
        """A bill's lines, and the attempts that it does not list."""
        async with database.read() as connection:
            if await store.find_bill(connection, bill_id) is None:
                raise BillNotFound
            rows = await store.list_entries(
                connection, bill_id, finding or list(BillFinding), after_place, limit + 1
            )
        items = [EntryBody(**asdict(entry)) for _, entry in rows[:limit]]
        return EntriesBody(
            items=items, next_place=rows[limit - 1][0] if len(rows) > limit else None
        )

    @router.get("/drift")
    async def show_drift(_admin: Admin) -> DriftsBody:
        """By provider, what all bills came to against what we had recorded."""
        async with database.read() as connection:
            drifts = {each.provider: each for each in await store.sum_drift(connection)}
            unknown = await store.count_unknown(connection)
        names = sorted({*drifts, *unknown})
        return DriftsBody(
            items=[_of_drift(name, drifts.get(name), unknown.get(name, 0)) for name in names]
        )


def _flagged(findings: dict[BillFinding, int]) -> int:
    return sum(count for finding, count in findings.items() if finding.is_flagged)


def _of_bill(bill: Bill) -> dict[str, Any]:
    return {
        **asdict(bill),
        "drift_microusd": bill.billed_microusd - bill.own_microusd,
        "flagged": _flagged(bill.findings),
    }


def _of_drift(provider: str, drift: Drift | None, unknown: int) -> DriftBody:
    if drift is None:
        return DriftBody(
            provider=provider,
            bills=0,
            lines=0,
            billed_microusd=0,
            own_microusd=0,
            drift_microusd=0,
            findings={},
            flagged=0,
            since=None,
            until=None,
            unknown_attempts=unknown,
        )
    return DriftBody(
        **asdict(drift),
        drift_microusd=drift.billed_microusd - drift.own_microusd,
        flagged=_flagged(drift.findings),
        unknown_attempts=unknown,
    )
