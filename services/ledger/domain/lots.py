"""Lots, and the one order in which they are burnt.

Soonest ending first, then by priority (low before high), then oldest first. What a request takes
depends on when it was admitted: not of lots that had ended by then, but also of lots that ended
after it, as far as their credits went unspent.
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from uuid import UUID

from msgspec import Struct

from libs.events.credits import LotAmount, Wallet

NEVER = datetime.max.replace(tzinfo=UTC)
EVER = datetime.min.replace(tzinfo=UTC)  # before every end


class Lot(Struct, frozen=True, kw_only=True, gc=False):
    """Credits that came together and end together."""

    lot_id: UUID
    wallet: Wallet
    credits: int  # as granted
    remaining: int  # neither spent nor reserved
    source: str
    expires_at: datetime | None
    opened_version: int  # of the account: older lots have lower ones, whatever any clock said
    priority: int = 0
    ended_at: datetime | None = None
    reclaimable: int = 0  # unspent when it ended: for requests that were admitted before that

    @property
    def burn_order(self) -> tuple[datetime, int, int]:
        """Soonest ending first, then by priority, then oldest."""
        return (self.expires_at or NEVER, self.priority, self.opened_version)

    def is_over(self, at: datetime) -> bool:
        """Whether the lot had ended by then, booked already or not."""
        end = self.ended_at or self.expires_at
        return end is not None and end <= at

    def on_offer(self, at: datetime) -> int:
        """What a request that was admitted then may take of it."""
        if self.is_over(at):
            return 0
        return self.remaining if self.ended_at is None else self.reclaimable


class Taken(Struct, frozen=True):
    """Where an amount comes from: lots in burn order, then the overdraft (the amount without lot).

    `reclaimed` is the part of it that lots had lost by their end and give all the same.
    """

    amounts: tuple[LotAmount, ...]
    reclaimed: tuple[LotAmount, ...] = ()


def in_burn_order(lots: Iterable[Lot]) -> tuple[Lot, ...]:
    return tuple(sorted(lots, key=lambda lot: lot.burn_order))


def take(lots: Sequence[Lot], wanted: int, at: datetime) -> Taken:
    """Credits for a request admitted at some time, out of lots in burn order.

    A shortfall never refuses what was admitted: below the lots is grace, then debt.
    """
    amounts: list[LotAmount] = []
    reclaimed: list[LotAmount] = []
    for lot in lots:
        if not wanted:
            break
        if amount := min(wanted, lot.on_offer(at)):
            wanted -= amount
            amounts.append(LotAmount(lot_id=lot.lot_id, credits=amount))
            if lot.ended_at is not None:
                reclaimed.append(amounts[-1])
    if wanted:
        amounts.append(LotAmount(lot_id=None, credits=wanted))
    return Taken(tuple(amounts), tuple(reclaimed))


def take_back(lots: Sequence[Lot], wanted: int, at: datetime, first: UUID | None) -> Taken:
    """Credits that must go: out of one lot first, then like `take`, but of what is open alone."""
    chosen = [lot for lot in lots if lot.lot_id == first]
    others = [lot for lot in lots if lot.lot_id != first]
    return take([lot for lot in (*chosen, *others) if lot.ended_at is None], wanted, at)


def total(amounts: Iterable[LotAmount]) -> int:
    found = 0
    for amount in amounts:
        found += amount.credits
    return found


def split(
    amounts: Iterable[LotAmount], wanted: int
) -> tuple[tuple[LotAmount, ...], tuple[LotAmount, ...]]:
    """Amounts in order, cut after so many credits: what is within, and the rest. No empty ones."""
    head: list[LotAmount] = []
    tail: list[LotAmount] = []
    for amount in amounts:
        taken = min(amount.credits, wanted)
        wanted -= taken
        if taken:
            head.append(LotAmount(lot_id=amount.lot_id, credits=taken))
        if amount.credits > taken:
            tail.append(LotAmount(lot_id=amount.lot_id, credits=amount.credits - taken))
    return tuple(head), tuple(tail)
