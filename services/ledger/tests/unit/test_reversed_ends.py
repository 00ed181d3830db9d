"""Ends of lots that are reversed: what a lot has lost is given back once, whoever comes first."""

from collections.abc import Callable
from typing import TypeAlias
from uuid import UUID

import pytest
from msgspec.structs import replace

from libs.events.credits import (
    CreditsCaptured,
    CreditsEvent,
    CreditsForfeited,
    CreditsGranted,
    CreditsReversed,
)
from libs.events.testing import NOW
from services.ledger.domain import ids
from services.ledger.domain.account import Account, evolve
from services.ledger.domain.commands import ForfeitSubscription, ReverseTransaction
from services.ledger.domain.errors import BrokenBooksError
from services.ledger.domain.fold import Books
from services.ledger.domain.posted import posted_by
from services.ledger.domain.postings import transaction_of
from services.ledger.tests.builders import ADMIN, paid, published, renewed
from services.ledger.tests.unit.test_lots import ACCOUNT, DAY, NEXT_MONTH, Story, job

END = NOW + DAY
End: TypeAlias = Callable[[], tuple[Story, CreditsEvent]]


def reverse(story: Story, wrong: CreditsEvent) -> CreditsReversed:
    done = transaction_of(published(wrong))
    posted = posted_by(ACCOUNT, done.transaction_id, done.kind, done.entries)
    command = ReverseTransaction(
        transaction_id=ids.reversal_id(wrong.transaction_id),
        account_id=ACCOUNT,
        reverses=wrong.transaction_id,
        at=END,
        actor=ADMIN,
        reason="Out of goodwill.",
    )
    (reversal,) = story.order(command, posted=posted)
    assert isinstance(reversal, CreditsReversed)
    return reversal


def expired() -> tuple[Story, CreditsEvent]:
    story = Story()
    story.tell(paid(ACCOUNT, 100, "pi_1", expires_at=END))
    (gone,) = story.expire("pi_1", END)
    return story, gone


def forfeited() -> tuple[Story, CreditsEvent]:
    story = Story()
    story.tell(renewed(ACCOUNT, 100, until=NEXT_MONTH))
    (gone,) = story.order(
        ForfeitSubscription(transaction_id=UUID(int=9), account_id=ACCOUNT, at=END)
    )
    assert isinstance(gone, CreditsForfeited)
    return story, gone


def reset() -> tuple[Story, CreditsEvent]:
    """By a renewal over nothing."""
    story = Story()
    story.tell(renewed(ACCOUNT, 100, until=NEXT_MONTH))
    (gone,) = story.tell(renewed(ACCOUNT, 0, until=NEXT_MONTH + 30 * DAY), at=END)
    assert isinstance(gone, CreditsGranted)
    return story, gone


ENDS = pytest.mark.parametrize("end", [expired, forfeited, reset])


def spend(story: Story, credits_: int) -> None:
    """By a job that was admitted before the end and is read after it."""
    asked, done, _ = job(credits_, admitted=NOW)
    story.tell(asked, done, at=END)


def spent(story: Story) -> int:
    return sum(each.credits for each in story.told if isinstance(each, CreditsCaptured))


def assert_folds(story: Story) -> None:
    account = Account(account_id=ACCOUNT)
    for each in story.told:
        account = evolve(account, each)
    assert account == story.account


@ENDS
def test_what_a_reversal_has_given_back_no_late_request_reclaims(end: End) -> None:
    story, gone = end()
    reversal = reverse(story, gone)
    assert (reversal.credits, story.account.settled) == (100, 100)
    assert [each.credits for each in reversal.restored_lots] == [100]
    spend(story, 100)
    # The new lot is from after the admission: nothing hinders it, and nothing is there twice.
    assert (spent(story), story.account.settled) == (100, 0)
    assert_folds(story)


@ENDS
def test_what_a_late_request_has_reclaimed_no_reversal_gives_back(end: End) -> None:
    story, gone = end()
    spend(story, 30)
    reversal = reverse(story, gone)
    assert (reversal.credits, reversal.to_breakage) == (70, -70)
    assert (spent(story), story.account.settled) == (30, 70)
    assert_folds(story)


@ENDS
def test_a_reversal_after_all_was_reclaimed_gives_nothing(end: End) -> None:
    story, gone = end()
    spend(story, 100)
    reversal = reverse(story, gone)
    assert (reversal.credits, reversal.lot_id, reversal.restored_lots) == (0, None, ())
    assert (spent(story), story.account.settled) == (100, 0)
    assert_folds(story)


def test_a_reversed_renewal_gives_back_what_it_has_ended_and_takes_what_it_gave() -> None:
    story = Story()
    story.tell(renewed(ACCOUNT, 100, until=NEXT_MONTH))
    (renewal,) = story.tell(renewed(ACCOUNT, 250, until=NEXT_MONTH + 30 * DAY), at=END)
    spend(story, 30)  # out of the ended lot, before the others
    reversal = reverse(story, renewal)
    assert (reversal.credits, reversal.to_world, reversal.to_breakage) == (-180, 250, -70)
    assert (spent(story), story.account.settled) == (30, 70)
    spend(story, 70)
    assert (spent(story), story.account.settled, story.account.owed) == (100, 0, 0)
    assert_folds(story)


def test_lots_that_pay_off_debt_are_not_taken_for_ended_ones() -> None:
    story = Story()
    held, done, _ = job(40)
    story.tell(renewed(ACCOUNT, 10, until=NEXT_MONTH), held, done)
    (renewal,) = story.tell(renewed(ACCOUNT, 50, until=NEXT_MONTH + 30 * DAY))
    assert isinstance(renewal, CreditsGranted)
    assert renewal.repaid_lots
    done_ = transaction_of(published(renewal))
    posted = posted_by(ACCOUNT, done_.transaction_id, done_.kind, done_.entries)
    assert posted.ended_lots == renewal.reset_lots == ()


def test_more_than_a_lot_has_lost_cannot_come_back() -> None:
    story, gone = expired()
    reversal = reverse(story, gone)
    again = replace(reversal, account_version=story.account.version + 1, lot_id=UUID(int=77))
    with pytest.raises(BrokenBooksError, match="has not lost 100 credits"):
        evolve(story.account, again)


def test_an_older_renewal_ends_nothing_where_the_later_lot_is_not_loaded() -> None:
    """The store leaves lots out that have no free credits: the account itself must know."""
    story = Story()
    held, *_ = job(100)
    story.tell(renewed(ACCOUNT, 100, until=NEXT_MONTH + 30 * DAY), held)
    accounts = {ACCOUNT: replace(story.account, lots=())}
    story.books = Books(accounts, story.books.reservations, past=story.books.past)
    before = story.account.renewed_version
    (late,) = story.tell(renewed(ACCOUNT, 100, until=NEXT_MONTH))
    assert isinstance(late, CreditsGranted)
    assert not late.is_renewal
    assert story.account.renewed_version == before
    assert story.account.renewed_until == NEXT_MONTH + 30 * DAY


def test_after_a_forfeit_a_shorter_subscription_is_no_older_one() -> None:
    story, _ = forfeited()
    (first,) = story.tell(renewed(ACCOUNT, 5, until=END + DAY))
    assert isinstance(first, CreditsGranted)
    assert first.is_renewal
