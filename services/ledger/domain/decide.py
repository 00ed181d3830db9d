"""What each command leads to: one credits event, or nothing because it has led to it before."""

from collections.abc import Iterable
from typing import assert_never
from uuid import UUID

from libs.events.credits import (
    CreditsCaptured,
    CreditsEvent,
    CreditsGranted,
    CreditsReleased,
    CreditsReserved,
    LotAmount,
    Wallet,
)
from services.ledger.domain.account import Account, Reservation, ReservationState
from services.ledger.domain.commands import (
    CaptureCredits,
    Command,
    JobCommand,
    OpenAccount,
    ReleaseCredits,
    ReserveCredits,
)
from services.ledger.domain.errors import BrokenBooksError, ForeignJobError
from services.ledger.domain.ids import close_id, opening_id, reserve_id, signup_lot_id

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
    if isinstance(command, OpenAccount):
        return None
    if not account.is_open:
        return account_key(account.account_id)
    if isinstance(command, ReserveCredits) or reservation is not None:
        return None
    return job_key(account.account_id, command.job_id)


def decide(
    account: Account, reservation: Reservation | None, command: Command
) -> CreditsEvent | None:
    """The event that a command leads to; None if it was decided before, under any event id.

    Raises:
        ForeignJobError: the job's credits belong to another account.
    """
    match command:
        case OpenAccount():
            return None if account.is_open else _open(account, command)
        case ReserveCredits():
            _refuse_foreign(reservation, command)
            return _reserve(account, command) if reservation is None else None
        case CaptureCredits() | ReleaseCredits():
            _refuse_foreign(reservation, command)
            if reservation is None:
                raise BrokenBooksError(
                    f"Job {command.job_id} is not reserved: let its answer wait."
                )
            if reservation.state is not ReservationState.RESERVED:
                return None
            if isinstance(command, CaptureCredits):
                return _capture(account, reservation, command)
            return _release(account, reservation)
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


def _reserve(account: Account, command: ReserveCredits) -> CreditsReserved:
    """A shortfall never refuses an admitted job: below the lots is grace, then debt."""
    free = (LotAmount(lot_id=lot.lot_id, credits=lot.remaining) for lot in account.lots)
    taken, _ = split(free, command.credits)
    short = command.credits - sum(amount.credits for amount in taken)
    overdrawn = (LotAmount(lot_id=None, credits=short),) if short else ()
    return CreditsReserved(
        account_id=account.account_id,
        account_version=account.version + 1,
        settled_after=account.settled,
        grace_after=account.grace,
        transaction_id=reserve_id(command.job_id),
        job_id=command.job_id,
        credits=command.credits,
        lots=(*taken, *overdrawn),
    )


def _capture(
    account: Account, reservation: Reservation, command: CaptureCredits
) -> CreditsCaptured:
    """Never more than was reserved. Free jobs are captured too: that is what ends a job well."""
    charge = min(command.credits, reservation.credits)
    captured, freed = split(reservation.lots, charge)
    return CreditsCaptured(
        account_id=account.account_id,
        account_version=account.version + 1,
        settled_after=account.settled - charge,
        grace_after=account.grace,
        transaction_id=close_id(reservation.job_id),
        job_id=reservation.job_id,
        credits=charge,
        lots=captured,
        released_credits=reservation.credits - charge,
        released_lots=freed,
    )


def _release(account: Account, reservation: Reservation) -> CreditsReleased:
    return CreditsReleased(
        account_id=account.account_id,
        account_version=account.version + 1,
        settled_after=account.settled,
        grace_after=account.grace,
        transaction_id=close_id(reservation.job_id),
        job_id=reservation.job_id,
        released_credits=reservation.credits,
        released_lots=reservation.lots,
    )


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
