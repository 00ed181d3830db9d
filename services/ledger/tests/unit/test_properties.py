"""What holds for every history: any order, any repeats, any split into batches."""

from collections import defaultdict
from collections.abc import Sequence
from itertools import pairwise
from uuid import UUID

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Struct

from libs.events.credits import CreditsEvent, JobCreditsEvent
from libs.events.payload import Payload
from services.ledger.domain.account import Account, ReservationState, evolve, evolve_reservation
from services.ledger.domain.fold import Booked, Books, Input, fold
from services.ledger.domain.postings import Book, transaction_of
from services.ledger.tests.builders import (
    completed,
    facts,
    failed,
    inputs_of,
    published,
    registered,
    requested,
)

PROFILE = settings(max_examples=150, deadline=None, database=None, derandomize=True)


class Job(Struct, frozen=True):
    account: int
    unit_credits: int
    units: int
    delivered: int | None  # None: it failed


class World(Struct, frozen=True):
    """What happened outside: accounts as (sign-up credits, grace), and their jobs."""

    accounts: tuple[tuple[int, int], ...]
    jobs: tuple[Job, ...]

    def messages(self) -> list[Payload]:
        found: list[Payload] = [
            registered(account_id(number), signup_credits=given_credits, grace=grace)
            for number, (given_credits, grace) in enumerate(self.accounts)
        ]
        for number, job in enumerate(self.jobs):
            request = facts(
                account_id(job.account),
                job_id(number),
                unit_credits=job.unit_credits,
                units=job.units,
            )
            answer = failed(request) if job.delivered is None else completed(request, job.delivered)
            found += [requested(request), answer]
        return found

    def charge(self, number: int) -> int:
        job = self.jobs[number]
        return job.unit_credits * min(job.delivered or 0, job.units)


def account_id(number: int) -> UUID:
    return UUID(int=number + 1)


def job_id(number: int) -> UUID:
    return UUID(int=1000 + number)


@st.composite
def worlds(draw: st.DrawFn) -> World:
    accounts = draw(
        st.lists(st.tuples(st.integers(0, 8), st.integers(0, 3)), min_size=1, max_size=3)
    )
    job = st.builds(
        Job,
        st.integers(0, len(accounts) - 1),
        st.integers(0, 3),
        st.integers(1, 3),
        st.none() | st.integers(0, 4),
    )
    return World(tuple(accounts), tuple(draw(st.lists(job, max_size=6))))


@st.composite
def histories(draw: st.DrawFn) -> tuple[World, Sequence[Input]]:
    """All messages of a world, in any order, some of them repeated under other ids."""
    world = draw(worlds())
    messages = world.messages()
    repeats = draw(st.lists(st.sampled_from(messages), max_size=8))
    return world, inputs_of(*draw(st.permutations([*messages, *repeats])))


def run(inputs: Sequence[Input], cuts: Sequence[int] = ()) -> tuple[Books, list[Booked]]:
    books, booked = Books(), []
    edges = [0, *sorted(cuts), len(inputs)]
    for start, end in pairwise(edges):
        folded = fold(books, inputs[start:end])
        books, more = folded.books, folded.booked
        booked += more
    return books, booked


def of_account(booked: Sequence[Booked], account: UUID) -> list[CreditsEvent]:
    return [each.event for each in booked if each.event.account_id == account]


@PROFILE
@given(histories())
def test_money_is_conserved_and_the_state_is_the_sum_of_its_entries(
    history: tuple[World, Sequence[Input]],
) -> None:
    books, booked = run(history[1])
    sums: defaultdict[tuple[UUID, Book, UUID | None], int] = defaultdict(int)
    for each in booked:
        transaction = transaction_of(published(each.event))
        assert len(transaction.entries) >= 2
        for entry in transaction.entries:
            sums[each.event.account_id, entry.book, entry.lot_id] += entry.credits
    assert sum(sums.values()) == 0
    for identity, account in books.accounts.items():
        assert sums[identity, Book.RESERVED, None] == account.reserved
        assert sums[identity, Book.OVERDRAFT, None] == account.overdraft
        for lot in account.lots:
            assert sums[identity, Book.LOT, lot.lot_id] == lot.remaining


@PROFILE
@given(histories())
def test_every_job_is_charged_once_for_what_was_delivered(
    history: tuple[World, Sequence[Input]],
) -> None:
    world, inputs = history
    books, booked = run(inputs)
    assert not books.waiting
    for number, job in enumerate(world.jobs):
        reservation = books.reservations[job_id(number)]
        failed_ = job.delivered is None
        assert reservation.state is (
            ReservationState.RELEASED if failed_ else ReservationState.CAPTURED
        )
        assert reservation.captured_credits == world.charge(number)
    for number, (given_credits, grace) in enumerate(world.accounts):
        account = books.accounts[account_id(number)]
        charges = [world.charge(i) for i, job in enumerate(world.jobs) if job.account == number]
        assert account.settled == given_credits - sum(charges)
        assert (account.reserved, account.grace) == (0, grace)
        versions = [each.account_version for each in of_account(booked, account.account_id)]
        assert versions == list(range(1, 2 * len(charges) + 2))


@PROFILE
@given(histories(), st.data())
def test_any_split_into_batches_books_the_same(
    history: tuple[World, Sequence[Input]], data: st.DataObject
) -> None:
    _, inputs = history
    cuts = data.draw(st.lists(st.integers(0, len(inputs)), max_size=6))
    whole, split = run(inputs), run(inputs, cuts)
    assert split == whole


@PROFILE
@given(histories(), st.data())
def test_repeats_change_nothing_wherever_they_come(
    history: tuple[World, Sequence[Input]], data: st.DataObject
) -> None:
    _, inputs = history
    again = [*inputs]
    for place in data.draw(st.lists(st.integers(0, len(inputs) - 1), max_size=6)):
        cause = inputs[place].cause
        assert cause is not None
        (repeat,) = inputs_of(cause.data)
        after = again.index(inputs[place]) + 1  # a repeat never comes before its first delivery
        again.insert(data.draw(st.integers(after, len(again))), repeat)
    once, twice = run(inputs), run(again)
    assert [each.event for each in twice[1]] == [each.event for each in once[1]]
    assert twice[0] == once[0]


@PROFILE
@given(histories())
def test_folding_the_recorded_events_gives_the_same_state(
    history: tuple[World, Sequence[Input]],
) -> None:
    books, booked = run(history[1])
    for identity, account in books.accounts.items():
        rebuilt = Account(account_id=identity)
        for event in of_account(booked, identity):
            rebuilt = evolve(rebuilt, event)
        assert rebuilt == account
    for identity, reservation in books.reservations.items():
        again = None
        for each in booked:
            if isinstance(each.event, JobCreditsEvent) and each.event.job_id == identity:
                again = evolve_reservation(again, each.event)
        assert again == reservation
