"""Pictures that jobs are made from: found, bounded, and read as they are sent."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from libs.events.generation import (
    FailureCode,
    GenerationCompleted,
    GenerationFailed,
    InputRole,
    RequestFacts,
)
from libs.runtime.objects import ObjectInfo, ObjectStore, StorageUnavailable
from services.generation.domain import retries
from services.generation.domain.capabilities import Model, Takes
from services.generation.handlers.inputs import open_inputs
from services.generation.ports import Input, ProviderError, ProviderRequest
from services.generation.tests.integration.stage import PNG, Stage
from services.generation.tests.integration.studio import Providers, providers_opened

EDIT = (Model(id="test-1", operations={"edit": Takes(inputs_min=1, inputs_max=3, masks_max=1)}),)


async def stored(stage: Stage, name: str, content: bytes = PNG, kind: str = "image/png") -> str:
    key = f"inputs/{stage.streams.ids.new()}/{name}"
    await stage.objects.put(key, content, content_type=kind)
    return key


async def test_inputs_are_described_by_storage_and_read_as_often_as_it_takes(stage: Stage) -> None:
    keys = (await stored(stage, "a.png"), await stored(stage, "b.jpg", b"bb", "image/jpeg"))
    facts = stage.facts(operation="edit", input_keys=keys)
    first, second = await open_inputs(stage.objects, facts, stage.capabilities)
    assert (first.role, first.content_type, first.size_bytes) == (
        InputRole.IMAGE, "image/png", len(PNG),
    )  # fmt: skip
    assert (second.role, second.size_bytes) == (InputRole.REFERENCE, 2)
    for _ in range(2):
        assert b"".join([chunk async for chunk in first.stream()]) == PNG


@pytest.mark.parametrize(
    ("kind", "size", "code"),
    [
        ("text/html", 5, FailureCode.BAD_REQUEST),
        ("image/png", 101, FailureCode.TOO_LARGE),
    ],
)
async def test_what_a_provider_cannot_take_is_refused_unread(
    stage: Stage, kind: str, size: int, code: FailureCode
) -> None:
    stage = stage.with_provider(models=EDIT, input_bytes_max=100)
    key = await stored(stage, "a.png", bytes(size), kind)
    with pytest.raises(ProviderError) as caught:
        await open_inputs(
            stage.objects, stage.facts(operation="edit", input_keys=(key,)), stage.capabilities
        )
    assert caught.value.failure.code is code


class Away:
    """A storage that does not answer the first questions."""

    def __init__(self, objects: ObjectStore, times: int) -> None:
        self._objects = objects
        self._times = times

    def __getattr__(self, name: str) -> Any:
        return getattr(self._objects, name)

    async def head(self, key: str) -> ObjectInfo:
        self._times -= 1
        if self._times >= 0:
            raise StorageUnavailable("starting")
        return await self._objects.head(key)


async def test_storage_that_is_away_before_the_provider_is_asked_costs_no_try(stage: Stage) -> None:
    """Also with a provider that is never asked twice."""
    key = await stored(stage, "a.png")
    objects: Any = Away(stage.objects, retries.TRIES_MAX_UNSAFE + 1)
    stage = Stage(stage.streams, objects, models=EDIT, is_idempotent=False)
    await stage.offer()
    stage.worker()
    stage.scheduler()
    await stage.ask(stage.facts(operation="edit", input_keys=(key,)))
    (answer,) = await stage.answers(1)
    assert isinstance(answer, GenerationCompleted)
    assert len(stage.provider.calls) == 1
    await stage.close()


async def test_an_input_that_is_gone_ends_the_job_in_words_for_its_owner(stage: Stage) -> None:
    stage = stage.with_provider(models=EDIT)
    await stage.offer()
    stage.worker()
    await stage.ask(stage.facts(operation="edit", input_keys=("inputs/nobody/a.png",)))
    (answer,) = await stage.answers(1)
    assert isinstance(answer, GenerationFailed)
    assert answer.code is FailureCode.BAD_REQUEST
    assert "upload it again" in answer.message
    await stage.close()


@pytest.mark.parametrize(
    "changes",
    [
        {"input_keys": ()},
        {"input_keys": ("inputs/a",) * 4},
        {"input_keys": ("backups/a",)},
        {"input_keys": ("inputs/a",), "options": {"input_roles": ["cat"]}},
        {"input_keys": ("inputs/a",) * 2, "options": {"input_roles": ["mask", "mask"]}},
    ],
    ids=["none", "too many", "not ours", "unknown role", "two masks"],
)
async def test_inputs_that_do_not_fit_are_refused_before_any_attempt(
    stage: Stage, changes: dict[str, object]
) -> None:
    stage = stage.with_provider(models=EDIT)
    facts = stage.facts(operation="edit", **changes)
    await stage.ask(facts)
    (answer,) = await stage.answers(1)
    assert isinstance(answer, GenerationFailed)
    assert answer.code is FailureCode.BAD_REQUEST
    assert await stage.attempt_states(facts.job_id) == []


async def test_storage_that_fails_while_an_order_is_sent_is_no_fault_of_the_provider(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    async for providers in providers_opened():
        await _fails_in_the_middle(stage, providers, monkeypatch)


async def _fails_in_the_middle(
    stage: Stage, providers: Providers, monkeypatch: pytest.MonkeyPatch
) -> None:
    adapter = providers.adapter("reve")
    key = await stored(stage, "a.png", bytes(3_000_000))
    facts = stage.facts(provider="reve", model="reve-image", operation="edit", input_keys=(key,))
    (found,) = await open_inputs(stage.objects, facts, adapter.capabilities)
    stream = found.stream

    async def breaks() -> AsyncIterator[bytes]:
        async for chunk in stream():
            yield chunk
            raise StorageUnavailable("gone")

    monkeypatch.setattr(found, "stream", breaks)
    stage.others["reve"] = adapter
    request = _request(stage, facts, (found,))
    with pytest.raises(StorageUnavailable):
        await adapter.generate(request)  # type: ignore[union-attr]
    assert providers.orders("reve") == []


def _request(stage: Stage, facts: RequestFacts, inputs: tuple[Input, ...]) -> ProviderRequest:
    return ProviderRequest(
        job_id=facts.job_id,
        attempt_id=stage.streams.ids.new(),
        operation=facts.operation,
        model=facts.model,
        prompt=facts.prompt,
        options={},
        inputs=inputs,
        units=1,
        deadline_at=facts.deadline_at,
    )
