"""Attempts, their leases and their fence: each job is decided once, whoever dies or comes late."""

import asyncio
from datetime import timedelta

import pytest

from libs.events.generation import FailureCode, GenerationCompleted, GenerationFailed
from libs.events.testing import stored_image
from services.generation.domain.capabilities import Failure
from services.generation.domain.jobs import AttemptState, Claim, Delivery, Spent
from services.generation.domain.outcomes import ProviderFailed
from services.generation.store import ends
from services.generation.tests.integration.stage import Stage, cancelled

SPENT = Spent(provider_ms=12, provider_cost_microusd=34)
SERVER = ProviderFailed(failure=Failure(code=FailureCode.SERVER, message="broken"), spent=SPENT)
MODERATED = ProviderFailed(
    failure=Failure(code=FailureCode.MODERATION, message="not this"), spent=SPENT
)


def delivery() -> Delivery:
    return Delivery(
        images=(stored_image(),),
        texts=(),
        seed=5,
        upload_ms=6,
        input_tokens=7,
        output_tokens=8,
        spent=SPENT,
    )


async def claimed(stage: Stage, **changes: object) -> Claim:
    await stage.ask(stage.facts(**changes))
    (claim,) = await stage.claim("one", 1)
    return claim


async def test_the_attempt_is_written_before_the_provider_can_be_called(stage: Stage) -> None:
    claim = await claimed(stage)
    assert await stage.attempt_states(claim.job_id) == ["running"]


async def test_a_delivery_decides_the_job_and_repeats_the_request(stage: Stage) -> None:
    claim = await claimed(stage)
    assert await stage.attempts().complete(claim, delivery())
    (answer,) = await stage.answers()

    assert isinstance(answer, GenerationCompleted)
    assert answer.request == claim.request
    assert answer.attempt_id == claim.attempt_id
    assert (answer.provider_ms, answer.upload_ms, answer.seed) == (12, 6, 5)
    assert (answer.input_tokens, answer.output_tokens) == (7, 8)
    assert answer.provider_cost_microusd == 34
    assert await stage.attempt_states(claim.job_id) == ["won"]


async def test_deciding_twice_changes_nothing(stage: Stage) -> None:
    claim = await claimed(stage)
    attempts = stage.attempts()
    outcomes = await asyncio.gather(
        attempts.complete(claim, delivery()),
        attempts.complete(claim, delivery()),
        attempts.fail(claim, MODERATED),
        stage.tell(cancelled(claim.request)),
    )
    assert len(await stage.answers()) == 1
    assert outcomes.count(True) <= 1


async def test_a_zombies_decision_is_refused_by_its_fence(stage: Stage) -> None:
    zombie = await claimed(stage)
    attempts = stage.attempts()
    await stage.expire_lease(zombie)
    await stage.overdue().work()
    assert not await attempts.complete(zombie, delivery())
    assert not await attempts.fail(zombie, MODERATED)
    assert await attempts.renew([zombie]) == [zombie]
    (heir,) = await stage.claim("two")
    assert heir.fence > zombie.fence
    assert not await attempts.complete(zombie, delivery())
    assert await attempts.complete(heir, delivery())
    assert not await attempts.complete(zombie, delivery())

    (answer,) = await stage.answers()
    assert answer.attempt_id == heir.attempt_id
    assert await stage.attempt_states(heir.job_id) == ["late", "won"]


async def test_a_renewed_lease_is_left_alone(stage: Stage) -> None:
    claim = await claimed(stage)
    await stage.expire_lease(claim)
    assert await stage.attempts().renew([claim]) == []
    await stage.overdue().work()
    assert await stage.state(claim.job_id) == "running"


async def test_a_lease_renewed_in_the_last_moment_is_not_taken(stage: Stage) -> None:
    claim = await claimed(stage)
    now = stage.streams.clock.now()
    async with stage.streams.database.transaction() as transaction:
        released = await ends.release(
            transaction.connection,
            [(claim.job_id, claim.fence)],  # as found due a moment before
            state=AttemptState.UNKNOWN,
            counts=True,
            is_own=False,
            now=now,
            sweep_at=now,
        )
    assert released == []
    assert await stage.state(claim.job_id) == "running"


async def test_unknown_attempts_are_counted_and_bounded(stage: Stage) -> None:
    claim = await claimed(stage)
    for unknowns in range(1, 6):
        await stage.expire_lease(claim)
        await stage.overdue().work()
        if unknowns < 5:
            (claim,) = await stage.claim("one", 1)
    (answer,) = await stage.answers()

    assert isinstance(answer, GenerationFailed)
    assert answer.code is FailureCode.SERVER
    assert await stage.attempt_states(claim.job_id) == ["unknown"] * 5
    assert stage.metrics.attempts.labels("test", "unknown")._value.get() == 5


async def test_without_idempotency_an_unknown_attempt_is_retried_once(stage: Stage) -> None:
    unsafe = stage.with_provider(is_idempotent=False)
    await unsafe.ask(unsafe.facts())
    for expected in ("queued", "failed"):
        (claim,) = await unsafe.claim("one", 1)
        await unsafe.expire_lease(claim)
        await unsafe.overdue().work()
        assert await unsafe.state(claim.job_id) == expected

    assert len(await stage.answers()) == 1


async def test_a_failure_that_may_pass_is_tried_again_after_a_rest(stage: Stage) -> None:
    claim = await claimed(stage)
    assert await stage.attempts().fail(claim, SERVER)
    assert await stage.state(claim.job_id) == "delayed"
    assert await stage.claim("one", 1) == []
    due_at = await stage.overdue().next_at()
    assert due_at is not None
    assert due_at - stage.streams.clock.now() <= timedelta(seconds=0.5)
    stage.scheduler()
    await stage.until("SELECT FROM job WHERE state = 'queued'")

    (again,) = await stage.claim("one", 1)
    assert again.tries == 2
    assert await stage.answers() == []


async def test_a_final_failure_says_what_it_cost(stage: Stage) -> None:
    claim = await claimed(stage)
    await stage.attempts().fail(claim, MODERATED)
    (answer,) = await stage.answers()

    assert isinstance(answer, GenerationFailed)
    assert answer.code is FailureCode.MODERATION
    assert answer.provider_cost_microusd == 34
    assert answer.request == claim.request


@pytest.mark.parametrize("state", ["queued", "running", "delayed"])
async def test_a_deadline_ends_a_job_wherever_it_stands(stage: Stage, state: str) -> None:
    deadline = stage.streams.clock.now() + timedelta(milliseconds=300)
    facts = stage.facts(deadline_at=deadline)
    await stage.ask(facts)
    for claim in await stage.claim("one", 1) if state != "queued" else ():
        if state == "delayed":
            await stage.attempts().fail(claim, SERVER)
    stage.scheduler()
    (answer,) = await stage.answers(1)

    assert isinstance(answer, GenerationFailed)
    assert answer.code is FailureCode.DEADLINE
    (row,) = await stage.rows("SELECT decided_at FROM job")
    assert timedelta(0) <= row["decided_at"] - deadline < timedelta(seconds=1)


async def test_a_near_deadline_wakes_a_scheduler_that_sleeps(stage: Stage) -> None:
    stage.scheduler()
    await asyncio.sleep(0.1)
    deadline = stage.streams.clock.now() + timedelta(milliseconds=200)
    await stage.ask(stage.facts(deadline_at=deadline))
    await stage.answers(1)
    (row,) = await stage.rows("SELECT decided_at FROM job")
    assert row["decided_at"] - deadline < timedelta(seconds=1)


async def test_a_result_after_the_end_is_discarded_and_its_cost_recorded(stage: Stage) -> None:
    claim = await claimed(stage)
    await stage.tell(cancelled(claim.request))
    assert not await stage.attempts().complete(claim, delivery())

    (answer,) = await stage.answers()
    assert isinstance(answer, GenerationFailed)
    assert answer.code is FailureCode.CANCELLED
    (row,) = await stage.rows("SELECT state, provider_cost_microusd, sweep_at FROM attempt")
    assert (row["state"], row["provider_cost_microusd"]) == ("late", 34)
    assert row["sweep_at"] is not None


async def test_a_job_handed_back_is_taken_by_another_at_once(stage: Stage) -> None:
    claim = await claimed(stage)
    await stage.attempts().hand_back([claim])
    (again,) = await stage.claim("two", 1)
    assert again.job_id == claim.job_id
    assert await stage.attempt_states(claim.job_id) == ["handed_back", "running"]
    await stage.attempts().hand_back([claim])
    assert await stage.state(claim.job_id) == "running"
