"""The double entry of each credits event: which books it moves credits between."""

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from msgspec import Struct

from libs.events.credits import (
    CreditsCaptured,
    CreditsDebited,
    CreditsDeducted,
    CreditsEvent,
    CreditsExpired,
    CreditsForfeited,
    CreditsGranted,
    CreditsReclaimed,
    CreditsReleased,
    CreditsReserved,
    CreditsReversed,
    GraceChanged,
    LotAmount,
)
from libs.events.envelope import Event
from services.ledger.domain.errors import BrokenBooksError


class Book(StrEnum):
    """The owner's three books, and the three of the house. All books of an account sum to zero."""

    LOT = "lot"  # one for each lot: credits free to spend
    OVERDRAFT = "overdraft"  # at most 0: taken when the lots were empty
    RESERVED = "reserved"  # set aside for jobs that run
    REVENUE = "revenue"  # captured: what jobs delivered
    BREAKAGE = "breakage"  # ended unspent
    WORLD = "world"  # where credits come from when they are given or bought; below 0


class TransactionKind(StrEnum):
    """What a transaction did."""

    GRANT = "grant"
    RESERVE = "reserve"
    CAPTURE = "capture"
    RELEASE = "release"
    RECLAIM = "reclaim"
    EXPIRE = "expire"
    FORFEIT = "forfeit"
    DEBIT = "debit"
    DEDUCT = "deduct"
    REVERSE = "reverse"
    GRACE = "grace"


REVERSIBLE = frozenset(
    {
        TransactionKind.GRANT,
        TransactionKind.CAPTURE,
        TransactionKind.EXPIRE,
        TransactionKind.FORFEIT,
        TransactionKind.DEBIT,
        TransactionKind.DEDUCT,
    }
)
"""What has an opposite. A reversal has none: what it undid is booked anew, with a reason."""


class Entry(Struct, frozen=True, gc=False):
    """One line of a transaction: credits into a book, or out of it if negative."""

    book: Book
    credits: int
    lot_id: UUID | None = None


class Remark(Struct, frozen=True, kw_only=True, gc=False):
    """What is known of a transaction that no job has caused."""

    source: str
    reference: str = ""
    actor: UUID | None = None
    reason: str = ""
    reverses: UUID | None = None


class Transaction(Struct, frozen=True, kw_only=True):
    """What one credits event books. Everything in it follows from the event, so a rebuild is equal.

    Even a free job names both sides, with zero credits on each.
    """

    account_id: UUID
    account_version: int
    transaction_id: UUID
    kind: TransactionKind
    job_id: UUID | None
    settled_after: int
    grace_after: int
    event_id: UUID
    causation_id: UUID | None
    correlation_id: UUID
    occurred_at: datetime
    entries: tuple[Entry, ...]
    remark: Remark | None = None


def transaction_of(event: Event[CreditsEvent]) -> Transaction:
    """The transaction of a published event.

    Raises:
        BrokenBooksError: the entries do not sum to zero.
    """
    data = event.data
    job_id = getattr(data, "job_id", None)
    kind, entries = _posted(data)
    if sum([entry.credits for entry in entries]):
        raise BrokenBooksError(f"Transaction {data.transaction_id} must sum to zero: {entries}.")
    return Transaction(
        account_id=data.account_id,
        account_version=data.account_version,
        transaction_id=data.transaction_id,
        kind=kind,
        job_id=job_id,
        settled_after=data.settled_after,
        grace_after=data.grace_after,
        event_id=event.id,
        causation_id=event.causation_id,
        correlation_id=event.correlation_id,
        occurred_at=event.time,
        entries=entries,
        remark=None if job_id is not None else _remark(data),
    )


def _remark(event: CreditsEvent) -> Remark | None:
    match event:
        case CreditsGranted() | CreditsDebited():
            return Remark(
                source=event.source,
                reference=event.reference,
                actor=event.actor,
                reason=event.reason,
            )
        case CreditsDeducted():
            return Remark(
                source="deduction",
                reference=str(event.deduction_id),
                actor=event.actor,
                reason=event.reason,
            )
        case CreditsReversed():
            return Remark(
                source="reversal", actor=event.actor, reason=event.reason, reverses=event.reverses
            )
        case GraceChanged() | CreditsForfeited():
            return Remark(source="administrator", actor=event.actor, reason=event.reason)
        case _:
            return None


def _posted(  # noqa: C901, PLR0911  # one a kind
    event: CreditsEvent,
) -> tuple[TransactionKind, tuple[Entry, ...]]:
    match event:
        case CreditsReserved():
            aside = Entry(Book.RESERVED, event.credits)
            return TransactionKind.RESERVE, (*_lots(event.lots, -1), aside)
        case CreditsCaptured():
            closed = Entry(Book.RESERVED, -event.credits - event.released_credits)
            charged = Entry(Book.REVENUE, event.credits)
            return TransactionKind.CAPTURE, (closed, charged, *_freed(event))
        case CreditsReleased():
            closed = Entry(Book.RESERVED, -event.released_credits)
            return TransactionKind.RELEASE, (closed, *(_freed(event) or _lots((), 1)))
        case CreditsGranted():
            return TransactionKind.GRANT, _granted(event)
        case CreditsReversed():
            return TransactionKind.REVERSE, _reversed(event)
        case CreditsDebited():
            return TransactionKind.DEBIT, _out_to(Book.WORLD, event.lots, event.credits)
        case CreditsDeducted():
            return TransactionKind.DEDUCT, _out_to(Book.WORLD, event.lots, event.credits)
        case CreditsForfeited():
            return TransactionKind.FORFEIT, _out_to(Book.BREAKAGE, event.lots, event.credits)
        case CreditsExpired():
            lots = (LotAmount(lot_id=event.lot_id, credits=event.credits),)
            return TransactionKind.EXPIRE, _out_to(Book.BREAKAGE, lots, event.credits)
        case CreditsReclaimed():
            back = _lots(event.lots, 1)
            return TransactionKind.RECLAIM, (*back, Entry(Book.BREAKAGE, -event.credits))
        case GraceChanged():
            return TransactionKind.GRACE, (Entry(Book.OVERDRAFT, 0), Entry(Book.WORLD, 0))
        case _:
            raise BrokenBooksError(f"{event.event_type.value} has no posting: teach it here.")


def _granted(event: CreditsGranted) -> tuple[Entry, ...]:
    return (
        Entry(Book.LOT, event.credits, event.lot_id),
        Entry(Book.WORLD, -event.credits),
        *_gone(event.reset_lots),
        *_repaid(event.repaid_lots),
    )


def _reversed(event: CreditsReversed) -> tuple[Entry, ...]:
    """The house's side is the opposite of what the reversed transaction has posted."""
    opened = () if event.lot_id is None else (Entry(Book.LOT, event.credits, event.lot_id),)
    taken = _lots(event.lots, -1) if event.lots or not opened else ()
    house = (
        Entry(Book.WORLD, event.to_world),
        Entry(Book.REVENUE, event.to_revenue),
        Entry(Book.BREAKAGE, event.to_breakage),
    )
    moved = tuple(entry for entry in house if entry.credits)
    return (*opened, *taken, *(moved or house[:1]), *_repaid(event.repaid_lots))


def _out_to(house: Book, lots: Sequence[LotAmount], amount: int) -> tuple[Entry, ...]:
    return (*_lots(lots, -1), Entry(house, amount))


def _freed(event: CreditsCaptured | CreditsReleased) -> tuple[Entry, ...]:
    back = _lots(event.released_lots, 1) if event.released_lots else ()
    if not event.forfeited_lots and not event.repaid_lots:
        return back
    late = sum(each.credits for each in event.forfeited_lots)
    breakage = (Entry(Book.BREAKAGE, late),) if late else ()
    return (*back, *breakage, *_repaid(event.repaid_lots))


def _gone(amounts: Sequence[LotAmount]) -> tuple[Entry, ...]:
    if not amounts:
        return ()
    return _out_to(Book.BREAKAGE, amounts, sum(each.credits for each in amounts))


def _repaid(amounts: Sequence[LotAmount]) -> tuple[Entry, ...]:
    if not amounts:
        return ()
    paid = sum(each.credits for each in amounts)
    return (*_lots(amounts, -1), Entry(Book.OVERDRAFT, paid))


def _lots(amounts: Sequence[LotAmount], sign: int) -> tuple[Entry, ...]:
    if not amounts:
        return (Entry(Book.OVERDRAFT, 0),)
    return tuple(
        Entry(
            Book.OVERDRAFT if amount.lot_id is None else Book.LOT,
            sign * amount.credits,
            amount.lot_id,
        )
        for amount in amounts
    )
