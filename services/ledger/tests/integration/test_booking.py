"""Batches of inputs, booked on a real database."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from random import Random
from uuid import UUID, uuid4

import pytest

from libs.events.credits import CreditsCaptured, CreditsGranted, CreditsReleased, CreditsReserved
from libs.events.payload import Payload
from libs.events.testing import NOW
from libs.events.testing import event as event_of
from services.ledger import store
from services.ledger.domain.errors import InvalidInputError
from services.ledger.domain.fold import Books, fold
from services.ledger.handlers.expiry import Expiry
from services.ledger.store.history import find_account
from services.ledger.tests.builders import (
    completed,
    created,
    deduction,
    facts,
    failed,
    inputs_of,
    paid,
    refunded,
    registered,
    renewed,
    requested,
)
from services.ledger.tests.integration.audit import audit
from services.ledger.tests.integration.conftest import Ledger, SetClock


@pytest.fixture
def account_id() -> UUID:
    return uuid4()


async def settled(ledger: Ledger, account_id: UUID) -> int:
    async with ledger.streams.database.read() as connection:
        await audit(connection)
        account = await find_account(connection, account_id)
    assert account is not None
    return account.settled


async def test_a_generation_is_charged_for_what_it_delivered(
    ledger: Ledger, account_id: UUID
) -> None:
    request = facts(account_id, uuid4(), unit_credits=2, units=3)
    await ledger.book(registered(account_id, signup_credits=20, grace=5))
    await ledger.book(requested(request))
    assert await settled(ledger, account_id) == 20
    await ledger.book(completed(request, 2))
    assert await settled(ledger, account_id) == 16
    told = await ledger.told()
    assert [type(each) for each in told] == [CreditsGranted, CreditsReserved, CreditsCaptured]
    assert [(each.account_version, each.settled_after, each.grace_after) for each in told] == [
        (1, 20, 5),
        (2, 20, 5),
        (3, 16, 5),
    ]


async def test_a_failed_generation_costs_nothing(ledger: Ledger, account_id: UUID) -> None:
    request = facts(account_id, uuid4(), units=30)
    await ledger.book(registered(account_id, signup_credits=20), requested(request))
    await ledger.book(failed(request, is_readable=False))
    assert await settled(ledger, account_id) == 20
    assert isinstance((await ledger.told())[-1], CreditsReleased)


async def test_every_credits_event_answers_the_event_that_caused_it(
    ledger: Ledger, account_id: UUID
) -> None:
    request = facts(account_id, uuid4())
    causes = [event_of(each) for each in (requested(request), registered(account_id))]
    await ledger.book_events(causes)
    asked, opened = causes
    assert [(each.causation_id, each.correlation_id) for each in await ledger.published()] == [
        (opened.id, opened.correlation_id),
        (asked.id, asked.correlation_id),
    ]


async def test_repeats_under_new_ids_change_nothing(ledger: Ledger, account_id: UUID) -> None:
    request = facts(account_id, uuid4(), units=4)
    story: list[Payload] = [registered(account_id), requested(request), completed(request)]
    for batch in (story, story, [*story, *story]):
        await ledger.book(*batch)
    for again in story:
        await ledger.book(again)
    assert await settled(ledger, account_id) == 16
    assert len(await ledger.told()) == 3
    assert await ledger.count("transaction") == 3


async def test_inputs_before_the_opening_wait_in_order(ledger: Ledger, account_id: UUID) -> None:
    first, second = facts(account_id, uuid4()), facts(account_id, uuid4())
    await ledger.book(completed(first), requested(first))
    await ledger.book(requested(second), failed(second))
    assert await ledger.told() == []
    assert await ledger.count("waiting") == 4
    await ledger.book(registered(account_id))
    assert [type(each) for each in await ledger.told()] == [
        CreditsGranted,
        CreditsReserved,
        CreditsCaptured,
        CreditsReserved,
        CreditsReleased,
    ]
    assert await settled(ledger, account_id) == 19
    assert await ledger.count("waiting") == 0


async def test_an_answer_before_its_request_waits_for_it(ledger: Ledger, account_id: UUID) -> None:
    request = facts(account_id, uuid4())
    await ledger.book(registered(account_id), completed(request))
    await ledger.book(completed(request))
    assert await ledger.count("waiting") == 2
    await ledger.book(requested(request))
    assert await settled(ledger, account_id) == 19
    assert await ledger.count("waiting") == 0
    assert len(await ledger.told()) == 3


async def test_a_shortfall_becomes_debt(ledger: Ledger, account_id: UUID) -> None:
    requests = [facts(account_id, uuid4(), units=2) for _ in range(3)]
    await ledger.book(registered(account_id, signup_credits=3), *map(requested, requests))
    await ledger.book(completed(requests[0]), failed(requests[1]), completed(requests[2], 1))
    assert await settled(ledger, account_id) == 0


async def test_a_free_generation_is_reserved_and_captured(ledger: Ledger, account_id: UUID) -> None:
    request = facts(account_id, uuid4(), unit_credits=0)
    await ledger.book(registered(account_id), requested(request), completed(request))
    assert await settled(ledger, account_id) == 20
    assert isinstance((await ledger.told())[-1], CreditsCaptured)


async def test_a_refused_input_leaves_nothing_of_its_batch(
    ledger: Ledger, account_id: UUID
) -> None:
    with pytest.raises(InvalidInputError):
        await ledger.book(registered(account_id), requested(facts(account_id, uuid4(), units=-1)))
    assert await ledger.count("account") == 0
    assert await ledger.told() == []


def history(random: Random, accounts: Sequence[UUID]) -> list[Payload]:
    """Registrations, jobs, payments, refunds and deductions, repeated and out of order."""
    messages: list[Payload] = [
        registered(each, signup_credits=random.randrange(30), grace=random.randrange(5))
        for each in accounts
    ]
    for _ in range(60):
        request = facts(
            random.choice(accounts),
            UUID(int=random.getrandbits(128)),
            unit_credits=random.randrange(3),
            units=random.randrange(1, 4),
        )
        answer = (
            failed(request) if random.random() < 0.3 else completed(request, random.randrange(5))
        )
        messages += [requested(request), answer]
    for number in range(30):
        account, amount = random.choice(accounts), random.randrange(1, 9)
        payment_id = f"pi_{random.randrange(20)}_{account}"
        messages += [
            paid(account, amount, f"pi_{number}_{account}"),
            refunded(account, amount, payment_id=payment_id, refund_id=f"re_{number}_{account}"),
            deduction(account, amount, deduction_id=UUID(int=random.getrandbits(128))),
        ]
    messages += random.choices(messages, k=60)
    random.shuffle(messages)
    return messages


async def test_the_tables_hold_what_the_rules_say(ledger: Ledger) -> None:
    random = Random(7)
    accounts = [UUID(int=random.getrandbits(128)) for _ in range(5)]
    messages = history(random, accounts)
    folded = fold(Books(), inputs_of(*messages))
    expected, booked = folded.books, folded.booked
    for start in range(0, len(messages), 17):
        await ledger.book(*messages[start : start + 17])
    assert await ledger.told() == [each.event for each in booked]
    async with ledger.streams.database.read() as connection:
        await audit(connection)
        for account_id in accounts:
            account = await find_account(connection, account_id)
            assert account is not None
            assert account.settled == expected.accounts[account_id].settled
        books, is_awaited = await store.load(
            connection, store.Needed(account_ids=accounts, job_ids=expected.reservations)
        )
    assert books.reservations == expected.reservations
    assert not is_awaited


async def test_parallel_batches_over_the_same_accounts_keep_the_books(ledger: Ledger) -> None:
    random = Random(11)
    accounts = [UUID(int=random.getrandbits(128)) for _ in range(4)]
    messages = history(random, accounts)
    folded = fold(Books(), inputs_of(*messages))
    expected, booked = folded.books, folded.booked
    batches = [messages[start::8] for start in range(8)]
    # Everything twice, at once: a rebalance lets an old consumer go on for a while.
    await asyncio.gather(*(ledger.book(*batch) for batch in [*batches, *batches]))
    async with ledger.streams.database.read() as connection:
        await audit(connection)
        for account_id in accounts:
            account = await find_account(connection, account_id)
            assert account is not None
            assert account.settled == expected.accounts[account_id].settled
    assert len(await ledger.told()) == len(booked)
    assert await ledger.count("waiting") == 0


async def test_the_opening_and_its_waiters_cannot_miss_each_other(ledger: Ledger) -> None:
    accounts = [uuid4() for _ in range(20)]
    requests = [facts(each, uuid4()) for each in accounts]
    await asyncio.gather(
        *(
            ledger.book(message)
            for account_id, request in zip(accounts, requests, strict=True)
            for message in (completed(request), requested(request), registered(account_id))
        )
    )
    assert await ledger.count("waiting") == 0
    assert len(await ledger.told()) == 60


async def test_a_completed_job_that_is_told_three_times_is_charged_once(
    ledger: Ledger, account_id: UUID
) -> None:
    request = facts(account_id, uuid4(), units=3)
    answer = completed(request)
    await ledger.book(registered(account_id), requested(request), answer)
    await asyncio.gather(ledger.book(answer), ledger.book(answer, answer))
    assert await settled(ledger, account_id) == 17


async def test_ten_payments_at_once_add_up(ledger: Ledger, account_id: UUID) -> None:
    await ledger.book(registered(account_id))
    await asyncio.gather(*(ledger.book(paid(account_id, 7, f"pi_{each}")) for each in range(10)))
    assert await settled(ledger, account_id) == 90


async def test_six_copies_of_one_payment_at_once_count_once(
    ledger: Ledger, account_id: UUID
) -> None:
    payment = paid(account_id, 7, "pi_1")
    await ledger.book(registered(account_id))
    await asyncio.gather(*(ledger.book(payment) for _ in range(6)))
    assert await settled(ledger, account_id) == 27
    assert len(await ledger.told()) == 2


async def test_payments_and_deductions_before_the_opening_wait_for_it(
    ledger: Ledger, account_id: UUID
) -> None:
    await ledger.book(paid(account_id, 7), deduction(account_id, 5), refunded(account_id, 1))
    assert await ledger.told() == []
    await ledger.book(created(account_id, signup_credits=0))
    assert await settled(ledger, account_id) == 1
    assert await ledger.count("waiting") == 0


async def test_a_release_finds_a_lot_that_a_renewal_has_ended_meanwhile(
    ledger: Ledger, account_id: UUID
) -> None:
    """Nothing of the lot was left to be loaded when it ended."""
    request = facts(account_id, uuid4(), units=10)
    first = renewed(account_id, 10, until=NOW + timedelta(days=30))
    await ledger.book(registered(account_id, signup_credits=0), first, requested(request))
    await ledger.book(renewed(account_id, 10, until=NOW + timedelta(days=60)))
    await ledger.book(failed(request))
    assert await settled(ledger, account_id) == 10


async def test_a_request_that_comes_late_takes_back_what_has_expired(
    ledger: Ledger, account_id: UUID
) -> None:
    end = NOW + timedelta(days=1)
    early, late = (facts(account_id, uuid4(), units=3, requested_at=at) for at in (NOW, end))
    await ledger.book(
        registered(account_id, signup_credits=0), paid(account_id, 5, "pi_1", expires_at=end)
    )
    await Expiry(ledger.streams.database, SetClock(end)).work()
    assert await settled(ledger, account_id) == 0
    await ledger.book(requested(early))
    assert await settled(ledger, account_id) == 3
    await ledger.book(requested(late), failed(early), completed(late))
    assert await settled(ledger, account_id) == -3
