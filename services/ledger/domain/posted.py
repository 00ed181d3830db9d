"""What a booked transaction has done, as far as its reversal must know it."""

from collections.abc import Sequence
from uuid import UUID

from msgspec import Struct

from libs.events.credits import LotAmount
from services.ledger.domain.postings import REVERSIBLE, Book, Entry, TransactionKind


class Posted(Struct, frozen=True, kw_only=True, gc=False):
    """What a transaction gave the house's books; the owner got the opposite."""

    transaction_id: UUID
    account_id: UUID
    is_reversible: bool
    world: int = 0
    revenue: int = 0
    breakage: int = 0
    ended_lots: tuple[LotAmount, ...] = ()  # what lots have lost because it ended them


def posted_by(
    account_id: UUID, transaction_id: UUID, kind: TransactionKind, entries: Sequence[Entry]
) -> Posted:
    """What the entries of a transaction, in their order, have done."""
    return Posted(
        transaction_id=transaction_id,
        account_id=account_id,
        is_reversible=kind in REVERSIBLE,
        world=_given(entries, Book.WORLD),
        revenue=_given(entries, Book.REVENUE),
        breakage=_given(entries, Book.BREAKAGE),
        ended_lots=_ended(entries),
    )


def _given(entries: Sequence[Entry], book: Book) -> int:
    return sum([entry.credits for entry in entries if entry.book is book])


def _ended(entries: Sequence[Entry]) -> tuple[LotAmount, ...]:
    """What went out of lots before the line of breakage; after it lots pay off debt."""
    books = [entry.book for entry in entries]
    if Book.BREAKAGE not in books:
        return ()
    return tuple(
        LotAmount(lot_id=entry.lot_id, credits=-entry.credits)
        for entry in entries[: books.index(Book.BREAKAGE)]
        if entry.book is Book.LOT and entry.credits < 0
    )
