"""The state of an account and of a job's reservation, and how each credits event changes them."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from enum import StrEnum
from uuid import UUID

from msgspec import Struct
from msgspec.structs import replace

from libs.events.credits import (
    CreditsCaptured,
    CreditsEvent,
    CreditsGranted,
    CreditsReleased,
    CreditsReserved,
    JobCreditsEvent,
    LotAmount,
    Wallet,
)
from services.ledger.domain.errors import BrokenBooksError

_NEVER = datetime.max.replace(tzinfo=UTC)


class Lot(Struct, frozen=True, kw_only=True, gc=False):
    """Credits that came together and end together."""

    lot_id: UUID
    wallet: Wallet
    credits: int  # as granted
    remaining: int  # neither spent nor reserved
    source: str
    expires_at: datetime | None
    opened_version: int  # of the account: older lots have lower ones, whatever any clock said

    @property
    def burn_order(self) -> tuple[datetime, int]:
        """Soonest ending first, then oldest."""
        return (self.expires_at or _NEVER, self.opened_version)


class Account(Struct, frozen=True, kw_only=True):
    """One owner's credits. Version 0 is a mere row to lock; 1 is the opening."""

    account_id: UUID
    version: int = 0
    grace: int = 0  # what admission may offer beyond the lots; nothing is refused here
    overdraft: int = 0  # at most 0: taken when the lots were empty, grace first, then debt
    reserved: int = 0
    lots: tuple[Lot, ...] = ()  # in burn order

    @property
    def is_open(self) -> bool:
        return self.version > 0

    @property
    def settled(self) -> int:
        """All credits of the account, reserved ones included."""
        return sum(lot.remaining for lot in self.lots) + self.overdraft + self.reserved


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


def in_burn_order(lots: Iterable[Lot]) -> tuple[Lot, ...]:
    return tuple(sorted(lots, key=lambda lot: lot.burn_order))


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
    after = replace(_moved(account, event), version=event.account_version, grace=event.grace_after)
    if after.settled != event.settled_after or after.overdraft > 0 or after.reserved < 0:
        raise BrokenBooksError(
            f"Account {account.account_id} would stand at {after.settled} credits (reserved "
            f"{after.reserved}, overdraft {after.overdraft}) where version {after.version} says "
            f"{event.settled_after}: find the event that did not follow the rules."
        )
    return after


def _moved(account: Account, event: CreditsEvent) -> Account:
    match event:
        case CreditsGranted():
            return replace(account, lots=in_burn_order((*account.lots, _opened(event))))
        case CreditsReserved():
            return _set_aside(account, event.lots, event.credits)
        case CreditsCaptured():
            kept = replace(account, reserved=account.reserved - event.credits)
            return _given_back(kept, event.released_lots, event.released_credits)
        case CreditsReleased():
            return _given_back(account, event.released_lots, event.released_credits)
        case _:
            raise BrokenBooksError(
                f"{event.event_type.value} has no rule: teach `evolve` about it."
            )


def _opened(event: CreditsGranted) -> Lot:
    return Lot(
        lot_id=event.lot_id,
        wallet=event.wallet,
        credits=event.credits,
        remaining=event.credits,
        source=event.source,
        expires_at=event.expires_at,
        opened_version=event.account_version,
    )


def _set_aside(account: Account, amounts: Sequence[LotAmount], total: int) -> Account:
    lots, overdraft = _changed(account, amounts, sign=-1, total=total)
    return replace(account, lots=lots, overdraft=overdraft, reserved=account.reserved + total)


def _given_back(account: Account, amounts: Sequence[LotAmount], total: int) -> Account:
    lots, overdraft = _changed(account, amounts, sign=1, total=total)
    return replace(account, lots=lots, overdraft=overdraft, reserved=account.reserved - total)


def _changed(
    account: Account, amounts: Sequence[LotAmount], *, sign: int, total: int
) -> tuple[tuple[Lot, ...], int]:
    """Lots and overdraft after moving amounts out of them (sign -1) or back (sign 1)."""
    change: dict[UUID | None, int] = {}
    for amount in amounts:
        change[amount.lot_id] = change.get(amount.lot_id, 0) + sign * amount.credits
    if sum(change.values()) != sign * total:
        raise BrokenBooksError(
            f"The lots of an event of account {account.account_id} must add up to {total} credits."
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
