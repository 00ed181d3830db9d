"""What the ledger reads out of the events of others, and what it refuses."""

from datetime import timedelta
from uuid import uuid4

import pytest
from msgspec.structs import replace

from libs.events.credits import Wallet
from libs.events.generation import GenerationCancelRequested
from libs.events.payload import Payload
from libs.events.testing import NOW, event
from services.ledger.domain.commands import (
    CREDITS_MAX,
    CaptureCredits,
    Command,
    OpenAccount,
    ReleaseCredits,
    ReserveCredits,
    command_of,
)
from services.ledger.domain.errors import InvalidInputError
from services.ledger.tests.builders import (
    completed,
    deduction,
    facts,
    failed,
    paid,
    refunded,
    registered,
    requested,
)

ACCOUNT, JOB = uuid4(), uuid4()


def asked(data: Payload) -> Command:
    return command_of(event(data))


def test_a_registration_opens_an_account() -> None:
    command = asked(registered(ACCOUNT, signup_credits=20, grace=5))
    assert command == OpenAccount(ACCOUNT, 20, 5)


def test_a_request_reserves_its_whole_price() -> None:
    command = asked(requested(facts(ACCOUNT, JOB, unit_credits=2, units=3)))
    assert command == ReserveCredits(ACCOUNT, JOB, 6, NOW - timedelta(seconds=2))


@pytest.mark.parametrize(("delivered", "charge"), [(0, 0), (2, 4), (3, 6), (9, 6)])
def test_a_completion_charges_what_was_delivered_and_never_more_than_asked(
    delivered: int, charge: int
) -> None:
    command = asked(completed(facts(ACCOUNT, JOB, unit_credits=2, units=3), delivered))
    assert command == CaptureCredits(ACCOUNT, JOB, charge, NOW)


@pytest.mark.parametrize("is_readable", [True, False])
def test_a_failure_releases_whatever_its_request_looks_like(*, is_readable: bool) -> None:
    odd = facts(ACCOUNT, JOB, unit_credits=-1, units=-1)
    assert asked(failed(odd, is_readable=is_readable)) == ReleaseCredits(ACCOUNT, JOB, NOW)


@pytest.mark.parametrize("amount", [-1, CREDITS_MAX + 1])
def test_amounts_out_of_range_are_refused(amount: int) -> None:
    for data in (
        registered(ACCOUNT, signup_credits=amount),
        registered(ACCOUNT, grace=amount),
        requested(facts(ACCOUNT, JOB, unit_credits=amount)),
        completed(facts(ACCOUNT, JOB, unit_credits=amount)),
    ):
        with pytest.raises(InvalidInputError):
            asked(data)


@pytest.mark.parametrize("amount", [-1, 0, CREDITS_MAX + 1])
def test_nothing_and_less_is_neither_paid_nor_refunded_nor_deducted(amount: int) -> None:
    for data in (paid(ACCOUNT, amount), refunded(ACCOUNT, amount), deduction(ACCOUNT, amount)):
        with pytest.raises(InvalidInputError, match="out of range"):
            asked(data)


def test_a_top_up_that_ends_is_refused() -> None:
    ending = paid(ACCOUNT, 5, "pi_1", wallet=Wallet.TOPUP, expires_at=NOW + timedelta(days=9))
    with pytest.raises(InvalidInputError, match="Payment pi_1 is a top-up, which never ends"):
        asked(ending)


def test_a_price_that_is_too_large_only_when_multiplied_is_refused() -> None:
    with pytest.raises(InvalidInputError):
        asked(requested(facts(ACCOUNT, JOB, unit_credits=2**30, units=2**30)))


def test_negative_units_are_refused() -> None:
    with pytest.raises(InvalidInputError):
        asked(requested(facts(ACCOUNT, JOB, units=-1)))
    with pytest.raises(InvalidInputError):
        asked(completed(facts(ACCOUNT, JOB), -1))


def test_an_event_that_contradicts_its_own_request_is_refused() -> None:
    honest = requested(facts(ACCOUNT, JOB))
    with pytest.raises(InvalidInputError):
        asked(replace(honest, account_id=uuid4()))
    with pytest.raises(InvalidInputError):
        asked(replace(honest, job_id=uuid4()))


def test_an_event_that_is_no_input_is_refused() -> None:
    with pytest.raises(InvalidInputError):
        asked(GenerationCancelRequested(job_id=JOB, account_id=ACCOUNT, user_id=ACCOUNT))
