"""What a failed attempt leads to."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.events.generation import FailureCode
from services.generation.domain import retries


@pytest.mark.parametrize("code", sorted(set(FailureCode) - retries.TRANSIENT))
def test_what_will_not_pass_is_never_repeated(code: FailureCode) -> None:
    assert not retries.may_retry_failure(code, 1, is_idempotent=True)


def test_only_what_may_pass_by_itself_is_transient() -> None:
    assert set(retries.TRANSIENT) == {
        FailureCode.RATE_LIMIT,
        FailureCode.TIMEOUT,
        FailureCode.SERVER,
    }


@pytest.mark.parametrize("code", sorted(retries.TRANSIENT))
def test_what_may_pass_is_repeated_and_not_for_ever(code: FailureCode) -> None:
    tries = [retries.may_retry_failure(code, each, is_idempotent=True) for each in range(1, 9)]
    assert tries == [True] * 4 + [False] * 4


def test_a_call_that_may_have_been_billed_is_repeated_once() -> None:
    for code in (FailureCode.SERVER, FailureCode.TIMEOUT):
        assert retries.may_retry_failure(code, 1, is_idempotent=False)
        assert not retries.may_retry_failure(code, 2, is_idempotent=False)
    assert retries.may_retry_failure(FailureCode.RATE_LIMIT, 4, is_idempotent=False)


def test_an_unknown_outcome_is_repeated_once_without_idempotency() -> None:
    assert retries.may_retry_unknown(1, is_idempotent=False)
    assert not retries.may_retry_unknown(2, is_idempotent=False)
    assert retries.may_retry_unknown(4, is_idempotent=True)
    assert not retries.may_retry_unknown(5, is_idempotent=True)


def test_our_own_outage_is_waited_for_unless_tries_cost_money() -> None:
    assert retries.may_retry_trouble(1000, is_free=True)
    assert not retries.may_retry_trouble(2, is_free=False)


@given(st.integers(1, 10_000), st.floats(0, 1))
def test_rests_grow_up_to_a_bound(tries: int, uniform: float) -> None:
    delay = retries.delay_seconds(tries, uniform)
    assert 0.25 <= delay <= retries.DELAY_SECONDS_MAX
    assert delay <= retries.delay_seconds(tries + 1, 1.0)
