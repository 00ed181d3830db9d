"""Every provider, operation and situation, through the queue: what docs/providers.md shows.

A round takes one operation of each provider, all of them side by side. With `--live` it is the
real ones that are asked, as far as there are keys, and only for what shall succeed.
"""

import asyncio
import io
from collections.abc import AsyncIterator, Iterable, Sequence
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from PIL import Image, PngImagePlugin

from infra.simulators import pictures
from infra.simulators.inputs import MARK
from infra.simulators.scripts import Situation
from libs.events.generation import (
    INPUT_ROLES,
    FailureCode,
    GenerationCompleted,
    GenerationFailed,
    RequestFacts,
)
from services.generation.domain.catalogue import CATALOGUE
from services.generation.domain.jobs import Claim
from services.generation.handlers.execution import request_of
from services.generation.handlers.inputs import open_inputs
from services.generation.ports import AnyProvider, PollingProvider
from services.generation.tests.integration import provider_table
from services.generation.tests.integration.provider_rows import ROUNDS, ROWS, SAID, Row
from services.generation.tests.integration.provider_table import Table
from services.generation.tests.integration.stage import Stage
from services.generation.tests.integration.studio import Providers, providers_opened

IMPATIENT_SECONDS = 1.0
PATIENT_SECONDS = 150.0
UNNAMED = frozenset({"ideogram"})  # whose answers name no order
SIDE_PIXELS = 64
SLOTS = 32
FAILURES = {
    Situation.MODERATION: FailureCode.MODERATION,
    Situation.CREDIT: FailureCode.CREDIT,
    Situation.AUTH: FailureCode.AUTH,
    Situation.BAD_REQUEST: FailureCode.BAD_REQUEST,
    Situation.SERVER: FailureCode.SERVER,
    Situation.TRUNCATED: FailureCode.BAD_OUTPUT,
    Situation.WRONG_TYPE: FailureCode.BAD_OUTPUT,
}
LIMITED = {Situation.RATE_LIMIT: FailureCode.RATE_LIMIT}
Answer = GenerationCompleted | GenerationFailed


class Run:
    """One operation of one provider. The fates of its jobs stand in their prompts or pictures."""

    def __init__(self, stage: Stage, providers: Providers, name: str, row: Row) -> None:
        self.stage = stage
        self.providers = providers
        self.name = name
        self.row = row
        self.adapter: AnyProvider = providers.adapter(name)
        self.table = Table(name, row.label)

    async def facts(self, situation: str, **changes: Any) -> RequestFacts:
        # The rest that is asked for outlasts the job, so that nobody waits for it.
        marks = "" if self.providers.is_live else f"[[{situation}]] [[retry_after=3600]]"
        keys = tuple([await self._upload(marks) for _ in self.row.roles])
        options = {**self.row.options, INPUT_ROLES: [role.value for role in self.row.roles]}
        if self.row.method in SAID:
            options["method"] = self.row.method
        given = {
            "provider": self.name,
            "model": self.row.model,
            "operation": self.row.operation,
            "units": 1,
            "options": options,
            "prompt": f"a heron {marks}" if self.row.has_prompt else "",
            "input_keys": keys,
        }
        return self.stage.facts(**{**given, **changes})

    async def _upload(self, marks: str) -> str:
        key = f"inputs/{uuid4()}/picture.png"
        await self.stage.objects.put(key, marked(marks), content_type="image/png")
        return key

    def orders(self, situation: str) -> int:
        """How often the provider was asked to make something."""
        return sum(each["situation"] == situation for each in self.providers.orders(self.name))

    @property
    def is_polling(self) -> bool:
        return isinstance(self.adapter, PollingProvider)


def marked(marks: str) -> bytes:
    texts = PngImagePlugin.PngInfo()
    texts.add_text(MARK, marks)
    content = io.BytesIO()
    Image.new("RGB", (512, 512), (40, 90, 160)).save(content, "PNG", pnginfo=texts)
    return content.getvalue()


class Round:
    """One operation of each provider that has so many."""

    def __init__(self, stage: Stage, providers: Providers, number: int) -> None:
        self.stage = stage
        self.providers = providers
        self.runs = [
            Run(stage, providers, name, rows[number])
            for name, rows in ROWS.items()
            if number < len(rows) and providers.can_be_asked(name)
        ]

    async def offer(self, **changes: Any) -> None:
        """The providers take part; from now on with these changes."""
        for run in self.runs:
            self.stage.others[run.name] = self.providers.adapter(run.name, **changes)
        await self.stage.offer()

    async def answers_to(self, asked: Iterable[RequestFacts]) -> dict[Any, Answer]:
        """By job, what became of it."""
        facts = list(asked)
        before = len(await self.stage.answers())
        worker = self.stage.worker(slots=SLOTS)
        await self.stage.ask(*facts)
        told = await self.stage.answers(before + len(facts), seconds=PATIENT_SECONDS)
        worker.cancel()
        await asyncio.gather(worker, return_exceptions=True)
        return {each.job_id: each for each in told}


@pytest.fixture
def tiny_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many are drawn here, and none is looked at for long."""
    draw = pictures.draw

    def tiny(provider: str, _width: int, _height: int, form: str, variation: int = 0) -> bytes:
        return draw(provider, SIDE_PIXELS, SIDE_PIXELS, form, variation % 2)

    monkeypatch.setattr(pictures, "draw", tiny)


@pytest.fixture
async def providers(tiny_pictures: None, pytestconfig: pytest.Config) -> AsyncIterator[Providers]:
    async for opened in providers_opened(is_live=pytestconfig.getoption("--live")):
        yield opened


@pytest.mark.parametrize("number", range(ROUNDS))
async def test_each_situation_has_one_outcome_whoever_the_provider_is(
    stage: Stage, providers: Providers, number: int
) -> None:
    round_ = Round(stage, providers, number)
    await round_.offer()
    stage.scheduler()
    if providers.is_live:
        await _usual(round_, (Situation.SUCCESS,))
        return
    await _usual(round_, (Situation.SUCCESS, *FAILURES))
    await _usual(round_, tuple(LIMITED))
    await stage.end_provider_rests()  # who has asked one of us to wait is left alone by all
    await _times_out(round_)
    await _goes_on_after_a_crash(round_)
    await _never_ends(round_)
    provider_table.check(run.table for run in round_.runs)


def test_every_operation_of_every_provider_is_in_the_table() -> None:
    for name, capabilities in CATALOGUE.items():
        assert {row.operation for row in ROWS[name]} == capabilities.operations, name
        assert len({row.label for row in ROWS[name]}) == len(ROWS[name])
    provider_table.forget_all_but([(name, row.label) for name in ROWS for row in ROWS[name]])


async def _usual(round_: Round, situations: Sequence[Situation]) -> None:
    asked = {(run, each): await run.facts(each) for run in round_.runs for each in situations}
    told = await round_.answers_to(asked.values())
    for (run, situation), facts in asked.items():
        answer = told[facts.job_id]
        if situation is Situation.SUCCESS:
            await _is_as_it_should_be(run, answer)
        else:
            await _fails_for_both_readers(run, answer, (FAILURES | LIMITED)[situation])
        run.table.cell(situation, _outcome(answer, run.orders(situation)))


async def _is_as_it_should_be(run: Run, answer: Answer) -> None:
    assert isinstance(answer, GenerationCompleted), (run.name, run.row.label, answer)
    assert answer.delivered_units == 1
    assert answer.provider_cost_microusd > 0
    assert run.providers.is_live or bool(answer.provider_references) is (run.name not in UNNAMED)
    if run.row.content_type == "text":
        assert answer.texts
        assert not answer.images
        return
    (image,) = answer.images
    async with run.stage.objects.open(image.key) as body:
        content = await body.read()
    assert len(content) == image.size_bytes
    if run.row.content_type:
        assert image.content_type == run.row.content_type
        assert min(image.width, image.height) > 100
        return
    with Image.open(io.BytesIO(content)) as picture:
        picture.load()
        assert picture.size == (image.width, image.height)
        assert not picture.getexif()
        assert "parameters" not in picture.info


async def _fails_for_both_readers(run: Run, answer: Answer, code: FailureCode) -> None:
    assert isinstance(answer, GenerationFailed), (run.name, run.row.label, answer)
    assert answer.code is code, (run.name, run.row.label, answer)
    rows = await run.stage.rows(
        "SELECT failure_detail FROM attempt WHERE job_id = $1", answer.job_id
    )
    for row in rows:
        assert row["failure_detail"]
        assert row["failure_detail"] not in answer.message


async def _times_out(round_: Round) -> None:
    await round_.offer(timeout_seconds=IMPATIENT_SECONDS)
    asked = {run: await run.facts(Situation.TIMEOUT) for run in round_.runs}
    told = await round_.answers_to(asked.values())
    for run, facts in asked.items():
        answer = told[facts.job_id]
        assert isinstance(answer, GenerationFailed)
        assert answer.code is FailureCode.TIMEOUT
        # An order that is given up may not have reached the provider: the attempts are counted.
        orders = len(await round_.stage.attempt_states(facts.job_id))
        run.table.cell(Situation.TIMEOUT, _outcome(answer, orders))
    await round_.offer()


async def _goes_on_after_a_crash(round_: Round) -> None:
    """The worker dies when the provider has taken the order, and before it knows more."""
    stage = round_.stage
    before = {run: run.orders(Situation.SUCCESS) for run in round_.runs}
    asked = {run: await run.facts("latency=0.1") for run in round_.runs}
    await stage.ask(*asked.values())
    claims = {claim.job_id: claim for claim in await stage.claim("one", len(asked))}
    for run, facts in asked.items():
        await _order(run, claims[facts.job_id])
        await stage.expire_lease(claims[facts.job_id])
    worker = stage.worker(name="two", slots=SLOTS)
    answers = len(await stage.answers())
    await stage.overdue().work()
    told = {each.job_id: each for each in await stage.answers(answers + len(asked))}
    worker.cancel()
    await asyncio.gather(worker, return_exceptions=True)
    for run, facts in asked.items():
        answer, orders = told[facts.job_id], run.orders(Situation.SUCCESS) - before[run]
        assert isinstance(answer, GenerationCompleted), answer
        assert orders == (1 if run.is_polling else 2)
        assert await stage.attempt_states(facts.job_id) == ["unknown", "won"]
        run.table.cell("crash", _outcome(answer, orders))


async def _order(run: Run, claim: Claim) -> None:
    inputs = await open_inputs(run.stage.objects, claim.request, run.adapter.capabilities)
    request = request_of(claim, inputs)
    if isinstance(run.adapter, PollingProvider):
        submission = await run.adapter.submit(request)
        assert await run.stage.submissions().record(claim, submission)
    else:
        await run.adapter.generate(request)


async def _never_ends(round_: Round) -> None:
    deadline = round_.stage.streams.clock.now() + timedelta(seconds=1.5)
    asked = {
        run: await run.facts(Situation.NEVER, deadline_at=deadline)
        for run in round_.runs
        if run.is_polling
    }
    told = await round_.answers_to(asked.values())
    for run in round_.runs:
        if run not in asked:
            run.table.cell(Situation.NEVER, "-")
            continue
        answer = told[asked[run].job_id]
        assert isinstance(answer, GenerationFailed)
        assert answer.code is FailureCode.DEADLINE
        await run.stage.until(
            "SELECT FROM attempt WHERE job_id = $1 AND NOT is_open", answer.job_id
        )
        tasks = run.providers.studio.simulators[run.name].tasks.values()
        outcome = _outcome(answer, run.orders(Situation.NEVER))
        was_told = any(task.is_cancelled for task in tasks)
        run.table.cell(Situation.NEVER, f"{outcome}, called off" if was_told else outcome)


def _outcome(answer: Answer, orders: int) -> str:
    word = "completed" if isinstance(answer, GenerationCompleted) else answer.code.value
    return word if orders == 1 else f"{word}, {orders} orders"
