"""The double entry of each credits event: which books it moves credits between."""

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from msgspec import Struct

from libs.events.credits import (
    CreditsCaptured,
    CreditsEvent,
    CreditsGranted,
    CreditsReleased,
    CreditsReserved,
    JobCreditsEvent,
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


class Entry(Struct, frozen=True, gc=False):
    """One line of a transaction: credits into a book, or out of it if negative."""

    book: Book
    credits: int
    lot_id: UUID | None = None


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


def transaction_of(event: Event[CreditsEvent]) -> Transaction:
    """The transaction of a published event.

    Raises:
        BrokenBooksError: the entries do not sum to zero.
    """
    data = event.data
    kind, entries = _posted(data)
    if sum(entry.credits for entry in entries):
        raise BrokenBooksError(f"Transaction {data.transaction_id} must sum to zero: {entries}.")
    return Transaction(
        account_id=data.account_id,
        account_version=data.account_version,
        transaction_id=data.transaction_id,
        kind=kind,
        job_id=data.job_id if isinstance(data, JobCreditsEvent) else None,
        settled_after=data.settled_after,
        grace_after=data.grace_after,
        event_id=event.id,
        causation_id=event.causation_id,
        correlation_id=event.correlation_id,
        occurred_at=event.time,
        entries=entries,
    )


def _posted(event: CreditsEvent) -> tuple[TransactionKind, tuple[Entry, ...]]:
    match event:
        case CreditsGranted():
            given = Entry(Book.LOT, event.credits, event.lot_id)
            return TransactionKind.GRANT, (given, Entry(Book.WORLD, -event.credits))
        case CreditsReserved():
            aside = Entry(Book.RESERVED, event.credits)
            return TransactionKind.RESERVE, (*_lots(event.lots, -1), aside)
        case CreditsCaptured():
            closed = Entry(Book.RESERVED, -event.credits - event.released_credits)
            charged = Entry(Book.REVENUE, event.credits)
            freed = _lots(event.released_lots, 1) if event.released_lots else ()
            return TransactionKind.CAPTURE, (closed, charged, *freed)
        case CreditsReleased():
            closed = Entry(Book.RESERVED, -event.released_credits)
            return TransactionKind.RELEASE, (closed, *_lots(event.released_lots, 1))
        case _:
            raise BrokenBooksError(f"{event.event_type.value} has no posting: teach it here.")


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
