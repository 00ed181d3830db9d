"""The state of an account and of a job's reservation, and how each credits event changes them."""

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from msgspec import Struct
from msgspec.structs import replace

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
    JobCreditsEvent,
    LotAmount,
    Wallet,
)
from services.ledger.domain.errors import BrokenBooksError
from services.ledger.domain.lots import Lot, in_burn_order, take, total


class Account(Struct, frozen=True, kw_only=True):
    """One owner's credits. Version 0 is a mere row to lock; 1 is the opening."""

    account_id: UUID
    version: int = 0
    grace: int = 0  # what admission may offer beyond the lots; nothing is refused here
    overdraft: int = 0  # at most 0: taken when the lots were empty, grace first, then debt
    overdraft_reserved: int = 0  # of it, set aside for jobs that run: not owed yet
    reserved: int = 0
    renewed_version: int = 0  # last renewal or forfeit: older subscription lots have ended
    renewed_until: datetime | None = None  # to where the last renewal reaches, spent or not
    lots: tuple[Lot, ...] = ()  # in burn order

    @property
    def is_open(self) -> bool:
        return self.version > 0

    @property
    def settled(self) -> int:
        """All credits of the account, reserved ones included."""
        settled = self.overdraft + self.reserved
        for lot in self.lots:
            settled += lot.remaining
        return settled

    @property
    def owed(self) -> int:
        """Overdraft that was spent: the next credits that are free pay it off."""
        return -self.overdraft - self.overdraft_reserved

    def has_ended(self, lot: Lot, at: datetime) -> bool:
        """Whether credits freed at that time come too late for their lot."""
        if lot.ended_at is not None or lot.is_over(at):
            return True
        return lot.wallet is Wallet.SUBSCRIPTION and lot.opened_version < self.renewed_version


class ReservationState(StrEnum):
    RESERVED = "reserved"
    CAPTURED = "captured"
    RELEASED = "released"


class Reservation(Struct, frozen=True, kw_only=True):
    """A job's credits: set aside once, then captured or released once."""

    job_id: UUID
    account_id: UUID
    account_version: int  # of the reserve: its entries say where the credits came from
    credits: int
    lots: tuple[LotAmount, ...]
    state: ReservationState = ReservationState.RESERVED
    captured_credits: int = 0


def repayment(account: Account, at: datetime) -> tuple[LotAmount, ...]:
    """What free credits pay of what is owed. Debt and free credits are never left side by side."""
    owed = account.owed
    if owed <= 0:
        return ()
    open_lots = [lot for lot in account.lots if lot.ended_at is None]
    return tuple(each for each in take(open_lots, owed, at).amounts if each.lot_id is not None)


def evolve(account: Account, event: CreditsEvent) -> Account:
    """The account after an event.

    Raises:
        BrokenBooksError: the event does not follow on this state, or its figures do not add up.
    """
    if event.account_id != account.account_id or event.account_version != account.version + 1:
        raise BrokenBooksError(
            f"Version {event.account_version} of account {event.account_id} does not follow on "
            f"version {account.version} of {account.account_id}: apply each event once, in order."
        )
    after = replace(moved(account, event), version=event.account_version, grace=event.grace_after)
    if after.settled != event.settled_after or min(after.reserved, after.overdraft_reserved) < 0:
        raise BrokenBooksError(
            f"Account {account.account_id} would stand at {after.settled} credits (reserved "
            f"{after.reserved}, overdraft {after.overdraft}) where version {after.version} says "
            f"{event.settled_after}: find the event that did not follow the rules."
        )
    if after.owed < 0:
        raise BrokenBooksError(
            f"Account {account.account_id} cannot have an overdraft of {after.overdraft} with "
            f"{after.overdraft_reserved} of it reserved: find the event that gave too much back."
        )
    return after


def moved(account: Account, event: CreditsEvent) -> Account:  # noqa: C901, PLR0911  # one a kind
    """The account with an event's credits where they belong; nothing is checked as a whole."""
    match event:
        case CreditsReserved():
            return _set_aside(account, event)
        case CreditsCaptured():
            borrowed = _borrowed(event.lots)
            kept = replace(
                account,
                reserved=account.reserved - event.credits,
                overdraft_reserved=account.overdraft_reserved - borrowed,
            )
            return _repaid(_given_back(kept, event), event.repaid_lots)
        case CreditsReleased():
            return _repaid(_given_back(account, event), event.repaid_lots)
        case CreditsGranted():
            return _repaid(_granted(account, event), event.repaid_lots)
        case CreditsReclaimed():
            return _reclaimed(account, event)
        case CreditsExpired():
            gone = (LotAmount(lot_id=event.lot_id, credits=event.credits),)
            return _ended(account, gone, event.ended_at)
        case CreditsForfeited():
            after = _ended(account, event.lots, event.ended_at)
            return replace(after, renewed_version=event.account_version, renewed_until=None)
        case CreditsDebited() | CreditsDeducted():
            return _taken(account, event.lots, event.credits)
        case CreditsReversed():
            return _reversed(account, event)
        case GraceChanged():
            return account
        case _:
            raise BrokenBooksError(
                f"{event.event_type.value} has no rule: teach `evolve` about it."
            )


def _granted(account: Account, event: CreditsGranted) -> Account:
    if event.is_renewal:
        account = replace(
            account,
            renewed_version=event.account_version,
            renewed_until=event.expires_at or account.renewed_until,
        )
        if event.reset_at is not None:
            account = _ended(account, event.reset_lots, event.reset_at)
    return _with_lot(
        account,
        Lot(
            lot_id=event.lot_id,
            wallet=event.wallet,
            credits=event.credits,
            remaining=event.credits,
            source=event.source,
            expires_at=event.expires_at,
            opened_version=event.account_version,
            priority=event.priority,
        ),
    )


def _reversed(account: Account, event: CreditsReversed) -> Account:
    account = replace(account, lots=_not_to_reclaim(account, event.restored_lots))
    if event.lot_id is None:
        return _taken(account, event.lots, -event.credits)
    opened = Lot(
        lot_id=event.lot_id,
        wallet=Wallet.PROMO,
        credits=event.credits,
        remaining=event.credits,
        source="reversal",
        expires_at=None,
        opened_version=event.account_version,
    )
    return _repaid(_with_lot(account, opened), event.repaid_lots)


def _with_lot(account: Account, lot: Lot) -> Account:
    return replace(account, lots=in_burn_order((*account.lots, lot)))


def _set_aside(account: Account, event: CreditsReserved) -> Account:
    borrowed = _borrowed(event.lots)
    taken = _taken(account, event.lots, event.credits)
    return replace(
        taken,
        reserved=account.reserved + event.credits,
        overdraft_reserved=account.overdraft_reserved + borrowed,
    )


def _given_back(account: Account, event: CreditsCaptured | CreditsReleased) -> Account:
    """Freed credits return to where they came from, save those of lots that have ended."""
    freed = event.released_credits
    borrowed = _borrowed(event.released_lots)
    expected = freed - total(event.forfeited_lots)
    lots, overdraft = _changed(account, event.released_lots, sign=1, expected=expected)
    return replace(
        account,
        lots=lots,
        overdraft=overdraft,
        reserved=account.reserved - freed,
        overdraft_reserved=account.overdraft_reserved - borrowed,
    )


def _borrowed(amounts: Sequence[LotAmount]) -> int:
    """What of some amounts came out of the overdraft."""
    found = 0
    for amount in amounts:
        if amount.lot_id is None:
            found += amount.credits
    return found


def _taken(account: Account, amounts: Sequence[LotAmount], expected: int) -> Account:
    lots, overdraft = _changed(account, amounts, sign=-1, expected=expected)
    return replace(account, lots=lots, overdraft=overdraft)


def _repaid(account: Account, amounts: Sequence[LotAmount]) -> Account:
    if not amounts:
        return account
    lots, overdraft = _changed(account, amounts, sign=-1, expected=total(amounts))
    return replace(account, lots=lots, overdraft=overdraft + total(amounts))


def _ended(account: Account, amounts: Sequence[LotAmount], ended_at: datetime) -> Account:
    account = _taken(account, amounts, total(amounts))
    gone = {each.lot_id: each.credits for each in amounts}
    lots = (
        replace(lot, ended_at=ended_at, reclaimable=gone[lot.lot_id]) if lot.lot_id in gone else lot
        for lot in account.lots
    )
    return replace(account, lots=tuple(lots))


def _reclaimed(account: Account, event: CreditsReclaimed) -> Account:
    lots, _ = _changed(account, event.lots, sign=1, expected=event.credits)
    account = replace(account, lots=lots)
    return replace(account, lots=_not_to_reclaim(account, event.lots))


def _not_to_reclaim(account: Account, amounts: Sequence[LotAmount]) -> tuple[Lot, ...]:
    """The lots when so much of what ended ones have lost was given back, one way or another."""
    if not amounts:
        return account.lots
    gone = {each.lot_id: each.credits for each in amounts}
    known = {lot.lot_id: lot.reclaimable for lot in account.lots}
    for lot_id, credits_ in gone.items():
        if lot_id is None or credits_ > known.get(lot_id, 0):
            raise BrokenBooksError(
                f"Lot {lot_id} of account {account.account_id} has not lost {credits_} credits "
                "that could come back: load all it needs."
            )
    return tuple(
        replace(lot, reclaimable=lot.reclaimable - gone[lot.lot_id]) if lot.lot_id in gone else lot
        for lot in account.lots
    )


def _changed(
    account: Account, amounts: Sequence[LotAmount], *, sign: int, expected: int
) -> tuple[tuple[Lot, ...], int]:
    """Lots and overdraft after moving amounts out of them (sign -1) or back (sign 1)."""
    if not amounts and not expected:
        return account.lots, account.overdraft
    change: dict[UUID | None, int] = {}
    for amount in amounts:
        change[amount.lot_id] = change.get(amount.lot_id, 0) + sign * amount.credits
    if sum(change.values()) != sign * expected:
        raise BrokenBooksError(
            f"The lots of an event of account {account.account_id} must add up to {expected} "
            "credits."
        )
    overdraft = account.overdraft + change.pop(None, 0)
    lots = tuple(_lot_changed(lot, change.pop(lot.lot_id, 0)) for lot in account.lots)
    if change:
        raise BrokenBooksError(
            f"Lot {next(iter(change))} is not of account {account.account_id}: load all it needs."
        )
    return lots, overdraft


def _lot_changed(lot: Lot, change: int) -> Lot:
    if not change:
        return lot
    remaining = lot.remaining + change
    if not 0 <= remaining <= lot.credits:
        raise BrokenBooksError(
            f"Lot {lot.lot_id} of {lot.credits} credits cannot be left with {remaining}."
        )
    return replace(lot, remaining=remaining)


def evolve_reservation(reservation: Reservation | None, event: JobCreditsEvent) -> Reservation:
    """The reservation after an event of its job.

    Raises:
        BrokenBooksError: reserved or closed twice, or closed for other amounts than reserved.
    """
    match event:
        case CreditsReserved() if reservation is None:
            return Reservation(
                job_id=event.job_id,
                account_id=event.account_id,
                account_version=event.account_version,
                credits=event.credits,
                lots=event.lots,
            )
        case CreditsCaptured():
            freed = event.released_credits
            return _closed(reservation, event, ReservationState.CAPTURED, event.credits, freed)
        case CreditsReleased():
            freed = event.released_credits
            return _closed(reservation, event, ReservationState.RELEASED, 0, freed)
        case _:
            raise BrokenBooksError(f"Job {event.job_id} is reserved already: reserve it once.")


def _closed(
    reservation: Reservation | None,
    event: JobCreditsEvent,
    state: ReservationState,
    captured: int,
    freed: int,
) -> Reservation:
    if reservation is None or reservation.state is not ReservationState.RESERVED:
        raise BrokenBooksError(
            f"Job {event.job_id} is not reserved: apply {event.event_type.value} once, after it is."
        )
    if captured + freed != reservation.credits:
        raise BrokenBooksError(
            f"Closing job {event.job_id} must account for its {reservation.credits} credits."
        )
    return replace(reservation, state=state, captured_credits=captured)
