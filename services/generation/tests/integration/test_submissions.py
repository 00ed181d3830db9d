"""Providers that work on their own: each order is placed once, whoever dies meanwhile."""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from libs.events.generation import FailureCode, GenerationCompleted, GenerationFailed
from libs.runtime.objects import StorageUnavailable
from services.generation.domain.capabilities import Capabilities, Polling
from services.generation.domain.jobs import Claim
from services.generation.ports import (
    Pending,
    PollingProvider,
    ProviderError,
    ProviderRequest,
    ProviderResult,
    Submission,
)
from services.generation.tests.integration.stage import Stage, cancelled, stream

Answers = Callable[[], ProviderResult | Pending]


def done() -> ProviderResult:
    return ProviderResult(pictures=[stream()], cost_microusd=40_000)


class Studio(PollingProvider):
    """Takes orders, and answers questions about them as a test says."""

    def __init__(self, capabilities: Capabilities) -> None:
        self._capabilities = capabilities
        self.answers: Answers = done
        self.may_order = asyncio.Event()
        self.may_order.set()
        self.ordered: list[str] = []
        self.asked: list[str] = []
        self.cancelled: list[str] = []
        self.cancel_error: ProviderError | None = None

    @property
    def capabilities(self) -> Capabilities:
        return self._capabilities

    async def submit(self, _request: ProviderRequest) -> Submission:
        await self.may_order.wait()
        self.ordered.append(f"order-{len(self.ordered) + 1}")
        return Submission(id=self.ordered[-1], address="there")

    async def poll(
        self, submission: Submission, _request: ProviderRequest
    ) -> ProviderResult | Pending:
        assert submission.address == "there"
        self.asked.append(submission.id)
        return self.answers()

    async def cancel(self, submission: Submission) -> None:
        if self.cancel_error is not None:
            raise self.cancel_error
        self.cancelled.append(submission.id)


@pytest.fixture
def studio(stage: Stage) -> Studio:
    quick = Polling(first_seconds=0.01, seconds_max=0.02)
    stage.capabilities = replace(stage.capabilities, is_idempotent=False, polling=quick)
    studio = Studio(stage.capabilities)
    stage.provider = studio
    return studio


def never() -> Pending:
    return Pending()


def failing(code: FailureCode, *, is_of_the_job: bool) -> Answers:
    def answer() -> ProviderResult:
        raise ProviderError(code, "no", detail="secret words", is_of_the_job=is_of_the_job)

    return answer


async def claimed(stage: Stage, **changes: Any) -> Claim:
    await stage.ask(stage.facts(**changes))
    (claim,) = await stage.claim("one")
    return claim


async def lose(stage: Stage, claim: Claim) -> None:
    """As if its worker had been killed."""
    await stage.expire_lease(claim)
    await stage.overdue().work()


async def test_an_order_is_placed_asked_about_and_delivered(stage: Stage, studio: Studio) -> None:
    left: list[ProviderResult | Pending] = [done(), Pending(), Pending()]
    studio.answers = left.pop
    stage.worker()
    await stage.ask(stage.facts())
    (answer,) = await stage.answers(1)
    assert isinstance(answer, GenerationCompleted)
    assert answer.provider_cost_microusd == 40_000
    assert (studio.ordered, studio.asked) == (["order-1"], ["order-1"] * 3)


async def test_the_order_is_written_down_before_it_is_asked_about(
    stage: Stage, studio: Studio
) -> None:
    noted: list[object] = []
    ask = stage.rows

    async def poll(submission: Submission, _: ProviderRequest) -> ProviderResult:
        noted.extend(row["submission"] for row in await ask("SELECT submission FROM attempt"))
        return done()

    studio.poll = poll  # type: ignore[assignment,method-assign]
    stage.worker()
    await stage.ask(stage.facts())
    await stage.answers(1)
    assert noted
    assert noted[0] is not None


async def test_after_a_crash_the_next_worker_goes_on_with_the_order(
    stage: Stage, studio: Studio
) -> None:
    claim = await claimed(stage)
    assert await stage.submissions().record(claim, Submission(id="order-0", address="there"))
    await lose(stage, claim)
    stage.worker(name="two")
    (answer,) = await stage.answers(1)
    assert isinstance(answer, GenerationCompleted)
    assert studio.ordered == []
    assert studio.asked == ["order-0"]
    assert await stage.attempt_states(claim.job_id) == ["unknown", "won"]


async def test_an_order_survives_more_than_one_crash(stage: Stage, studio: Studio) -> None:
    claim = await claimed(stage)
    await stage.submissions().record(claim, Submission(id="order-0", address="there"))
    for _ in range(3):
        await lose(stage, claim)
        (claim,) = await stage.claim("next")
        assert claim.submission is not None
    await lose(stage, claim)
    stage.worker()
    (answer,) = await stage.answers(1)
    assert isinstance(answer, GenerationCompleted)
    assert (studio.ordered, studio.asked) == ([], ["order-0"])


async def test_a_crash_before_the_order_is_written_down_repeats_it_once(
    stage: Stage, studio: Studio
) -> None:
    claim = await claimed(stage)
    await lose(stage, claim)  # whether it was ordered, nobody knows
    (again,) = await stage.claim("two")
    assert again.submission is None
    await lose(stage, again)
    assert await stage.claim("three") == []
    (answer,) = await stage.answers(1)
    assert isinstance(answer, GenerationFailed)
    assert answer.code is FailureCode.SERVER


async def test_an_order_handed_back_is_gone_on_with(stage: Stage, studio: Studio) -> None:
    studio.answers = never
    worker = stage.worker(grace_seconds=0.0)
    facts = stage.facts()
    await stage.ask(facts)
    await stage.until("SELECT FROM attempt WHERE is_open")
    worker.cancel()
    await asyncio.gather(worker, return_exceptions=True)
    studio.answers = done
    stage.worker(name="two")
    await stage.answers(1)
    assert studio.ordered == ["order-1"]
    assert await stage.attempt_states(facts.job_id) == ["handed_back", "won"]
    assert [r["unknowns"] for r in await stage.rows("SELECT unknowns FROM job")] == [0]


async def test_a_cancelled_job_is_called_off_at_the_provider(stage: Stage, studio: Studio) -> None:
    studio.answers = never
    stage.worker()
    stage.scheduler()
    facts = stage.facts()
    await stage.ask(facts)
    await stage.until("SELECT FROM attempt WHERE is_open")
    await stage.tell(cancelled(facts))
    await stage.until("SELECT FROM attempt WHERE submission IS NOT NULL AND NOT is_open")
    assert studio.cancelled == ["order-1"]


async def test_a_deadline_calls_the_order_off(stage: Stage, studio: Studio) -> None:
    studio.answers = never
    stage.worker()
    stage.scheduler()
    deadline = stage.streams.clock.now() + timedelta(milliseconds=400)
    await stage.ask(stage.facts(deadline_at=deadline))
    (answer,) = await stage.answers(1)
    assert isinstance(answer, GenerationFailed)
    assert answer.code is FailureCode.DEADLINE
    await stage.until("SELECT FROM attempt WHERE NOT is_open AND cancel_at IS NULL")
    assert studio.cancelled == ["order-1"]


async def test_an_order_under_way_when_the_job_ends_is_called_off(
    stage: Stage, studio: Studio
) -> None:
    studio.may_order.clear()
    stage.lease = timedelta(seconds=0.3)
    stage.worker()
    stage.scheduler()
    facts = stage.facts()
    await stage.ask(facts)
    await stage.until("SELECT FROM attempt")
    await stage.tell(cancelled(facts))
    await asyncio.sleep(0.3)  # the heartbeat stops the attempt
    studio.may_order.set()
    await stage.until("SELECT FROM attempt WHERE submission IS NOT NULL AND NOT is_open")
    assert (studio.ordered, studio.cancelled) == (["order-1"], ["order-1"])


async def test_an_attempt_that_was_replaced_leaves_no_order_behind(
    stage: Stage, studio: Studio
) -> None:
    zombie = await claimed(stage)
    await lose(stage, zombie)
    (heir,) = await stage.claim("two")
    late = Submission(id="late", address="there")
    assert not await stage.submissions().record(zombie, late)
    await stage.submissions().work()
    assert studio.cancelled == ["late"]
    assert heir.submission is None
    assert await stage.submissions().next_at() is None


async def test_calling_off_is_repeated_until_the_provider_was_told(
    stage: Stage, studio: Studio
) -> None:
    claim = await claimed(stage)
    await stage.submissions().record(claim, Submission(id="order-0", address="there"))
    await stage.tell(cancelled(claim.request))
    studio.cancel_error = ProviderError(FailureCode.SERVER, "no")
    await stage.submissions().work()
    again_at = await stage.submissions().next_at()
    assert again_at is not None
    assert again_at > stage.streams.clock.now()
    studio.cancel_error = ProviderError(FailureCode.BAD_REQUEST, "never")
    async with stage.streams.database.transaction() as transaction:
        await transaction.connection.execute(
            "UPDATE attempt SET cancel_at = $1 WHERE cancel_at IS NOT NULL",
            stage.streams.clock.now(),
        )
    await stage.submissions().work()
    assert await stage.submissions().next_at() is None


async def test_a_question_that_fails_says_nothing_about_the_order(
    stage: Stage, studio: Studio
) -> None:
    left = [failing(FailureCode.SERVER, is_of_the_job=False)] * 3

    def tell() -> ProviderResult | Pending:
        return left.pop()() if left else done()

    studio.answers = tell
    stage.worker()
    facts = stage.facts()
    await stage.ask(facts)
    (answer,) = await stage.answers(1)
    assert isinstance(answer, GenerationCompleted)
    assert len(studio.asked) == 4
    assert await stage.attempt_states(facts.job_id) == ["won"]


async def test_an_order_that_failed_is_placed_once_more(stage: Stage, studio: Studio) -> None:
    studio.answers = failing(FailureCode.SERVER, is_of_the_job=True)
    stage.worker()
    stage.scheduler()
    await stage.ask(stage.facts())
    (answer,) = await stage.answers(1)
    assert isinstance(answer, GenerationFailed)
    assert answer.message == "no"
    assert studio.ordered == ["order-1", "order-2"]


async def test_a_refused_order_is_not_repeated(stage: Stage, studio: Studio) -> None:
    studio.answers = failing(FailureCode.MODERATION, is_of_the_job=True)
    stage.worker()
    await stage.ask(stage.facts())
    (answer,) = await stage.answers(1)
    assert isinstance(answer, GenerationFailed)
    assert answer.code is FailureCode.MODERATION
    assert studio.ordered == ["order-1"]


async def test_a_result_that_was_not_stored_is_fetched_again(
    stage: Stage, studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    put, failures = stage.objects.put, iter([StorageUnavailable("full")])

    async def failing_put(*arguments: Any, **named: Any) -> Any:
        if (failure := next(failures, None)) is not None:
            raise failure
        return await put(*arguments, **named)

    monkeypatch.setattr(stage.objects, "put", failing_put)
    stage.worker()
    stage.scheduler()
    facts = stage.facts()
    await stage.ask(facts)
    (answer,) = await stage.answers(1)
    assert isinstance(answer, GenerationCompleted)
    assert (studio.ordered, studio.asked) == (["order-1"], ["order-1"] * 2)
    assert await stage.attempt_states(facts.job_id) == ["failed", "won"]
