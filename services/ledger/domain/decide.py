"""What each command leads to: credits events, or nothing because it has led to them before."""

from typing import assert_never
from uuid import UUID

from msgspec.structs import replace

from libs.events.credits import (
    CreditsCaptured,
    CreditsEvent,
    CreditsGranted,
    CreditsReleased,
    CreditsReserved,
    LotAmount,
    Wallet,
)
from services.ledger.domain.account import (
    Account,
    Reservation,
    ReservationState,
    moved,
    repayment,
)
from services.ledger.domain.commands import (
    CaptureCredits,
    Command,
    DebitCredits,
    DeductCredits,
    ExpireLot,
    ForfeitSubscription,
    GrantCredits,
    JobCommand,
    OpenAccount,
    ReleaseCredits,
    ReserveCredits,
    ReverseTransaction,
    SetGrace,
)
from services.ledger.domain.corrections import NOTHING, Past, decide_keyed, reclaim
from services.ledger.domain.errors import BrokenBooksError, ForeignJobError
from services.ledger.domain.ids import close_id, opening_id, reserve_id, signup_lot_id
from services.ledger.domain.lots import split, take, total

SIGNUP_SOURCE = "signup"


def account_key(account_id: UUID) -> str:
    """Under which the inputs of an account wait for its opening."""
    return f"account:{account_id}"


def job_key(account_id: UUID, job_id: UUID) -> str:
    """Under which the answer to a job waits for its request.

    The account is part of it: waiter and releaser lock the account's row, so a key means one row.
    """
    return f"account:{account_id}/job:{job_id}"


def needs(account: Account, reservation: Reservation | None, command: Command) -> str | None:
    """The key of what must come before a command, or None if it can be decided now."""
    if not account.is_open:
        return None if type(command) is OpenAccount else account_key(account.account_id)
    if reservation is None and isinstance(command, CaptureCredits | ReleaseCredits):
        return job_key(account.account_id, command.job_id)
    return None


def decide(
    account: Account, reservation: Reservation | None, command: Command, past: Past = NOTHING
) -> tuple[CreditsEvent, ...]:
    """The events that a command leads to; none if it was decided before, under any event id.

    Raises:
        LedgerError: the command is refused.
    """
    match command:
        case ReserveCredits():
            _refuse_foreign(reservation, command)
            return _reserve(account, command) if reservation is None else ()
        case CaptureCredits() | ReleaseCredits():
            _refuse_foreign(reservation, command)
            if reservation is None:
                raise BrokenBooksError(
                    f"Job {command.job_id} is not reserved: let its answer wait."
                )
            if reservation.state is not ReservationState.RESERVED:
                return ()
            if isinstance(command, CaptureCredits):
                return (_capture(account, reservation, command),)
            return (_release(account, reservation, command),)
        case OpenAccount():
            return () if account.is_open else (_open(account, command),)
        case (
            GrantCredits()
            | DebitCredits()
            | DeductCredits()
            | ExpireLot()
            | ForfeitSubscription()
            | ReverseTransaction()
            | SetGrace()
        ):
            return decide_keyed(account, command, past)
        case _:
            assert_never(command)


def _refuse_foreign(reservation: Reservation | None, command: JobCommand) -> None:
    if reservation is not None and reservation.account_id != command.account_id:
        raise ForeignJobError(
            f"Job {command.job_id} is paid by account {reservation.account_id}, not by "
            f"{command.account_id}: correct the sender."
        )


def _open(account: Account, command: OpenAccount) -> CreditsGranted:
    return CreditsGranted(
        account_id=account.account_id,
        account_version=account.version + 1,
        settled_after=account.settled + command.credits,
        grace_after=command.grace,
        transaction_id=opening_id(account.account_id),
        lot_id=signup_lot_id(account.account_id),
        wallet=Wallet.PROMO,
        credits=command.credits,
        source=SIGNUP_SOURCE,
    )


def _reserve(account: Account, command: ReserveCredits) -> tuple[CreditsEvent, ...]:
    taken = take(account.lots, command.credits, command.at)
    regained = total(taken.reclaimed)
    reserved = CreditsReserved(
        account_id=account.account_id,
        account_version=account.version + (2 if regained else 1),
        settled_after=account.settled + regained,
        grace_after=account.grace,
        transaction_id=reserve_id(command.job_id),
        job_id=command.job_id,
        credits=command.credits,
        lots=taken.amounts,
    )
    if not regained:
        return (reserved,)
    return (reclaim(account, command.job_id, taken.reclaimed), reserved)


def _capture(
    account: Account, reservation: Reservation, command: CaptureCredits
) -> CreditsCaptured:
    """Never more than was reserved. Free jobs are captured too: that is what ends a job well."""
    charge = min(command.credits, reservation.credits)
    captured, freed = split(reservation.lots, charge)
    returned, forfeited = _returned(account, freed, command)
    event = CreditsCaptured(
        account_id=account.account_id,
        account_version=account.version + 1,
        settled_after=account.settled - charge - total(forfeited),
        grace_after=account.grace,
        transaction_id=close_id(reservation.job_id),
        job_id=reservation.job_id,
        credits=charge,
        lots=captured,
        released_credits=reservation.credits - charge,
        released_lots=returned,
        forfeited_lots=forfeited,
    )
    if not account.overdraft:
        return event
    return replace(event, repaid_lots=repayment(moved(account, event), command.at))


def _release(
    account: Account, reservation: Reservation, command: ReleaseCredits
) -> CreditsReleased:
    returned, forfeited = _returned(account, reservation.lots, command)
    event = CreditsReleased(
        account_id=account.account_id,
        account_version=account.version + 1,
        settled_after=account.settled - total(forfeited),
        grace_after=account.grace,
        transaction_id=close_id(reservation.job_id),
        job_id=reservation.job_id,
        released_credits=reservation.credits,
        released_lots=returned,
        forfeited_lots=forfeited,
    )
    if not account.overdraft:
        return event
    return replace(event, repaid_lots=repayment(moved(account, event), command.at))


def _returned(
    account: Account, freed: tuple[LotAmount, ...], command: CaptureCredits | ReleaseCredits
) -> tuple[tuple[LotAmount, ...], tuple[LotAmount, ...]]:
    """What goes back to where it came from, and what is too late for a lot that has ended."""
    if not freed:
        return (), ()
    ended = {lot.lot_id for lot in account.lots if account.has_ended(lot, command.at)}
    if not ended:
        return freed, ()
    returned = tuple(each for each in freed if each.lot_id not in ended)
    return returned, tuple(each for each in freed if each.lot_id in ended)
