"""The ledger's part of the credit protocol, explored: its inputs in every order."""

from itertools import islice, permutations
from uuid import UUID

import pytest
from msgspec import Struct

from libs.events.credits import CreditsCaptured
from libs.events.generation import FailureCode, RequestFacts
from libs.events.payload import Payload
from services.ledger.domain.fold import Books, fold
from services.ledger.tests.builders import (
    completed,
    facts,
    failed,
    inputs_of,
    registered,
    requested,
)

ACCOUNT = UUID(int=1)


class Scenario(Struct, frozen=True):
    """Answers: how many units were delivered; None: it failed; -1: it was cancelled."""

    name: str
    signup_credits: int
    units: tuple[int, ...]
    answers: tuple[int | None, ...]
    grace: int = 0

    @property
    def charge(self) -> int:
        return sum(max(0, answer or 0) for answer in self.answers)

    def messages(self) -> list[Payload]:
        found: list[Payload] = [
            registered(ACCOUNT, signup_credits=self.signup_credits, grace=self.grace)
        ]
        for number, (units, answer) in enumerate(zip(self.units, self.answers, strict=True)):
            request = facts(ACCOUNT, UUID(int=100 + number), units=units)
            found += [requested(request), answered(request, answer)]
        return found


def answered(request: RequestFacts, answer: int | None) -> Payload:
    if answer is None:
        return failed(request)
    return failed(request, FailureCode.CANCELLED) if answer < 0 else completed(request, answer)


SCENARIOS = (
    Scenario("grace", signup_credits=1, units=(1, 1), answers=(1, 1), grace=1),
    Scenario("debt", signup_credits=1, units=(2, 1), answers=(2, 1)),
    Scenario("three jobs", signup_credits=2, units=(1, 1, 1), answers=(1, None, 1)),
    Scenario("cancel", signup_credits=2, units=(1, 1), answers=(-1, 1)),
    Scenario("late cancel", signup_credits=2, units=(1, 1), answers=(1, None)),
    Scenario("partial", signup_credits=3, units=(2, 1), answers=(1, 1)),
    Scenario("overdrawn and released", signup_credits=1, units=(2, 2), answers=(None, -1)),
)


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_every_order_ends_in_the_same_balance(scenario: Scenario) -> None:
    """Topics interleave freely, and parking or republishing reorders each of them."""
    for order in permutations(scenario.messages()):
        books = Books()
        for message in order:
            books = fold(books, inputs_of(message)).books
        account = books.accounts[ACCOUNT]
        assert account.settled == scenario.signup_credits - scenario.charge
        assert (account.reserved, account.grace) == (0, scenario.grace)
        assert account.version == 1 + 2 * len(scenario.units)
        assert not books.waiting


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_every_message_may_come_again_at_every_moment(scenario: Scenario) -> None:
    for order in islice(permutations(scenario.messages()), 0, None, 7):
        books = Books()
        for done, message in enumerate(order):
            books = fold(books, inputs_of(message)).books
            folded = fold(books, inputs_of(*order[: done + 1]))
            after, booked = folded.books, folded.booked
            assert not booked
            assert (after.accounts, after.reservations) == (books.accounts, books.reservations)


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_settled_changes_by_the_charge_alone(scenario: Scenario) -> None:
    for order in islice(permutations(scenario.messages()), 0, None, 11):
        booked = fold(Books(), inputs_of(*order)).booked
        settled = scenario.signup_credits
        for each in booked[1:]:
            settled -= each.event.credits if isinstance(each.event, CreditsCaptured) else 0
            assert each.event.settled_after == settled
