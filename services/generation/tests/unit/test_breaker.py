"""When a provider is left alone, and when it is tried again."""

from datetime import timedelta

import pytest

from libs.events.generation import FailureCode
from libs.events.operations import Circuit
from libs.events.testing import NOW
from services.generation.domain.breaker import (
    FAILURES_MAX,
    FIRST_REST,
    REST_MAX,
    Breaker,
    after_failure,
    after_success,
)


def failing(times: int, breaker: Breaker | None = None) -> Breaker:
    breaker = breaker or Breaker()
    for _ in range(times):
        breaker = after_failure(breaker, FailureCode.SERVER, NOW)
    return breaker


def test_it_opens_after_so_many_faults_in_a_row() -> None:
    assert failing(FAILURES_MAX - 1).breaker is Circuit.CLOSED
    opened = failing(FAILURES_MAX)
    assert opened.breaker is Circuit.OPEN
    assert opened.retry_at == NOW + FIRST_REST


def test_a_success_between_them_begins_anew() -> None:
    assert failing(FAILURES_MAX - 1, after_success(failing(5))).breaker is Circuit.CLOSED


def test_a_refused_prompt_shows_that_it_works() -> None:
    assert after_failure(failing(5), FailureCode.MODERATION, NOW) == Breaker()


@pytest.mark.parametrize("code", [FailureCode.RATE_LIMIT, FailureCode.BAD_OUTPUT])
def test_what_says_nothing_changes_nothing(code: FailureCode) -> None:
    assert after_failure(failing(5), code, NOW) == failing(5)


def test_a_failed_probe_opens_it_for_twice_as_long() -> None:
    breaker = failing(FAILURES_MAX)
    for opening in range(2, 12):
        probing = Breaker(
            breaker=Circuit.HALF_OPEN, failures=breaker.failures, openings=breaker.openings
        )
        breaker = after_failure(probing, FailureCode.TIMEOUT, NOW)
        assert breaker.retry_at is not None
        assert breaker.retry_at - NOW == min(REST_MAX, FIRST_REST * 2 ** (opening - 1))


def test_late_news_do_not_move_an_open_one() -> None:
    opened = failing(FAILURES_MAX)
    later = after_failure(opened, FailureCode.SERVER, NOW + timedelta(seconds=1))
    assert (later.breaker, later.retry_at) == (Circuit.OPEN, opened.retry_at)
    assert after_success(opened) == opened
