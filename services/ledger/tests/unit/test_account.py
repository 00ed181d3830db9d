"""One account: burn order, grace, debt, and what its events may do to it."""

from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from msgspec.structs import replace

from libs.events.credits import (
    CreditsCaptured,
    CreditsEvent,
    CreditsReserved,
    JobCreditsEvent,
    LotAmount,
    Wallet,
)
from libs.events.testing import NOW
from services.ledger.domain.account import (
    Account,
    Reservation,
    ReservationState,
    evolve,
    evolve_reservation,
)
from services.ledger.domain.commands import (
    CaptureCredits,
    Command,
    OpenAccount,
    ReleaseCredits,
    ReserveCredits,
)
from services.ledger.domain.decide import decide
from services.ledger.domain.errors import BrokenBooksError, ForeignJobError
from services.ledger.domain.lots import Lot, in_burn_order

ACCOUNT, JOB = uuid4(), uuid4()


def lot(credits_: int, *, version: int, ends_in_days: int | None = None) -> Lot:
    return Lot(
        lot_id=uuid4(),
        wallet=Wallet.TOPUP,
        credits=credits_,
        remaining=credits_,
        source="test",
        expires_at=None if ends_in_days is None else NOW + timedelta(days=ends_in_days),
        opened_version=version,
    )


def account_with(*lots: Lot, grace: int = 0) -> Account:
    return Account(account_id=ACCOUNT, version=9, grace=grace, lots=in_burn_order(lots))


def apply(
    account: Account, command: Command, reservation: Reservation | None = None
) -> tuple[CreditsEvent, Account, Reservation | None]:
    (event,) = decide(account, reservation, command)
    if isinstance(event, JobCreditsEvent):
        reservation = evolve_reservation(reservation, event)
    return event, evolve(account, event), reservation


def reserve(account: Account, price: int, job_id: UUID = JOB) -> tuple[Account, Reservation]:
    _, after, reservation = apply(account, ReserveCredits(ACCOUNT, job_id, price, NOW))
    assert reservation is not None
    return after, reservation


def test_the_opening_is_version_one_with_a_promo_lot_and_the_grace() -> None:
    event, account, _ = apply(Account(account_id=ACCOUNT), OpenAccount(ACCOUNT, 20, 5))
    assert (account.version, account.settled, account.grace) == (1, 20, 5)
    assert [(each.wallet, each.remaining) for each in account.lots] == [(Wallet.PROMO, 20)]
    assert (event.account_version, event.settled_after, event.grace_after) == (1, 20, 5)


def test_an_account_without_credits_at_sign_up_is_opened_too() -> None:
    _, account, _ = apply(Account(account_id=ACCOUNT), OpenAccount(ACCOUNT, 0, 0))
    assert account.is_open
    assert account.settled == 0


def test_an_opened_account_is_not_opened_again() -> None:
    assert decide(account_with(), None, OpenAccount(ACCOUNT, 20, 5)) == ()


def test_the_soonest_ending_lot_burns_first_and_of_equal_ones_the_oldest() -> None:
    forever_old, forever_new = lot(3, version=1), lot(3, version=4)
    late, soon = lot(3, version=2, ends_in_days=9), lot(3, version=3, ends_in_days=2)
    account, reservation = reserve(account_with(forever_new, forever_old, late, soon), 11)
    assert [(each.lot_id, each.credits) for each in reservation.lots] == [
        (soon.lot_id, 3),
        (late.lot_id, 3),
        (forever_old.lot_id, 3),
        (forever_new.lot_id, 2),
    ]
    assert (account.settled, account.reserved) == (12, 11)


def test_a_shortfall_goes_to_grace_and_then_to_debt_and_is_never_refused() -> None:
    account, reservation = reserve(account_with(lot(2, version=1), grace=1), 5)
    assert reservation.lots[-1] == LotAmount(lot_id=None, credits=3)
    assert (account.overdraft, account.reserved, account.settled) == (-3, 5, 2)


def test_a_partial_capture_charges_the_first_lots_and_frees_the_rest_in_one_event() -> None:
    first, second = lot(2, version=1), lot(5, version=2)
    account, reservation = reserve(account_with(first, second), 6)
    event, account, closed = apply(account, CaptureCredits(ACCOUNT, JOB, 3, NOW), reservation)
    assert isinstance(event, CreditsCaptured)
    assert [(each.lot_id, each.credits) for each in event.lots] == [
        (first.lot_id, 2),
        (second.lot_id, 1),
    ]
    assert event.released_lots == (LotAmount(lot_id=second.lot_id, credits=3),)
    assert (account.settled, account.reserved) == (4, 0)
    assert closed is not None
    assert (closed.state, closed.captured_credits) == (ReservationState.CAPTURED, 3)


def test_a_release_returns_every_credit_to_where_it_came_from() -> None:
    before = account_with(lot(2, version=1), lot(5, version=2), grace=4)
    account, reservation = reserve(before, 9)
    _, account, closed = apply(account, ReleaseCredits(ACCOUNT, JOB, NOW), reservation)
    assert account == replace(before, version=before.version + 2)
    assert closed is not None
    assert closed.state is ReservationState.RELEASED


def test_a_free_job_takes_the_same_way() -> None:
    account, reservation = reserve(account_with(lot(2, version=1)), 0)
    event, account, _ = apply(account, CaptureCredits(ACCOUNT, JOB, 0, NOW), reservation)
    assert isinstance(event, CreditsCaptured)
    assert (event.credits, account.settled, account.version) == (0, 2, 11)


def test_a_capture_beyond_the_reservation_stops_at_it() -> None:
    account, reservation = reserve(account_with(lot(9, version=1)), 2)
    _, account, _ = apply(account, CaptureCredits(ACCOUNT, JOB, 5, NOW), reservation)
    assert account.settled == 7


@pytest.mark.parametrize(
    "again",
    [CaptureCredits(ACCOUNT, JOB, 1, NOW), ReleaseCredits(ACCOUNT, JOB, NOW)],
    ids=["c", "r"],
)
def test_a_closed_job_is_never_closed_again(again: Command) -> None:
    account, reservation = reserve(account_with(lot(9, version=1)), 2)
    assert decide(account, reservation, ReserveCredits(ACCOUNT, JOB, 2, NOW)) == ()
    _, account, closed = apply(account, CaptureCredits(ACCOUNT, JOB, 2, NOW), reservation)
    assert decide(account, closed, again) == ()


def test_another_account_gets_nothing_out_of_a_job() -> None:
    _, reservation = reserve(account_with(lot(9, version=1)), 2)
    stranger = Account(account_id=uuid4(), version=1)
    for command in (
        ReserveCredits(stranger.account_id, JOB, 2, NOW),
        CaptureCredits(stranger.account_id, JOB, 2, NOW),
        ReleaseCredits(stranger.account_id, JOB, NOW),
    ):
        with pytest.raises(ForeignJobError):
            decide(stranger, reservation, command)


def test_an_event_that_does_not_follow_or_add_up_is_not_applied() -> None:
    account = account_with(lot(9, version=1))
    (event,) = decide(account, None, ReserveCredits(ACCOUNT, JOB, 2, NOW))
    assert isinstance(event, CreditsReserved)
    for broken in (
        replace(event, account_version=event.account_version + 1),
        replace(event, account_id=uuid4()),
        replace(event, settled_after=event.settled_after + 1),
        replace(event, credits=3),
        replace(event, lots=(LotAmount(lot_id=uuid4(), credits=2),)),
        replace(event, lots=(LotAmount(lot_id=account.lots[0].lot_id, credits=10),), credits=10),
    ):
        with pytest.raises(BrokenBooksError):
            evolve(account, broken)


def test_a_reservation_is_made_once_closed_once_and_for_its_whole_amount() -> None:
    account, reservation = reserve(account_with(lot(9, version=1)), 2)
    (captured,) = decide(account, reservation, CaptureCredits(ACCOUNT, JOB, 1, NOW))
    assert isinstance(captured, CreditsCaptured)
    closed = evolve_reservation(reservation, captured)
    for before, event in (
        (None, captured),
        (closed, captured),
        (reservation, replace(captured, released_credits=0)),
    ):
        with pytest.raises(BrokenBooksError):
            evolve_reservation(before, event)
