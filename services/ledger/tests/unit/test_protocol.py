"""The ledger's part of the credit protocol, explored: its inputs in every order."""

from itertools import islice, permutations
from uuid import UUID

import pytest
from msgspec import Struct

from libs.events.credits import (
    CreditsCaptured,
    CreditsDebited,
    CreditsDeducted,
    CreditsGranted,
)
from libs.events.generation import FailureCode, RequestFacts
from libs.events.payload import Payload
from services.ledger.domain.fold import Books, fold
from services.ledger.tests.builders import (
    completed,
    deduction,
    facts,
    failed,
    inputs_of,
    paid,
    refunded,
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
    payment: int = 0
    refund: int = 0
    deduct: int = 0

    @property
    def others(self) -> int:
        """What is given and taken apart from jobs."""
        return self.payment - self.refund - self.deduct

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
        if self.payment:
            found.append(paid(ACCOUNT, self.payment, "pi_1"))
        if self.refund:
            found.append(refunded(ACCOUNT, self.refund, payment_id="pi_1", refund_id="re_1"))
        if self.deduct:
            found.append(deduction(ACCOUNT, self.deduct, deduction_id=UUID(int=7)))
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
    Scenario("payment", signup_credits=1, units=(1,), answers=(1,), payment=1, refund=1),
    Scenario("deduct", signup_credits=1, units=(1,), answers=(1,), payment=1, refund=1, deduct=1),
    Scenario(
        "all", signup_credits=1, units=(2,), answers=(-1,), grace=1, payment=2, refund=3, deduct=1
    ),
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
        assert account.settled == scenario.signup_credits - scenario.charge + scenario.others
        assert (account.reserved, account.grace) == (0, scenario.grace)
        assert account.version == len(order)
        assert not (account.owed and any(lot.remaining for lot in account.lots))
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
def test_settled_changes_by_what_was_charged_given_and_taken_alone(scenario: Scenario) -> None:
    for order in islice(permutations(scenario.messages()), 0, None, 11):
        booked = fold(Books(), inputs_of(*order)).booked
        settled = scenario.signup_credits
        for each in booked[1:]:
            match each.event:
                case CreditsCaptured() | CreditsDebited() | CreditsDeducted():
                    settled -= each.event.credits
                case CreditsGranted():
                    settled += each.event.credits
                case _:
                    pass
            assert each.event.settled_after == settled
