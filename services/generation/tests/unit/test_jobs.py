"""Keys, sweeps and the one answer of a job."""

from datetime import timedelta
from uuid import UUID

import pytest

from libs.events.generation import FailureCode
from libs.events.testing import NOW, request_facts
from services.generation.domain import jobs
from services.generation.domain.capabilities import Failure
from services.generation.domain.jobs import AttemptState, Spent

JOB, ATTEMPT = UUID(int=1), UUID(int=2)


def test_an_object_lies_under_its_own_attempt() -> None:
    key = jobs.object_key(JOB, ATTEMPT, 3, "png")
    assert key == f"attempts/{JOB}/{ATTEMPT}/3.png"
    assert key.startswith(jobs.attempt_prefix(JOB, ATTEMPT))


def test_times_are_whole_milliseconds_and_never_negative() -> None:
    assert jobs.milliseconds(NOW, NOW + timedelta(microseconds=1999)) == 1
    assert jobs.milliseconds(NOW, NOW - timedelta(seconds=5)) == 0


@pytest.mark.parametrize(
    "state", sorted(set(AttemptState) - {AttemptState.RUNNING, AttemptState.WON})
)
def test_only_attempts_that_may_still_live_are_swept_again(state: AttemptState) -> None:
    again = jobs.next_sweep(state, 1, NOW)
    may_live = state in {AttemptState.UNKNOWN, AttemptState.STOPPED}
    assert again == (NOW + timedelta(days=1) if may_live else None)
    assert jobs.next_sweep(state, 2, NOW) is None


def test_a_failure_repeats_the_request_and_tells_what_was_spent() -> None:
    request = request_facts()
    failure = Failure(code=FailureCode.MODERATION, message="Not this.")
    spent = Spent(provider_ms=5, provider_cost_microusd=6)
    answer = jobs.failed(request, failure, queued_ms=4, spent=spent, attempt_id=ATTEMPT)
    assert answer.request == request
    assert (answer.code, answer.message) == (FailureCode.MODERATION, "Not this.")
    assert (answer.queued_ms, answer.provider_ms, answer.provider_cost_microusd) == (4, 5, 6)
    assert (answer.job_id, answer.account_id) == (request.job_id, request.account_id)
