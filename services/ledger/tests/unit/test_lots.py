"""Lots over their lives: burn order, ends, renewals, debt that is paid off, what comes too late."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID, uuid4

import pytest

from libs.events.credits import (
    CreditsCaptured,
    CreditsDebited,
    CreditsDeducted,
    CreditsEvent,
    CreditsExpired,
    CreditsGranted,
    CreditsReclaimed,
    CreditsReleased,
    CreditsReserved,
    CreditsReversed,
    LotAmount,
    Wallet,
)
from libs.events.payload import Payload
from libs.events.testing import NOW, event
from services.ledger.domain import ids
from services.ledger.domain.account import Account
from services.ledger.domain.commands import (
    CREDITS_MAX,
    Command,
    ExpireLot,
    ForfeitSubscription,
    GrantCredits,
    ReverseTransaction,
    SetGrace,
    command_of,
)
from services.ledger.domain.corrections import Past
from services.ledger.domain.errors import (
    AlreadyReversedError,
    ForeignKeyError,
    InvalidInputError,
    NotReversibleError,
)
from services.ledger.domain.fold import Books, Input, fold
from services.ledger.domain.posted import Posted
from services.ledger.tests.builders import (
    ADMIN,
    completed,
    created,
    deduction,
    facts,
    failed,
    paid,
    refunded,
    registered,
    renewed,
    requested,
)

ACCOUNT = UUID(int=1)
DAY = timedelta(days=1)
NEXT_MONTH = NOW + 30 * DAY


class Story:
    """One account, told what happens to it."""

    def __init__(self, *, signup_credits: int = 0, grace: int = 0) -> None:
        self.books = Books()
        self.told: list[CreditsEvent] = []
        self.tell(registered(ACCOUNT, signup_credits=signup_credits, grace=grace))

    def tell(self, *data: Payload, at: datetime = NOW) -> list[CreditsEvent]:
        events = [event(each, time=at) for each in data]
        return self._apply([Input(each, command_of(each)) for each in events])

    def order(self, *commands: Command, posted: Posted | None = None) -> list[CreditsEvent]:
        if posted is not None:
            past = Past(self.books.past.known, {posted.transaction_id: posted})
            self.books = Books(
                self.books.accounts, self.books.reservations, self.books.waiting, past
            )
        return self._apply([Input(None, each) for each in commands])

    def _apply(self, inputs: Sequence[Input]) -> list[CreditsEvent]:
        folded = fold(self.books, inputs)
        self.books = folded.books
        events = [each.event for each in folded.booked]
        self.told += events
        return events

    @property
    def account(self) -> Account:
        return self.books.accounts[ACCOUNT]

    def left(self) -> dict[str, int]:
        """By payment or source, what remains."""
        granted = {each.lot_id: each for each in self.told if isinstance(each, CreditsGranted)}
        return {
            granted[lot.lot_id].reference or lot.source: lot.remaining
            for lot in self.account.lots
            if lot.lot_id in granted
        }

    def expire(self, reference: str, at: datetime) -> list[CreditsEvent]:
        lot_id = ids.lot_of(ids.payment_id("stripe", reference))
        command = ExpireLot(
            transaction_id=ids.expiry_id(lot_id), account_id=ACCOUNT, lot_id=lot_id, at=at
        )
        return self.order(command)


def job(units: int, *, admitted: datetime = NOW) -> tuple[Payload, Payload, Payload]:
    """A request with its two possible answers."""
    request = facts(ACCOUNT, uuid4(), units=units, requested_at=admitted)
    return requested(request), completed(request), failed(request)


def test_lots_that_end_together_burn_by_priority_and_then_the_oldest_first() -> None:
    story = Story()
    for number, priority in enumerate((5, 1, 5)):
        story.order(
            GrantCredits(
                transaction_id=UUID(int=50 + number),
                account_id=ACCOUNT,
                credits=2,
                wallet=Wallet.PROMO,
                source=f"lot {number}",
                reference="",
                at=NOW,
                expires_at=NEXT_MONTH,
                priority=priority,
            )
        )
    story.tell(paid(ACCOUNT, 2, "forever"), job(3)[0])
    assert story.left() == {"signup": 0, "lot 1": 0, "lot 0": 1, "lot 2": 2, "forever": 2}


def test_ten_payments_told_together_add_up_and_six_copies_of_one_count_once() -> None:
    story = Story()
    payments = [paid(ACCOUNT, 10, f"pi_{number}") for number in range(10)]
    story.tell(*payments, *payments[:1] * 5)
    story.tell(*payments)
    assert (story.account.settled, story.account.version) == (100, 11)


def test_a_workspace_opens_an_account_as_a_user_does() -> None:
    folded = fold(Books(), [Input(None, command_of(event(created(ACCOUNT, grace=3))))])
    account = folded.books.accounts[ACCOUNT]
    assert (account.version, account.settled, account.grace) == (1, 20, 3)


def test_one_payment_for_two_accounts_is_refused() -> None:
    story = Story()
    other = uuid4()
    story.tell(registered(other), paid(ACCOUNT, 10, "pi_1"))
    with pytest.raises(ForeignKeyError):
        story.tell(paid(other, 10, "pi_1"))


def test_an_expiry_takes_only_what_is_not_reserved_and_late_releases_go_to_breakage() -> None:
    story = Story()
    asked, _, failed_ = job(4)
    story.tell(paid(ACCOUNT, 10, "promo", expires_at=NOW + DAY), asked)
    (expired,) = story.expire("promo", NOW + DAY)
    assert isinstance(expired, CreditsExpired)
    assert (expired.credits, story.account.settled, story.account.reserved) == (6, 4, 4)
    (released,) = story.tell(failed_, at=NOW + 2 * DAY)
    assert isinstance(released, CreditsReleased)
    assert [each.credits for each in released.forfeited_lots] == [4]
    assert (released.released_lots, story.account.settled) == ((), 0)
    assert story.expire("promo", NOW + 2 * DAY) == []


def test_a_lot_ends_in_its_time_and_not_before() -> None:
    story = Story()
    story.tell(paid(ACCOUNT, 5, "promo", expires_at=NOW + DAY))
    assert story.expire("promo", NOW + DAY - timedelta(microseconds=1)) == []
    assert story.account.settled == 5
    (gone,) = story.expire("promo", NOW + DAY)
    assert (gone.settled_after, story.account.settled) == (0, 0)


def test_a_lot_that_is_over_and_not_ended_yet_is_not_burnt_nor_given_back_to() -> None:
    story = Story()
    early, _, early_failed = job(2)
    late, *_ = job(1, admitted=NOW + 2 * DAY)
    story.tell(paid(ACCOUNT, 5, "over", expires_at=NOW + DAY), paid(ACCOUNT, 5, "open"))
    story.tell(early, late)
    assert story.left() == {"signup": 0, "over": 3, "open": 4}
    story.tell(early_failed, at=NOW + 2 * DAY)
    assert story.left() == {"signup": 0, "over": 3, "open": 4}
    assert story.account.settled == 8


def test_a_request_admitted_before_the_end_takes_the_credits_back_and_a_later_one_does_not() -> (
    None
):
    story = Story()
    story.tell(paid(ACCOUNT, 5, "promo", expires_at=NOW + DAY))
    story.expire("promo", NOW + DAY)
    assert story.account.settled == 0
    late, *_ = job(1, admitted=NOW + DAY)
    (reserved,) = story.tell(late, at=NOW + DAY)
    assert isinstance(reserved, CreditsReserved)
    assert reserved.lots == (LotAmount(lot_id=None, credits=1),)
    asked, completed_, _ = job(4)
    reclaimed, reserved = story.tell(asked, at=NOW + DAY)
    assert isinstance(reclaimed, CreditsReclaimed)
    assert isinstance(reserved, CreditsReserved)
    assert (reclaimed.credits, reclaimed.settled_after) == (4, 4)
    assert reserved.lots == reclaimed.lots
    story.tell(completed_, at=NOW + DAY)
    assert (story.account.settled, story.account.overdraft) == (0, -1)
    again, *_ = job(3)
    reclaimed, _ = story.tell(again, at=NOW + DAY)
    assert isinstance(reclaimed, CreditsReclaimed)
    assert reclaimed.credits == 1


def test_a_renewal_ends_what_is_left_and_never_brings_a_spent_credit_back() -> None:
    story = Story()
    spent, spent_done, _ = job(30)
    story.tell(renewed(ACCOUNT, 100, until=NEXT_MONTH, payment_id="in_1"), spent, spent_done)
    held, _, held_failed = job(20)
    story.tell(held)
    (renewal,) = story.tell(renewed(ACCOUNT, 100, until=NEXT_MONTH + 30 * DAY, payment_id="in_2"))
    assert isinstance(renewal, CreditsGranted)
    assert [each.credits for each in renewal.reset_lots] == [50]
    assert story.account.settled == 120
    (released,) = story.tell(held_failed)
    assert isinstance(released, CreditsReleased)
    assert [each.credits for each in released.forfeited_lots] == [20]
    assert story.account.settled == 100


def test_a_wholly_reserved_lot_ends_with_the_renewal_too() -> None:
    story = Story()
    held, _, held_failed = job(100)
    story.tell(renewed(ACCOUNT, 100, until=NEXT_MONTH), held)
    story.tell(renewed(ACCOUNT, 100, until=NEXT_MONTH + 30 * DAY))
    story.tell(held_failed)
    assert story.account.settled == 100


def test_a_renewal_leaves_other_wallets_alone_and_an_old_one_ends_nothing() -> None:
    story = Story(signup_credits=7)
    story.tell(paid(ACCOUNT, 5), renewed(ACCOUNT, 100, until=NEXT_MONTH + 30 * DAY))
    (late,) = story.tell(renewed(ACCOUNT, 100, until=NEXT_MONTH))
    assert isinstance(late, CreditsGranted)
    assert not late.is_renewal
    assert story.account.settled == 212


def test_a_forfeit_empties_the_subscription_wallet_alone() -> None:
    story = Story(signup_credits=7)
    held, _, held_failed = job(30)
    story.tell(renewed(ACCOUNT, 100, until=NEXT_MONTH), held)
    story.order(ForfeitSubscription(transaction_id=UUID(int=9), account_id=ACCOUNT, at=NOW))
    assert (story.account.settled, story.account.reserved) == (37, 30)
    story.tell(held_failed)
    assert story.account.settled == 7


def test_debt_is_paid_off_first_by_the_next_grant() -> None:
    story = Story(signup_credits=2, grace=5)
    asked, done, _ = job(6)
    story.tell(asked, done)
    assert (story.account.settled, story.account.owed) == (-4, 4)
    (grant,) = story.tell(paid(ACCOUNT, 10, "pi_1"))
    assert isinstance(grant, CreditsGranted)
    assert [each.credits for each in grant.repaid_lots] == [4]
    assert story.left()["pi_1"] == 6
    assert (story.account.overdraft, story.account.settled) == (0, 6)


def test_what_is_borrowed_for_a_running_job_is_owed_only_when_it_is_charged() -> None:
    story = Story()
    asked, done, _ = job(3)
    story.tell(asked, paid(ACCOUNT, 10, "pi_1"))
    assert (story.account.owed, story.left()["pi_1"]) == (0, 10)
    (captured,) = story.tell(done)
    assert isinstance(captured, CreditsCaptured)
    assert [each.credits for each in captured.repaid_lots] == [3]
    assert (story.left()["pi_1"], story.account.overdraft) == (7, 0)


def test_what_is_borrowed_goes_back_to_nothing_when_the_job_fails() -> None:
    story = Story()
    asked, _, failed_ = job(3)
    story.tell(asked, paid(ACCOUNT, 10, "pi_1"), failed_)
    assert (story.left()["pi_1"], story.account.overdraft, story.account.settled) == (10, 0, 10)


def test_credits_that_are_released_pay_off_debt() -> None:
    story = Story(signup_credits=5)
    asked, _, failed_ = job(5)
    story.tell(asked, refunded(ACCOUNT, 3))
    assert story.account.owed == 3
    (released,) = story.tell(failed_)
    assert isinstance(released, CreditsReleased)
    assert [each.credits for each in released.repaid_lots] == [3]
    assert (story.account.overdraft, story.account.settled) == (0, 2)


def test_a_refund_takes_the_lot_it_paid_for_first_and_may_leave_debt() -> None:
    story = Story(signup_credits=5)
    story.tell(paid(ACCOUNT, 10, "pi_1"), paid(ACCOUNT, 10, "pi_2"))
    refund = refunded(ACCOUNT, 10, payment_id="pi_2", refund_id="re_1")
    (debited,) = story.tell(refund, refund)
    assert isinstance(debited, CreditsDebited)
    assert story.left() == {"signup": 5, "pi_1": 10, "pi_2": 0}
    story.tell(refunded(ACCOUNT, 20, payment_id="pi_1"))
    assert (story.account.settled, story.account.owed) == (-5, 5)


def test_a_refund_before_its_payment_is_paid_off_by_it() -> None:
    story = Story()
    story.tell(refunded(ACCOUNT, 10, payment_id="pi_1"), paid(ACCOUNT, 10, "pi_1"))
    assert (story.account.settled, story.account.owed, story.left()["pi_1"]) == (0, 0, 0)


@pytest.mark.parametrize("forced", ["expiry", "refund", "deduction"])
def test_what_lands_between_admission_and_capture_never_refuses_the_capture(forced: str) -> None:
    """The reservation stands; a request that comes after it ends in grace, then in debt."""
    story = Story(grace=2)
    story.tell(paid(ACCOUNT, 10, "pi_1", expires_at=NOW + DAY))
    first, first_done, _ = job(6)
    second, second_done, _ = job(4)
    story.tell(first)
    if forced == "expiry":
        story.expire("pi_1", NOW + DAY)
    elif forced == "refund":
        story.tell(refunded(ACCOUNT, 10, payment_id="pi_1"))
    else:
        story.tell(deduction(ACCOUNT, 4))
    story.tell(second, first_done, second_done)
    captured = [each.credits for each in story.told if isinstance(each, CreditsCaptured)]
    assert captured == [6, 4]
    # What expired, the second request was admitted in time to take back.
    assert story.account.settled == {"expiry": 0, "refund": -10, "deduction": -4}[forced]


def test_a_deduction_is_booked_once_with_its_actor_and_reason() -> None:
    story = Story(signup_credits=5)
    asked = deduction(ACCOUNT, 3)
    (deducted,) = story.tell(asked, asked)
    assert isinstance(deducted, CreditsDeducted)
    assert (deducted.actor, deducted.reason, deducted.deduction_id) == (
        ADMIN,
        "Given by mistake.",
        asked.deduction_id,
    )
    assert (deducted.subject, story.account.settled) == (str(asked.deduction_id), 2)


def reverse(posted: Posted) -> ReverseTransaction:
    return ReverseTransaction(
        transaction_id=ids.reversal_id(posted.transaction_id),
        account_id=ACCOUNT,
        reverses=posted.transaction_id,
        at=NOW,
        actor=ADMIN,
        reason="wrong",
    )


def posted(transaction_id: UUID, *, world: int = 0, revenue: int = 0, **changes: bool) -> Posted:
    return Posted(
        transaction_id=transaction_id,
        account_id=ACCOUNT,
        is_reversible=changes.get("is_reversible", True),
        world=world,
        revenue=revenue,
        breakage=0,
    )


def test_a_reversed_charge_comes_back_and_names_what_it_reverses_once() -> None:
    story = Story(signup_credits=5)
    asked, done, _ = job(3)
    *_, captured = story.tell(asked, done)
    charge = posted(captured.transaction_id, revenue=3)
    (reversal,) = story.order(reverse(charge), posted=charge)
    assert isinstance(reversal, CreditsReversed)
    assert (reversal.reverses, reversal.credits, reversal.to_revenue) == (
        captured.transaction_id,
        3,
        -3,
    )
    assert story.account.settled == 5
    returned = next(each for each in story.account.lots if each.lot_id == reversal.lot_id)
    assert (returned.wallet, returned.remaining, returned.expires_at) == (Wallet.PROMO, 3, None)
    with pytest.raises(AlreadyReversedError):
        story.order(reverse(charge))


def test_a_reversed_grant_is_taken_back_and_may_leave_debt() -> None:
    story = Story(signup_credits=1)
    (grant,) = story.tell(paid(ACCOUNT, 10, "pi_1"))
    asked, done, _ = job(4)
    story.tell(asked, done)
    given = posted(grant.transaction_id, world=-10)
    story.order(reverse(given), posted=given)
    assert (story.account.settled, story.account.owed) == (-3, 3)


def test_what_has_no_opposite_is_not_reversed() -> None:
    story = Story()
    for wrong in (None, posted(UUID(int=1), is_reversible=False)):
        with pytest.raises(NotReversibleError):
            story.order(reverse(posted(UUID(int=1), world=-1)), posted=wrong)


def test_the_grace_is_changed_and_told() -> None:
    story = Story(grace=2)
    change = SetGrace(
        transaction_id=UUID(int=5), account_id=ACCOUNT, grace=9, actor=ADMIN, reason="good"
    )
    (changed,) = story.order(change, change)
    assert (changed.grace_after, story.account.grace, story.account.version) == (9, 9, 2)


def test_more_than_can_be_counted_exactly_is_refused() -> None:
    story = Story(signup_credits=1)
    with pytest.raises(InvalidInputError):
        story.tell(paid(ACCOUNT, CREDITS_MAX))
    assert story.account.settled == 1
