"""Bills of providers: read, compared with our attempts, and told."""

import asyncio
import hashlib
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from msgspec import Struct

from libs.events.billing import BillEntry, ProviderBillImported
from libs.events.derived_ids import derived_id
from libs.events.names import Service
from libs.runtime.clock import Clock
from libs.runtime.db import Connection, Database
from libs.runtime.errors import BadRequest, NotFound
from services.billing.domain.bills import BadBillError, BillFormat, BillLine, read_bill
from services.billing.domain.reconciliation import Period, Reconciled, period_of, reconcile
from services.billing.store import attempts, bills
from services.billing.store.bills import Bill

# Of one event, so that it stays far below what the relay can send.
ENTRIES_OF_PART: Final = 500
ATTEMPTS_MAX: Final = 200_000
# A reference is looked for among attempts that ended so near to what the bill covers.
AROUND: Final = timedelta(days=1)


class BadBill(BadRequest):
    code = "bad_bill"

    def __init__(self, error: BadBillError) -> None:
        super().__init__(f"{error}.", details={"line": error.line})


class BillTooLong(BadRequest):
    code = "bill_too_long"


class ProviderUnknown(NotFound):
    code = "provider_unknown"


class BillNotFound(NotFound):
    code = "bill_not_found"

    def __init__(self) -> None:
        super().__init__("There is no such bill.")


class Asked(Struct, frozen=True, kw_only=True):
    """A bill that somebody wants to have imported."""

    provider: str
    file_name: str
    content: bytes
    actor: UUID
    since: datetime | None = None  # what it covers; default: from its first line to its last
    until: datetime | None = None
    is_dry_run: bool = False


class Imported(Struct, frozen=True, kw_only=True):
    """What came of it."""

    bill: Bill
    entries: tuple[BillEntry, ...]  # empty for one that had been imported before
    is_new: bool


class Bills:
    """Imports them. One file of a provider is one bill, however often it comes."""

    def __init__(self, database: Database, clock: Clock, formats: Mapping[str, BillFormat]) -> None:
        self._database = database
        self._clock = clock
        self._formats = formats

    async def import_(self, asked: Asked) -> Imported:
        """Compare a bill with our attempts, and tell what was found, unless it is a dry run.

        Raises:
            BadBill: a line is wrong, and nothing is changed.
            BillTooLong: there are too many attempts in the time that it covers.
            ProviderUnknown: nothing was ever asked of a provider of this name.
        """
        form = self._formats.get(asked.provider, BillFormat())
        latest = self._clock.now() + AROUND
        try:
            lines = await asyncio.to_thread(read_bill, asked.content, form, latest)
        except BadBillError as error:
            raise BadBill(error) from error
        period = _period(asked, lines)
        sha256 = hashlib.sha256(asked.content).hexdigest()
        bill_id = derived_id(Service.BILLING.actor_id, f"bill:{asked.provider}:{sha256}")
        async with self._database.transaction() as transaction:
            connection = transaction.connection
            if not await attempts.is_known(connection, asked.provider):
                raise ProviderUnknown("Nothing was ever asked of this provider: look at its name.")
            if not asked.is_dry_run:
                await bills.lock_provider(connection, asked.provider)
            if (known := await bills.find_bill(connection, bill_id)) is not None:
                return Imported(bill=known, entries=(), is_new=False)
            found = await self._compare(connection, asked.provider, lines, period, form)
            parts = list(_told(asked, bill_id, sha256, period, lines, found))
            if not asked.is_dry_run:
                events = [transaction.publish(part) for part in parts]
                await bills.follow(connection, events)
        bill = _bill(parts[0], self._clock.now())
        return Imported(bill=bill, entries=found.entries, is_new=True)

    async def _compare(
        self,
        connection: Connection,
        provider: str,
        lines: list[BillLine],
        period: Period,
        form: BillFormat,
    ) -> Reconciled:
        around = Period(_earlier(period.since), _later(period.until))
        near = await attempts.find_attempts(
            connection, provider, around.since, around.until, ATTEMPTS_MAX + 1
        )
        if len(near) > ATTEMPTS_MAX:
            raise BillTooLong(
                f"There are more than {ATTEMPTS_MAX:,} attempts in the time that the bill covers:"
                " import one of a shorter time."
            )
        before = await bills.find_before(
            connection, provider, [each.reference for each in lines], [each.id for each in near]
        )
        return await asyncio.to_thread(reconcile, lines, near, before, period, form)


def _earlier(at: datetime) -> datetime:
    return at - AROUND if at.year > 1 else at


def _later(at: datetime) -> datetime:
    return at + AROUND if at.year < 9999 else at  # the calendar's last


def _period(asked: Asked, lines: list[BillLine]) -> Period:
    covered = period_of(lines)
    period = Period(asked.since or covered.since, asked.until or covered.until)
    for line in lines:
        if not period.since <= line.at <= period.until:
            raise BadBill(BadBillError(line.number, "its time is not in what the bill covers"))
    return period


def _told(
    asked: Asked,
    bill_id: UUID,
    sha256: str,
    period: Period,
    lines: list[BillLine],
    found: Reconciled,
) -> Iterator[ProviderBillImported]:
    places = range(0, len(found.entries), ENTRIES_OF_PART)
    for number, place in enumerate(places, start=1):
        yield ProviderBillImported(
            bill_id=bill_id,
            provider=asked.provider,
            file_name=asked.file_name,
            sha256=sha256,
            actor=asked.actor,
            since=period.since,
            until=period.until,
            lines=len(lines),
            billed_microusd=found.billed_microusd,
            own_microusd=found.own_microusd,
            findings=found.findings,
            part=number,
            parts=len(places),
            place=place,
            entries=found.entries[place : place + ENTRIES_OF_PART],
        )


def _bill(told: ProviderBillImported, at: datetime) -> Bill:
    return Bill(
        id=told.bill_id,
        provider=told.provider,
        file_name=told.file_name,
        sha256=told.sha256,
        actor=told.actor,
        since=told.since,
        until=told.until,
        lines=told.lines,
        billed_microusd=told.billed_microusd,
        own_microusd=told.own_microusd,
        findings=told.findings,
        imported_at=at,
    )
