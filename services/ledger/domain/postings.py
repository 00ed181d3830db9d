"""The double entry of each credits event: which books it moves credits between."""

from collections.abc import Sequence
from enum import StrEnum
from uuid import UUID

from msgspec import Struct

from libs.events.credits import (
    CreditsCaptured,
    CreditsEvent,
    CreditsGranted,
    CreditsReleased,
    CreditsReserved,
    LotAmount,
)
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


class Transaction(Struct, frozen=True, gc=False):
    """What one credits event books. Even a free job names both sides, with zero credits on each."""

    kind: TransactionKind
    job_id: UUID | None
    entries: tuple[Entry, ...]


def transaction_of(event: CreditsEvent) -> Transaction:
    """The transaction of an event.

    Raises:
        BrokenBooksError: the entries do not sum to zero.
    """
    kind, job_id, entries = _posted(event)
    if sum(entry.credits for entry in entries):
        raise BrokenBooksError(f"Transaction {event.transaction_id} must sum to zero: {entries}.")
    return Transaction(kind, job_id, entries)


def _posted(event: CreditsEvent) -> tuple[TransactionKind, UUID | None, tuple[Entry, ...]]:
    match event:
        case CreditsGranted():
            given = Entry(Book.LOT, event.credits, event.lot_id)
            return TransactionKind.GRANT, None, (given, Entry(Book.WORLD, -event.credits))
        case CreditsReserved():
            aside = Entry(Book.RESERVED, event.credits)
            return TransactionKind.RESERVE, event.job_id, (*_lots(event.lots, -1), aside)
        case CreditsCaptured():
            closed = Entry(Book.RESERVED, -event.credits - event.released_credits)
            charged = Entry(Book.REVENUE, event.credits)
            freed = _lots(event.released_lots, 1) if event.released_lots else ()
            return TransactionKind.CAPTURE, event.job_id, (closed, charged, *freed)
        case CreditsReleased():
            closed = Entry(Book.RESERVED, -event.released_credits)
            return TransactionKind.RELEASE, event.job_id, (closed, *_lots(event.released_lots, 1))
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
