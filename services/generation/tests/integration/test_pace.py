"""How fast a provider is called, by all replicas together; what waits for it goes on by itself."""

import asyncio
from datetime import timedelta

import pytest

from libs.events.generation import FailureCode, GenerationCompleted, GenerationFailed
from services.generation.domain.capabilities import Failure
from services.generation.domain.jobs import Spent
from services.generation.domain.outcomes import ProviderFailed
from services.generation.domain.pace import REST_MAX
from services.generation.ports import ProviderError, ProviderRequest, ProviderResult
from services.generation.tests.integration.stage import ScriptedProvider, Stage, draws


@pytest.fixture
async def paced(stage: Stage) -> Stage:
    """A call a second."""
    return await paced_at(stage, 60)


async def paced_at(stage: Stage, per_minute: int) -> Stage:
    paced = stage.with_provider(per_minute=per_minute)
    await paced.offer()
    return paced


async def ask(stage: Stage, count: int, units: int = 1) -> None:
    await stage.ask(*(stage.facts(units=units) for _ in range(count)))


async def passes(stage: Stage, seconds: float) -> None:
    """As if so much time had gone by since the last call."""
    async with stage.streams.database.transaction() as transaction:
        await transaction.connection.execute(
            "UPDATE provider SET paced_at = paced_at - $1::interval", timedelta(seconds=seconds)
        )


def busy(rest_seconds: float) -> ProviderFailed:
    return ProviderFailed(
        failure=Failure(code=FailureCode.RATE_LIMIT, message="busy"),
        spent=Spent(),
        rest_seconds=rest_seconds,
    )


async def test_calls_begin_at_a_pace_whichever_worker_makes_them(paced: Stage) -> None:
    await ask(paced, 5)
    assert len(await paced.claim("one", 8)) == 1
    assert await paced.claim("two", 8) == []
    await passes(paced, 1.0)
    assert len(await paced.claim("two", 8)) == 1
    assert await paced.claim("one", 8) == []


async def test_a_claim_says_when_the_pace_lets_the_next_begin(paced: Stage) -> None:
    await ask(paced, 2)
    now = paced.streams.clock.now()
    claimed = await paced.attempts().claim("one", 8)
    assert claimed.again_at is not None
    assert timedelta(seconds=0.5) < claimed.again_at - now < timedelta(seconds=2)
    again = await paced.attempts().claim("one", 8)
    assert (again.claims, again.again_at) == ([], claimed.again_at)
    await passes(paced, 2.0)
    last = await paced.attempts().claim("one", 1)
    assert len(last.claims) == 1


async def test_what_does_not_wait_for_the_pace_is_not_said_to(paced: Stage) -> None:
    narrow = paced.with_provider(concurrency=1, per_minute=600)
    await narrow.offer()
    await ask(narrow, 2)
    claimed = await narrow.attempts().claim("one", 8)
    assert (len(claimed.claims), claimed.again_at) == (1, None)


async def test_a_second_of_calls_may_begin_at_once_and_idle_time_is_not_saved(
    stage: Stage,
) -> None:
    paced = await paced_at(stage, 600)
    await ask(paced, 40)
    await passes(paced, 3_600.0)
    assert len(await paced.claim("one", 30)) == 10


async def test_a_call_for_several_pictures_counts_as_many(paced: Stage) -> None:
    await ask(paced, 2, units=4)
    assert len(await paced.claim("one", 8)) == 1
    await passes(paced, 3.0)
    assert await paced.claim("two", 8) == []
    await passes(paced, 1.0)
    assert len(await paced.claim("two", 8)) == 1


async def test_a_rest_that_one_job_is_asked_for_is_kept_by_all(stage: Stage) -> None:
    await ask(stage, 3)
    (claim,) = await stage.claim("one")
    await stage.attempts().fail(claim, busy(30.0))
    claimed = await stage.attempts().claim("two", 8)
    assert claimed.claims == []
    assert claimed.again_at is not None
    assert claimed.again_at > stage.streams.clock.now() + timedelta(seconds=25)
    states = await stage.rows("SELECT state FROM job ORDER BY state")
    assert [row["state"] for row in states] == ["delayed", "queued", "queued"]
    other = stage.with_provider(provider="other")
    await other.offer()
    await ask(other, 1)
    assert len(await other.claim("two")) == 1


async def test_the_job_that_was_asked_to_wait_does_so_itself(stage: Stage) -> None:
    await ask(stage, 1)
    (claim,) = await stage.claim("one")
    await stage.attempts().fail(claim, busy(30.0))
    (row,) = await stage.rows("SELECT wait_until FROM job")
    assert row["wait_until"] > stage.streams.clock.now() + timedelta(seconds=25)


async def test_a_rest_that_outlasts_the_job_ends_it_at_once(stage: Stage) -> None:
    now = stage.streams.clock.now()
    await stage.ask(stage.facts(deadline_at=now + timedelta(seconds=20)))
    (claim,) = await stage.claim("one")
    await stage.attempts().fail(claim, busy(30.0))
    (answer,) = await stage.answers(1)
    assert isinstance(answer, GenerationFailed)
    assert answer.code is FailureCode.RATE_LIMIT


async def test_a_rest_without_end_has_one(stage: Stage) -> None:
    await ask(stage, 2)
    (claim,) = await stage.claim("one")
    await stage.attempts().fail(claim, busy(1e6))
    (row,) = await stage.rows("SELECT rest_until FROM provider")
    assert row["rest_until"] <= stage.streams.clock.now() + REST_MAX


async def test_a_rate_limit_without_a_rest_leaves_the_others_be(stage: Stage) -> None:
    await ask(stage, 2)
    (claim,) = await stage.claim("one")
    await stage.attempts().fail(claim, busy(0.0))
    assert len(await stage.claim("two", 8)) == 1


async def test_jobs_that_wait_for_the_pace_or_a_rest_go_on_by_themselves(stage: Stage) -> None:
    paced = await paced_at(stage, 300)
    refusals = iter([0.3])

    async def limited(request: ProviderRequest) -> ProviderResult:
        rest_seconds = next(refusals, 0.0)
        if rest_seconds:
            raise ProviderError(FailureCode.RATE_LIMIT, "busy", rest_seconds=rest_seconds)
        return await draws(request)

    paced.provider = ScriptedProvider(paced.capabilities, limited)
    paced.scheduler()
    paced.worker()
    began = asyncio.get_running_loop().time()
    await ask(paced, 9)
    told = await paced.answers(9)
    assert all(isinstance(each, GenerationCompleted) for each in told)
    assert asyncio.get_running_loop().time() - began > 0.9  # ten calls, five of them at once
