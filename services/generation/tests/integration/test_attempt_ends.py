"""Every attempt's end is told, with what its provider calls it: by the job's answer or alone."""

from collections.abc import AsyncIterator
from datetime import timedelta

import msgspec
import pytest
from msgspec.structs import replace

from libs.events.generation import (
    AttemptOutcome,
    CostSource,
    FailureCode,
    GenerationCompleted,
    GenerationFailed,
)
from services.generation.domain.capabilities import Failure
from services.generation.domain.jobs import Claim, Spent
from services.generation.domain.outcomes import ProviderFailed
from services.generation.domain.references import note
from services.generation.ports import ProviderError, ProviderRequest, ProviderResult, Submission
from services.generation.tests.integration.stage import PNG, Stage, cancelled, stream
from services.generation.tests.integration.test_attempts import delivery

SPENT = Spent(
    provider_ms=500,
    provider_cost_microusd=34,
    provider_cost_source=CostSource.LISTED,
    references=("req-1",),
)
ORDER = msgspec.json.encode(Submission(id="order-1"))


def failing(code: FailureCode) -> ProviderFailed:
    return ProviderFailed(failure=Failure(code=code, message="no"), spent=SPENT)


async def claimed(stage: Stage, submission: bytes | None = None) -> Claim:
    await stage.ask(stage.facts())
    (claim,) = await stage.claim()
    if submission is not None:
        async with stage.streams.database.transaction() as transaction:
            await transaction.connection.execute(
                "UPDATE attempt SET submission = $1, is_open = true", submission
            )
    return claim


async def test_an_attempt_that_is_tried_again_is_told_by_itself(stage: Stage) -> None:
    claim = await claimed(stage)
    await stage.attempts().fail(claim, failing(FailureCode.TIMEOUT))
    (ended,) = await stage.ended_attempts()

    assert await stage.answers() == []
    assert (ended.job_id, ended.attempt_id) == (claim.job_id, claim.attempt_id)
    assert (ended.provider, ended.model) == ("test", "test-1")
    assert (ended.outcome, ended.code) == (AttemptOutcome.FAILED, FailureCode.TIMEOUT)
    assert ended.provider_references == ("req-1",)
    assert (ended.provider_ms, ended.provider_cost_microusd) == (500, 34)
    assert ended.provider_cost_source is CostSource.LISTED
    now = stage.streams.clock.now()
    assert timedelta(seconds=0.4) < now - ended.started_at < timedelta(seconds=60)


async def test_of_an_attempt_that_decides_its_job_the_answer_tells(stage: Stage) -> None:
    attempts = stage.attempts()
    await attempts.fail(await claimed(stage), failing(FailureCode.MODERATION))
    won = await claimed(stage)
    await attempts.complete(won, replace(delivery(), spent=SPENT))
    answers = await stage.answers(2)

    assert await stage.ended_attempts() == []
    assert {type(each) for each in answers} == {GenerationFailed, GenerationCompleted}
    assert all(each.provider_references == ("req-1",) for each in answers)


@pytest.mark.parametrize("submission", [None, ORDER])
async def test_a_lost_attempt_is_of_unknown_outcome(stage: Stage, submission: bytes | None) -> None:
    claim = await claimed(stage, submission)
    await stage.expire_lease(claim)
    await stage.overdue().work()
    (ended,) = await stage.ended_attempts()

    assert (ended.attempt_id, ended.outcome) == (claim.attempt_id, AttemptOutcome.UNKNOWN)
    assert ended.provider_references == (("order-1",) if submission else ())
    assert ended.provider_cost_source is CostSource.UNKNOWN
    assert ended.started_at <= stage.streams.clock.now()


async def test_an_attempt_that_is_handed_back_is_told(stage: Stage) -> None:
    claim = await claimed(stage)
    await stage.attempts().hand_back([claim])
    await stage.attempts().hand_back([claim])  # once
    (ended,) = await stage.ended_attempts()
    assert (ended.attempt_id, ended.outcome) == (claim.attempt_id, AttemptOutcome.HANDED_BACK)


async def test_a_cancelled_attempt_is_told_and_told_again_when_its_result_comes(
    stage: Stage,
) -> None:
    claim = await claimed(stage, ORDER)
    await stage.tell(cancelled(claim.request))
    (stopped,) = await stage.ended_attempts()
    assert (stopped.attempt_id, stopped.outcome) == (claim.attempt_id, AttemptOutcome.STOPPED)
    assert stopped.provider_references == ("order-1",)

    late = replace(delivery(), spent=replace(SPENT, references=()))
    assert not await stage.attempts().complete(claim, late)
    assert not await stage.attempts().complete(claim, late)  # once
    _, last = await stage.ended_attempts()
    assert (last.attempt_id, last.outcome) == (claim.attempt_id, AttemptOutcome.LATE)
    assert (last.provider_cost_microusd, last.provider_references) == (34, ("order-1",))
    assert last.started_at == stopped.started_at


async def test_a_job_that_ends_between_attempts_tells_of_none(stage: Stage) -> None:
    claim = await claimed(stage)
    await stage.attempts().fail(claim, failing(FailureCode.SERVER))
    await stage.tell(cancelled(claim.request))
    assert len(await stage.ended_attempts()) == 1
    assert len(await stage.answers()) == 1


async def test_what_a_provider_has_called_its_calls_survives_its_failure(stage: Stage) -> None:
    async def fails(_request: ProviderRequest) -> ProviderResult:
        for name in ("req-1", "req-2", "req-1", "", "x" * 201, "two\nlines"):
            note(name)
        raise ProviderError(FailureCode.MODERATION, "not this")

    async def breaks_off(_request: ProviderRequest) -> ProviderResult:
        note("req-3")

        async def broken() -> AsyncIterator[bytes]:
            yield PNG[:8]
            raise ProviderError(FailureCode.BAD_OUTPUT, "cut off")

        return ProviderResult(pictures=[broken()])

    async def draws(_request: ProviderRequest) -> ProviderResult:
        note("req-4")
        return ProviderResult(pictures=[stream()])

    stage.worker()
    found = []
    for count, script in enumerate((fails, breaks_off, draws), start=1):
        stage.provider.script = script
        await stage.ask(stage.facts())
        answers = await stage.answers(count)
        found.append(answers[-1].provider_references)
    assert found == [("req-1", "req-2"), ("req-3",), ("req-4",)]
