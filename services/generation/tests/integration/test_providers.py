"""Every provider in every situation, through the queue: what docs/providers.md shows."""

import asyncio
import io
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
from PIL import Image

from infra.simulators.scripts import Situation
from libs.events.generation import FailureCode, GenerationCompleted, GenerationFailed, RequestFacts
from services.generation.adapters.doors import DOORS
from services.generation.domain.jobs import Claim
from services.generation.handlers.execution import request_of
from services.generation.ports import AnyProvider, PollingProvider
from services.generation.tests.integration.provider_table import Table
from services.generation.tests.integration.stage import Stage
from services.generation.tests.integration.studio import Providers, providers_opened, takes_part

NAMES = sorted(DOORS)
IMPATIENT_SECONDS = 1.0
FAILURES = {
    Situation.MODERATION: FailureCode.MODERATION,
    Situation.RATE_LIMIT: FailureCode.RATE_LIMIT,
    Situation.CREDIT: FailureCode.CREDIT,
    Situation.AUTH: FailureCode.AUTH,
    Situation.BAD_REQUEST: FailureCode.BAD_REQUEST,
    Situation.SERVER: FailureCode.SERVER,
    Situation.TRUNCATED: FailureCode.BAD_OUTPUT,
    Situation.WRONG_TYPE: FailureCode.BAD_OUTPUT,
}
Answer = GenerationCompleted | GenerationFailed


@pytest.fixture
async def providers() -> AsyncIterator[Providers]:
    async for opened in providers_opened():
        yield opened


class Run:
    """One provider's jobs, told apart by the marks in their prompts."""

    def __init__(self, stage: Stage, providers: Providers, name: str) -> None:
        self.stage = stage
        self.providers = providers
        self.name = name
        self.adapter: AnyProvider = providers.adapter(name)

    async def with_adapter(self, adapter: AnyProvider) -> None:
        self.adapter = adapter
        takes_part(self.stage, adapter)
        await self.stage.offer()

    def facts(self, situation: str, **changes: Any) -> RequestFacts:
        # The rest that is asked for outlasts the job, so that nobody waits for it.
        prompt = f"a heron [[{situation}]] [[retry_after=3600]]"
        model = min(self.adapter.capabilities.names)
        given = {"model": model, "units": 1, "options": {}, "prompt": prompt}
        return self.stage.facts(**{**given, **changes})

    async def answers_to(self, *asked: RequestFacts) -> dict[str, Answer]:
        """By prompt, what became of these jobs."""
        before = len(await self.stage.answers())
        worker = self.stage.worker(slots=len(asked))
        await self.stage.ask(*asked)
        told = await self.stage.answers(before + len(asked))
        worker.cancel()
        await asyncio.gather(worker, return_exceptions=True)
        ids = {each.job_id: each.prompt for each in asked}
        return {ids[each.job_id]: each for each in told if each.job_id in ids}

    def orders(self, situation: str) -> int:
        """How often the provider was asked to make something."""
        return sum(each["situation"] == situation for each in self.providers.orders(self.name))


@pytest.fixture
async def run(stage: Stage, providers: Providers, request: pytest.FixtureRequest) -> Run:
    run = Run(stage, providers, request.param)
    await run.with_adapter(run.adapter)
    stage.scheduler()
    return run


every_provider = pytest.mark.parametrize("run", NAMES, indirect=True)


@every_provider
async def test_each_situation_has_one_outcome_whoever_the_provider_is(run: Run) -> None:
    table = Table(run.name)
    asked = {each: run.facts(each) for each in (Situation.SUCCESS, *FAILURES)}
    told = await run.answers_to(*asked.values())
    for situation, facts in asked.items():
        answer = told[facts.prompt]
        table.cell(situation, _outcome(answer, run.orders(situation)))
        if situation is Situation.SUCCESS:
            await _is_a_clean_picture(run.stage, answer)
        else:
            await _fails_for_both_readers(run.stage, answer, FAILURES[situation])
    await _times_out(run, table)
    await _goes_on_after_a_crash(run, table)
    await _never_ends(run, table)
    table.check()


async def _is_a_clean_picture(stage: Stage, answer: Answer) -> None:
    assert isinstance(answer, GenerationCompleted), answer
    (image,) = answer.images
    async with stage.objects.open(image.key) as body:
        content = await body.read()
    with Image.open(io.BytesIO(content)) as picture:
        picture.load()
        assert picture.size == (image.width, image.height)
        assert not picture.getexif()
        assert "parameters" not in picture.info
    assert len(content) == image.size_bytes
    assert answer.provider_cost_microusd > 0


async def _fails_for_both_readers(stage: Stage, answer: Answer, code: FailureCode) -> None:
    assert isinstance(answer, GenerationFailed), answer
    assert answer.code is code, answer
    rows = await stage.rows("SELECT failure_detail FROM attempt WHERE job_id = $1", answer.job_id)
    for row in rows:
        assert row["failure_detail"]
        assert row["failure_detail"] not in answer.message


async def _times_out(run: Run, table: Table) -> None:
    usual = run.adapter
    await run.with_adapter(run.providers.adapter(run.name, timeout_seconds=IMPATIENT_SECONDS))
    facts = run.facts(Situation.TIMEOUT)
    answer = (await run.answers_to(facts))[facts.prompt]
    assert isinstance(answer, GenerationFailed)
    assert answer.code is FailureCode.TIMEOUT
    table.cell(Situation.TIMEOUT, _outcome(answer, run.orders(Situation.TIMEOUT)))
    await run.with_adapter(usual)


async def _goes_on_after_a_crash(run: Run, table: Table) -> None:
    """The worker dies when the provider has taken the order, and before it knows more."""
    before = run.orders(Situation.SUCCESS)
    facts = run.facts("latency=0.1")
    await run.stage.ask(facts)
    (claim,) = await run.stage.claim("one")
    await _order(run, claim)
    await run.stage.expire_lease(claim)
    worker = run.stage.worker(name="two")
    answers = len(await run.stage.answers())
    await run.stage.overdue().work()
    told = await run.stage.answers(answers + 1)
    worker.cancel()
    await asyncio.gather(worker, return_exceptions=True)
    answer = next(each for each in told if each.job_id == facts.job_id)
    orders = run.orders(Situation.SUCCESS) - before
    assert isinstance(answer, GenerationCompleted), answer
    assert orders == (1 if isinstance(run.adapter, PollingProvider) else 2)
    assert await run.stage.attempt_states(facts.job_id) == ["unknown", "won"]
    table.cell("crash", _outcome(answer, orders))


async def _order(run: Run, claim: Claim) -> None:
    if isinstance(run.adapter, PollingProvider):
        submission = await run.adapter.submit(request_of(claim))
        assert await run.stage.submissions().record(claim, submission)
    else:
        await run.adapter.generate(request_of(claim))


async def _never_ends(run: Run, table: Table) -> None:
    if not isinstance(run.adapter, PollingProvider):
        table.cell(Situation.NEVER, "-")
        return
    deadline = run.stage.streams.clock.now() + timedelta(seconds=1)
    facts = run.facts(Situation.NEVER, deadline_at=deadline)
    answer = (await run.answers_to(facts))[facts.prompt]
    assert isinstance(answer, GenerationFailed)
    assert answer.code is FailureCode.DEADLINE
    await run.stage.until("SELECT FROM attempt WHERE job_id = $1 AND NOT is_open", facts.job_id)
    simulator = run.providers.studio.simulators[run.name]
    was_told = any(each.is_cancelled for each in simulator.tasks.values())
    outcome = _outcome(answer, run.orders(Situation.NEVER))
    table.cell(Situation.NEVER, f"{outcome}, called off" if was_told else outcome)


def _outcome(answer: Answer, orders: int) -> str:
    word = "completed" if isinstance(answer, GenerationCompleted) else answer.code.value
    return word if orders == 1 else f"{word}, {orders} orders"
