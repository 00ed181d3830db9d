"""Generation as its neighbours see it: requests in, pictures and answers out."""

import asyncio
import hashlib
import io
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import pytest
from PIL import Image

from libs.events.envelope import Event
from libs.events.generation import (
    FailureCode,
    GenerationCompleted,
    GenerationFailed,
    GenerationStarted,
)
from libs.events.names import Topic
from libs.events.payload import Payload
from libs.events.registry import REGISTRY
from libs.events.testing import request_facts
from libs.events.transport import Partition
from services.generation.handlers import progress
from services.generation.tests.integration.conftest import RunningGeneration
from services.generation.tests.integration.stage import cancelled, requested

DEADLINE_SECONDS = 60.0


async def answers(generation: RunningGeneration, count: int) -> list[Event[Payload]]:
    async with asyncio.timeout(DEADLINE_SECONDS):
        while len(told := await generation.streams.published()) < count:
            await asyncio.sleep(0.02)
    return [REGISTRY.decode(encoded) for _, encoded in told]


async def test_a_request_becomes_a_stored_picture_and_one_answer(
    generation: RunningGeneration,
) -> None:
    now = datetime.now(UTC)
    facts = request_facts(
        model="local-sketch", requested_at=now, deadline_at=now + timedelta(minutes=10), units=2
    )
    asked = requested(facts)
    await generation.tell(asked)
    (answer,) = await answers(generation, 1)

    assert isinstance(answer.data, GenerationCompleted)
    assert answer.causation_id == asked.id
    assert answer.correlation_id == asked.correlation_id
    assert answer.data.request == facts
    assert answer.data.delivered_units == 2
    assert len({image.sha256 for image in answer.data.images}) == 2
    for image in answer.data.images:
        async with generation.bucket.open(image.key) as body:
            content = await body.read()
            assert body.info.content_type == image.content_type == "image/jpeg"
        assert hashlib.sha256(content).hexdigest() == image.sha256
        assert len(content) == image.size_bytes
        assert Image.open(io.BytesIO(content)).size == (image.width, image.height) == (1024, 1024)


async def test_a_start_is_told_on_the_progress_topic(
    generation: RunningGeneration, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "AFTER_SECONDS", 0.0)
    now = datetime.now(UTC)
    facts = request_facts(
        model="local-sketch", requested_at=now, deadline_at=now + timedelta(minutes=10)
    )
    subscription = await generation.bus.subscribe(
        group="watcher", topics=[Topic.PROGRESS], assigned=from_the_start
    )
    try:
        await generation.tell(requested(facts))
        async with asyncio.timeout(DEADLINE_SECONDS):
            while not (messages := await subscription.fetch(records_max=9, timeout_seconds=1)):
                pass
    finally:
        await subscription.close()
    (signal,) = [REGISTRY.decode(message.value or b"").data for message in messages]
    assert signal == GenerationStarted(job_id=facts.job_id, account_id=facts.account_id, attempt=1)


async def from_the_start(logs: Mapping[Partition, range]) -> Mapping[Partition, int]:
    return {partition: log.start for partition, log in logs.items()}


async def test_what_it_cannot_do_is_answered_and_the_service_goes_on(
    generation: RunningGeneration,
) -> None:
    now = datetime.now(UTC)
    given = {"model": "local-sketch", "requested_at": now, "deadline_at": now + timedelta(hours=1)}
    unknown = request_facts(**{**given, "provider": "nobody"})
    wrong = request_facts(**given, options={"size": "10x10"})
    fine = request_facts(**given)
    await generation.tell(*map(requested, (unknown, wrong, fine)), cancelled(unknown))
    told = {event.data.subject: event.data for event in await answers(generation, 3)}

    refused = told[str(unknown.job_id)]
    assert isinstance(refused, GenerationFailed)
    assert refused.code is FailureCode.UNPROCESSABLE
    assert refused.request == unknown
    failed = told[str(wrong.job_id)]
    assert isinstance(failed, GenerationFailed)
    assert failed.code is FailureCode.BAD_REQUEST
    assert isinstance(told[str(fine.job_id)], GenerationCompleted)


async def test_it_is_ready_once_it_serves(generation: RunningGeneration) -> None:
    assert (await generation.client.get("/health/ready")).status_code == 200
    assert "daygen_generation_attempts" in (await generation.client.get("/metrics")).text
