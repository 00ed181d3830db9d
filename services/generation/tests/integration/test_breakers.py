"""A provider that fails is left alone by all replicas, and its jobs wait."""

from datetime import timedelta

import pytest

from libs.events.generation import FailureCode, GenerationCompleted
from libs.events.operations import Circuit, ProviderCircuitChanged
from libs.events.registry import REGISTRY
from services.generation.domain.breaker import FAILURES_MAX
from services.generation.domain.capabilities import Failure
from services.generation.domain.jobs import Spent
from services.generation.domain.outcomes import ProviderFailed
from services.generation.tests.integration.stage import Stage
from services.generation.tests.integration.test_attempts import delivery


def failed(code: FailureCode = FailureCode.SERVER) -> ProviderFailed:
    return ProviderFailed(failure=Failure(code=code, message="no"), spent=Spent())


async def ask(stage: Stage, count: int) -> None:
    await stage.ask(*(stage.facts() for _ in range(count)))


async def open_circuit(stage: Stage) -> None:
    await ask(stage, FAILURES_MAX)
    for claim in await stage.claim("one", FAILURES_MAX):
        await stage.attempts().fail(claim, failed())


async def end_rest(stage: Stage) -> None:
    """As if the provider had rested long enough."""
    async with stage.streams.database.transaction() as transaction:
        await transaction.connection.execute(
            "UPDATE provider SET retry_at = $1 WHERE breaker = 'open'",
            stage.streams.clock.now() - timedelta(milliseconds=1),
        )
    await stage.breakers().work()


async def told(stage: Stage) -> list[Circuit]:
    events = [REGISTRY.decode(encoded) for _, encoded in await stage.streams.published()]
    changes = [each for each in events if isinstance(each.data, ProviderCircuitChanged)]
    assert all(each.key == "test" for each in changes)
    return [each.data.state for each in changes if isinstance(each.data, ProviderCircuitChanged)]


async def test_faults_in_a_row_stop_all_claims_and_jobs_wait(stage: Stage) -> None:
    await open_circuit(stage)
    await ask(stage, 3)
    assert await stage.claim("two", 8) == []
    assert await told(stage) == [Circuit.OPEN]
    queued = await stage.rows("SELECT FROM job WHERE state = 'queued'")
    assert len(queued) == 3
    assert await stage.breakers().next_at() is not None


async def test_after_its_rest_one_call_is_tried_and_a_success_sets_all_free(stage: Stage) -> None:
    await open_circuit(stage)
    await ask(stage, 3)
    await end_rest(stage)
    (probe,) = await stage.claim("two", 8)
    assert await stage.claim("three", 8) == []
    assert await stage.attempts().complete(probe, delivery())
    assert len(await stage.claim("two", 8)) == 2
    assert await told(stage) == [Circuit.OPEN, Circuit.HALF_OPEN, Circuit.CLOSED]


async def test_a_failed_try_leaves_it_alone_again(stage: Stage) -> None:
    await open_circuit(stage)
    await ask(stage, 2)
    await end_rest(stage)
    (probe,) = await stage.claim("two", 8)
    await stage.attempts().fail(probe, failed(FailureCode.TIMEOUT))
    assert await stage.claim("two", 8) == []
    assert await told(stage) == [Circuit.OPEN, Circuit.HALF_OPEN, Circuit.OPEN]


async def test_refused_prompts_open_nothing(stage: Stage) -> None:
    await ask(stage, 2 * FAILURES_MAX)
    for claim in await stage.claim("one", 2 * FAILURES_MAX):
        await stage.attempts().fail(claim, failed(FailureCode.MODERATION))
    await ask(stage, 1)
    assert len(await stage.claim("two")) == 1
    assert await told(stage) == []


async def test_the_whole_round_goes_by_itself(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "services.generation.domain.breaker.FIRST_REST", timedelta(milliseconds=200)
    )
    stage.lease = timedelta(seconds=1)
    await open_circuit(stage)
    await ask(stage, 2)
    stage.scheduler()
    stage.worker()
    answers = await stage.answers(2)
    assert [each for each in answers if isinstance(each, GenerationCompleted)]
    await stage.until("SELECT FROM provider WHERE breaker = 'closed' AND failures = 0")
