"""Batches: what waits, what is released, what a repeat does."""

from collections.abc import Sequence
from uuid import uuid4

import pytest

from libs.events.credits import CreditsCaptured, CreditsGranted, CreditsReleased, CreditsReserved
from libs.events.identity import UserRegistered
from libs.events.payload import Payload
from libs.events.testing import NOW, event
from services.ledger.domain.account import Reservation, ReservationState
from services.ledger.domain.commands import CaptureCredits, OpenAccount
from services.ledger.domain.decide import account_key, job_key
from services.ledger.domain.errors import ForeignJobError
from services.ledger.domain.fold import Booked, Books, Input, fold
from services.ledger.tests.builders import (
    completed,
    facts,
    failed,
    inputs_of,
    registered,
    requested,
)

ACCOUNT, JOB = uuid4(), uuid4()
REQUEST = facts(ACCOUNT, JOB, unit_credits=2, units=2)


def run(*batches: list[Payload]) -> tuple[Books, list[Booked]]:
    books, booked = Books(), []
    for batch in batches:
        folded = fold(books, inputs_of(*batch))
        books, more = folded.books, folded.booked
        booked += more
    return books, booked


def kinds(booked: list[Booked]) -> list[type]:
    return [type(each.event) for each in booked]


def causes(inputs: Sequence[Input | Booked]) -> list[str]:
    return [type(each.cause.data).__name__ for each in inputs if each.cause is not None]


def test_a_generation_is_opened_reserved_and_captured_in_one_batch() -> None:
    books, booked = run([registered(ACCOUNT), requested(REQUEST), completed(REQUEST, 1)])
    assert kinds(booked) == [CreditsGranted, CreditsReserved, CreditsCaptured]
    account = books.accounts[ACCOUNT]
    assert (account.version, account.settled, account.reserved) == (3, 18, 0)
    assert not books.waiting


def test_inputs_of_an_account_that_is_not_open_wait_in_their_order() -> None:
    books, booked = run([requested(REQUEST), completed(REQUEST)])
    assert not booked
    assert causes(books.waiting[account_key(ACCOUNT)]) == [
        "GenerationRequested",
        "GenerationCompleted",
    ]
    books, booked = run([requested(REQUEST), completed(REQUEST)], [registered(ACCOUNT)])
    assert kinds(booked) == [CreditsGranted, CreditsReserved, CreditsCaptured]
    assert not books.waiting


def test_a_waiting_input_keeps_its_own_cause() -> None:
    _, booked = run([requested(REQUEST)], [registered(ACCOUNT)])
    assert causes(booked) == [
        "UserRegistered",
        "GenerationRequested",
    ]


def test_an_answer_waits_for_its_request() -> None:
    books, booked = run([registered(ACCOUNT), failed(REQUEST)])
    assert kinds(booked) == [CreditsGranted]
    assert list(books.waiting) == [job_key(ACCOUNT, JOB)]
    books, booked = run([registered(ACCOUNT), failed(REQUEST)], [requested(REQUEST)])
    assert kinds(booked) == [CreditsGranted, CreditsReserved, CreditsReleased]
    assert books.accounts[ACCOUNT].settled == 20


def test_an_answer_before_its_request_before_the_opening_is_applied_in_the_end() -> None:
    books, booked = run([completed(REQUEST)], [requested(REQUEST)], [registered(ACCOUNT)])
    assert kinds(booked) == [CreditsGranted, CreditsReserved, CreditsCaptured]
    assert not books.waiting
    assert books.accounts[ACCOUNT].settled == 16


def test_what_waited_is_applied_right_after_what_it_waited_for() -> None:
    other = facts(ACCOUNT, uuid4())
    _, booked = run(
        [registered(ACCOUNT), completed(REQUEST)], [requested(REQUEST), requested(other)]
    )
    assert kinds(booked) == [CreditsGranted, CreditsReserved, CreditsCaptured, CreditsReserved]


def test_repeats_under_new_ids_change_nothing() -> None:
    story: list[Payload] = [registered(ACCOUNT), requested(REQUEST), completed(REQUEST)]
    books, booked = run(story, story, [*story, *story])
    assert kinds(booked) == [CreditsGranted, CreditsReserved, CreditsCaptured]
    assert books.accounts[ACCOUNT].version == 3


def test_repeats_that_waited_are_booked_once() -> None:
    early: list[Payload] = [completed(REQUEST), requested(REQUEST)]
    books, booked = run(early, early, [registered(ACCOUNT)])
    assert kinds(booked) == [CreditsGranted, CreditsReserved, CreditsCaptured]
    assert not books.waiting


def test_the_first_answer_counts_and_a_contrary_one_changes_nothing() -> None:
    books, _ = run([registered(ACCOUNT), requested(REQUEST), failed(REQUEST), completed(REQUEST)])
    assert books.reservations[JOB].state is ReservationState.RELEASED
    assert books.accounts[ACCOUNT].settled == 20


def test_accounts_do_not_touch_each_other() -> None:
    others = [uuid4() for _ in range(3)]
    story: list[Payload] = [registered(each) for each in others]
    story += [requested(facts(each, uuid4())) for each in others]
    books, _ = run(story)
    assert {books.accounts[each].reserved for each in others} == {1}


def test_a_job_of_another_account_refuses_the_batch() -> None:
    stranger = uuid4()
    with pytest.raises(ForeignJobError):
        run(
            [registered(ACCOUNT), registered(stranger), requested(REQUEST)],
            [requested(facts(stranger, JOB))],
        )


def test_a_fold_leaves_the_books_that_it_was_given_alone() -> None:
    before, _ = run([registered(ACCOUNT), completed(REQUEST)])
    waiting = dict(before.waiting)
    fold(before, inputs_of(requested(REQUEST)))
    assert before.accounts[ACCOUNT].version == 1
    assert before.waiting == waiting


def test_a_waiter_that_is_refused_does_not_stop_what_has_released_it() -> None:
    paying, opened, job_id = uuid4(), uuid4(), uuid4()
    opening = event(
        UserRegistered(user_id=opened, account_id=opened, role="USER", signup_credits=1, grace=0)
    )
    reservation = Reservation(
        job_id=job_id, account_id=paying, account_version=1, credits=0, lots=()
    )
    waiter = Input(opening, CaptureCredits(opened, job_id, 0, NOW))
    books = Books({}, {job_id: reservation}, {account_key(opened): (waiter,)})
    folded = fold(books, [Input(opening, OpenAccount(opened, 1, 0))])
    assert [each.event.account_id for each in folded.booked] == [opened]
    assert [each.error.code for each in folded.refused] == ["ledger_foreign_job"]
    assert not folded.books.waiting
