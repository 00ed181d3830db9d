"""The worker as it runs: attempts from claim to answer, through crashes, stops and outages."""

import asyncio
from collections.abc import AsyncIterable
from datetime import timedelta
from random import Random
from typing import Any

import pytest
from msgspec.structs import replace

from libs.events.generation import FailureCode, GenerationCompleted, GenerationFailed
from libs.runtime.objects import StorageUnavailable, StoredObject
from libs.runtime.objects_s3 import S3ObjectStore
from libs.runtime.testing import Streams
from libs.runtime.tracing import Traceparent, current_traceparent
from services.generation.handlers import progress
from services.generation.handlers.execution import UPLOAD_BYTES
from services.generation.ports import ProviderError, ProviderRequest, ProviderResult
from services.generation.tests.integration.stage import (
    PNG,
    Stage,
    cancelled,
    draws,
    requested,
    stream,
)
from services.generation.worker import SAFETY_SECONDS


async def hangs(_request: ProviderRequest) -> ProviderResult:
    await asyncio.Event().wait()
    raise AssertionError


async def test_a_job_is_done_and_its_picture_stored_under_its_attempt(stage: Stage) -> None:
    facts = stage.facts(units=2)
    stage.worker()
    await stage.ask(facts)
    (answer,) = await stage.answers(1)

    assert isinstance(answer, GenerationCompleted)
    prefix = f"attempts/{facts.job_id}/{answer.attempt_id}/"
    assert [image.key for image in answer.images] == [f"{prefix}1.png", f"{prefix}2.png"]
    assert {(each.content_type, each.width, each.height) for each in answer.images} == {
        ("image/png", 1024, 768)
    }
    assert {each.size_bytes for each in answer.images} == {len(PNG)}
    assert await stage.keys(facts.job_id) == [image.key for image in answer.images]


async def test_a_job_that_is_done_soon_is_not_told_to_have_started(stage: Stage) -> None:
    stage.worker()
    await stage.ask(*(stage.facts() for _ in range(5)))
    await stage.answers(5)
    assert stage.bus.tried == 0


async def test_a_dead_bus_for_progress_hurts_no_job(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "AFTER_SECONDS", 0.01)

    async def slow(request: ProviderRequest) -> ProviderResult:
        await asyncio.sleep(0.3)
        return await draws(request)

    stage.provider.script = slow
    stage.worker(slots=5)
    await stage.ask(*(stage.facts() for _ in range(5)))
    assert len(await stage.answers(5)) == 5
    assert stage.bus.tried == 5


async def test_many_jobs_get_one_answer_each_over_two_workers(stage: Stage) -> None:
    stage.worker(name="one")
    stage.worker(name="two")
    stage.scheduler()
    facts = [stage.facts() for _ in range(60)]
    await asyncio.gather(stage.ask(*facts), stage.ask(*facts[:20]))
    told = await stage.answers(60)

    assert {each.job_id for each in told} == {each.job_id for each in facts}
    assert len(told) == 60


async def test_the_providers_limit_holds_while_two_workers_run(stage: Stage) -> None:
    limited = stage.with_provider(concurrency=3)
    await limited.offer()
    at_once = most = 0

    async def counts(request: ProviderRequest) -> ProviderResult:
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        await asyncio.sleep(0.01)
        at_once -= 1
        return await draws(request)

    limited.provider.script = counts
    limited.worker(name="one")
    limited.worker(name="two")
    await limited.ask(*(limited.facts() for _ in range(30)))
    await limited.answers(30)
    await limited.close()
    assert most == 3


async def test_jobs_beyond_the_slots_and_the_limit_wait_for_no_timer(stage: Stage) -> None:
    limited = stage.with_provider(concurrency=2)
    await limited.offer()
    limited.worker(name="one", slots=1)
    limited.worker(name="two", slots=3)
    for _ in range(12):
        await limited.ask(*(limited.facts() for _ in range(3)))
    async with asyncio.timeout(SAFETY_SECONDS / 3):
        await limited.answers(36)
    await limited.close()


async def test_an_attempt_that_ends_while_its_worker_stops_makes_room_elsewhere(
    stage: Stage,
) -> None:
    limited, heir = (stage.with_provider(concurrency=1) for _ in range(2))
    await limited.offer()
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def waits(request: ProviderRequest) -> ProviderResult:
        begun.set()
        await go_on.wait()
        return await draws(request)

    limited.provider.script = waits
    worker = limited.worker(name="one")
    await limited.ask(limited.facts())
    await begun.wait()
    heir.worker(name="two")
    await limited.ask(limited.facts())
    await asyncio.sleep(0.1)
    worker.cancel()
    await asyncio.sleep(0)
    go_on.set()
    async with asyncio.timeout(SAFETY_SECONDS / 3):
        await heir.answers(2)
    await heir.close()
    assert (len(limited.provider.calls), len(heir.provider.calls)) == (1, 1)


async def test_a_worker_that_dies_is_replaced(stage: Stage) -> None:
    stage.lease = timedelta(seconds=2)
    stage.provider.script = hangs
    # As after kill -9: its process renews nothing and hands nothing back.
    await stage.ask(stage.facts())
    (dead,) = await stage.claim("dead", 1)
    stage.provider.script = draws
    stage.worker(name="heir")
    stage.scheduler()
    (answer,) = await stage.answers(1)

    assert isinstance(answer, GenerationCompleted)
    assert answer.attempt_id != dead.attempt_id
    assert await stage.attempt_states(dead.job_id) == ["unknown", "won"]


async def test_a_long_attempt_keeps_its_lease(stage: Stage) -> None:
    stage.lease = timedelta(seconds=2)

    async def slow(request: ProviderRequest) -> ProviderResult:
        await asyncio.sleep(3)
        return await draws(request)

    stage.provider.script = slow
    stage.worker()
    stage.scheduler()
    await stage.ask(stage.facts())
    await stage.answers(1)
    assert len(stage.provider.calls) == 1


async def test_cancelling_stops_a_running_attempt(stage: Stage) -> None:
    stage.lease = timedelta(seconds=0.3)
    stopped = asyncio.Event()

    async def notices(_request: ProviderRequest) -> ProviderResult:
        try:
            await asyncio.Event().wait()
        finally:
            stopped.set()
        raise AssertionError

    stage.provider.script = notices
    stage.worker()
    facts = stage.facts()
    await stage.ask(facts)
    await stage.until("SELECT FROM attempt")
    await stage.tell(cancelled(facts))
    async with asyncio.timeout(30):
        await stopped.wait()
    (answer,) = await stage.answers(1)
    assert isinstance(answer, GenerationFailed)
    assert answer.code is FailureCode.CANCELLED


async def test_the_slot_of_a_stopped_attempt_is_filled_at_once(stage: Stage) -> None:
    stage.lease = timedelta(seconds=0.3)
    stage.provider.script = hangs
    stage.worker(slots=1)
    unwanted = stage.facts()
    await stage.ask(unwanted)
    await stage.until("SELECT FROM attempt")
    stage.provider.script = draws
    await stage.ask(stage.facts())
    await stage.tell(cancelled(unwanted))
    assert [type(each) for each in await stage.answers(2)] == [
        GenerationFailed,
        GenerationCompleted,
    ]


async def test_a_hung_provider_ends_at_the_deadline(stage: Stage) -> None:
    stage.provider.script = hangs
    stage.worker(slots=1)
    deadline = stage.streams.clock.now() + timedelta(milliseconds=400)
    await stage.ask(stage.facts(deadline_at=deadline))
    (answer,) = await stage.answers(1)

    assert isinstance(answer, GenerationFailed)
    assert answer.code is FailureCode.DEADLINE
    (row,) = await stage.rows("SELECT decided_at FROM job")
    assert row["decided_at"] - deadline < timedelta(seconds=20)


async def test_a_stopped_worker_finishes_what_it_can(stage: Stage) -> None:
    begun = asyncio.Event()

    async def short(request: ProviderRequest) -> ProviderResult:
        begun.set()
        await asyncio.sleep(0.1)
        return await draws(request)

    stage.provider.script = short
    worker = stage.worker()
    await stage.ask(stage.facts())
    await begun.wait()
    worker.cancel()
    await asyncio.gather(worker, return_exceptions=True)
    assert [type(each) for each in await stage.answers()] == [GenerationCompleted]


async def test_a_stopped_worker_hands_the_rest_back(stage: Stage) -> None:
    stage.provider.script = hangs
    worker = stage.worker(grace_seconds=0.1)
    facts = stage.facts()
    await stage.ask(facts)
    await stage.until("SELECT FROM attempt")
    worker.cancel()
    await asyncio.gather(worker, return_exceptions=True)

    assert await stage.state(facts.job_id) == "queued"
    assert await stage.attempt_states(facts.job_id) == ["handed_back"]


async def test_a_provider_that_recovers_is_tried_again(stage: Stage) -> None:
    async def fails_once(request: ProviderRequest) -> ProviderResult:
        if len(stage.provider.calls) == 1:
            raise ProviderError(FailureCode.SERVER, "Try later.", detail="boom")
        return await draws(request)

    stage.provider.script = fails_once
    stage.worker()
    stage.scheduler()
    await stage.ask(stage.facts())
    (answer,) = await stage.answers(1)
    assert isinstance(answer, GenerationCompleted)
    assert await stage.attempt_states(answer.job_id) == ["failed", "won"]


async def test_a_broken_adapter_fails_the_job_after_a_bounded_number_of_tries(stage: Stage) -> None:
    async def breaks(_request: ProviderRequest) -> ProviderResult:
        raise KeyError("a bug")

    stage.provider.script = breaks
    stage.worker()
    await stage.ask(stage.facts())
    for _ in range(4):
        await stage.until("SELECT FROM job WHERE state = 'delayed'")
        await stage.end_rests()
    (answer,) = await stage.answers(1)
    assert isinstance(answer, GenerationFailed)
    assert answer.code is FailureCode.SERVER
    assert len(stage.provider.calls) == 5


async def test_what_is_no_picture_fails_the_job(stage: Stage) -> None:
    async def html(_request: ProviderRequest) -> ProviderResult:
        return ProviderResult(pictures=[stream(b"<html>" + b" " * 100)])

    async def nothing(_request: ProviderRequest) -> ProviderResult:
        return ProviderResult()

    stage.worker(slots=1)
    for count, script in enumerate((html, nothing), start=1):
        stage.provider.script = script
        await stage.ask(stage.facts())
        answer = (await stage.answers(count))[-1]
        assert isinstance(answer, GenerationFailed)
        assert answer.code is FailureCode.BAD_OUTPUT


class FlakyStore(S3ObjectStore):
    """The real store behind a line that fails a number of times."""

    failures = 3

    async def put(
        self, key: str, body: bytes | AsyncIterable[bytes], **options: Any
    ) -> StoredObject:
        if self.failures:
            self.failures -= 1
            raise StorageUnavailable("down for a test")
        return await super().put(key, body, **options)


async def test_an_outage_of_storage_delays_jobs_and_fails_none(
    streams: Streams, bucket: S3ObjectStore, stage: Stage
) -> None:
    flaky = Stage(streams, FlakyStore(bucket._client, bucket._putter, bucket._bucket))
    flaky.worker()
    flaky.scheduler()
    await flaky.ask(flaky.facts())
    (answer,) = await flaky.answers(1)
    await flaky.close()
    assert isinstance(answer, GenerationCompleted)


class WatchedStore(S3ObjectStore):
    """The real store, slow enough to see how many pictures are on their way at once."""

    now = most = 0

    async def put(
        self, key: str, body: bytes | AsyncIterable[bytes], **options: Any
    ) -> StoredObject:
        self.now += 1
        self.most = max(self.most, self.now)
        await asyncio.sleep(0.05)
        try:
            return await super().put(key, body, **options)
        finally:
            self.now -= 1


async def test_pictures_wait_for_memory_on_their_way(
    streams: Streams, bucket: S3ObjectStore, stage: Stage
) -> None:
    store = WatchedStore(bucket._client, bucket._putter, bucket._bucket)
    watched = Stage(streams, store)
    watched.budget_bytes = 2 * UPLOAD_BYTES
    watched.worker(slots=8)
    await watched.ask(*(watched.facts() for _ in range(8)))
    told = await watched.answers(8)
    await watched.close()
    assert all(isinstance(each, GenerationCompleted) for each in told)
    assert store.most == 2


async def test_a_provider_is_called_within_the_requests_trace(stage: Stage) -> None:
    trace = Traceparent.new(Random(1))
    seen: list[str | None] = []

    async def draws_and_notes(request: ProviderRequest) -> ProviderResult:
        seen.append(current_traceparent())
        return await draws(request)

    stage.provider.script = draws_and_notes
    stage.worker()
    await stage.tell(replace(requested(stage.facts()), traceparent=str(trace)))
    await stage.answers(1)
    assert seen == [str(trace)]
