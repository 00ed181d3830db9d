"""Every credits event is a balanced transaction over the six books."""

from uuid import uuid4

import pytest
from msgspec.structs import replace

from libs.events.credits import CreditsEvent, CreditsGranted
from services.ledger.domain.errors import BrokenBooksError
from services.ledger.domain.fold import Books, fold
from services.ledger.domain.postings import Book, TransactionKind, transaction_of
from services.ledger.tests.builders import (
    completed,
    facts,
    failed,
    inputs_of,
    published,
    registered,
    requested,
)

ACCOUNT, JOB = uuid4(), uuid4()


def events(price: int, delivered: int | None, signup_credits: int = 5) -> list[CreditsEvent]:
    request = facts(ACCOUNT, JOB, units=price)
    answer = failed(request) if delivered is None else completed(request, delivered)
    opening = registered(ACCOUNT, signup_credits=signup_credits)
    booked = fold(Books(), inputs_of(opening, requested(request), answer)).booked
    return [each.event for each in booked]


def lines(event: CreditsEvent) -> list[tuple[Book, int]]:
    return [(entry.book, entry.credits) for entry in transaction_of(published(event)).entries]


def test_a_grant_comes_from_the_world() -> None:
    grant, *_ = events(1, 1)
    assert lines(grant) == [(Book.LOT, 5), (Book.WORLD, -5)]


def test_a_reservation_leaves_the_lots_and_then_the_overdraft() -> None:
    _, reserved, _ = events(7, 7)
    assert lines(reserved) == [(Book.LOT, -5), (Book.OVERDRAFT, -2), (Book.RESERVED, 7)]


def test_a_partial_capture_is_revenue_and_the_rest_goes_back() -> None:
    *_, captured = events(7, 4)
    assert lines(captured) == [
        (Book.RESERVED, -7),
        (Book.REVENUE, 4),
        (Book.LOT, 1),
        (Book.OVERDRAFT, 2),
    ]


def test_a_release_is_a_reservation_backwards() -> None:
    *_, released = events(7, None)
    assert lines(released) == [(Book.RESERVED, -7), (Book.LOT, 5), (Book.OVERDRAFT, 2)]


@pytest.mark.parametrize("delivered", [0, None])
def test_a_free_job_still_names_both_sides(delivered: int | None) -> None:
    _, reserved, closed = events(0, delivered)
    assert [transaction_of(published(each)).kind for each in (reserved, closed)] == [
        TransactionKind.RESERVE,
        TransactionKind.RELEASE if delivered is None else TransactionKind.CAPTURE,
    ]
    for each in (reserved, closed):
        assert [amount for _, amount in lines(each)] == [0, 0]


def test_a_transaction_that_does_not_sum_to_zero_is_refused() -> None:
    _, reserved, _ = events(2, 2)
    with pytest.raises(BrokenBooksError):
        transaction_of(published(replace(reserved, credits=3)))


def test_transaction_and_lot_ids_follow_from_what_they_stand_for() -> None:
    first, second = events(2, 2), events(2, None)
    assert [each.transaction_id for each in first] == [each.transaction_id for each in second]
    assert len({each.transaction_id for each in first}) == 3
    opening = first[0]
    assert isinstance(opening, CreditsGranted)
    assert opening == second[0]
