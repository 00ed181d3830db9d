"""The local provider: what of a request's options it honours, and how."""

import os
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID, uuid4

import msgspec
import pytest

from libs.events.generation import FailureCode
from libs.events.testing import NOW
from services.generation.adapters.local import (
    NICENESS,
    LocalProvider,
    drawing_threads,
    picture_seed,
    picture_size,
)
from services.generation.ports import ProviderError, ProviderRequest

JOB = UUID(int=42)


def request(**changes: Any) -> ProviderRequest:
    given = ProviderRequest(
        job_id=JOB,
        attempt_id=uuid4(),
        operation="image",
        model="local-sketch",
        prompt="a calm sea",
        options={},
        units=1,
        deadline_at=NOW,
    )
    return msgspec.structs.replace(given, **changes)


async def pictures(asked: ProviderRequest) -> list[bytes]:
    with ThreadPoolExecutor(1) as executor:
        result = await LocalProvider(executor).generate(asked)
        return [b"".join([chunk async for chunk in stream]) for stream in result.pictures]


@pytest.mark.parametrize(
    ("options", "size"),
    [
        ({}, (1024, 1024)),
        ({"size": "1536x1024"}, (1536, 1024)),
        ({"width": 1200, "height": 1100}, (1200, 1100)),
        ({"width": 1200}, (1200, 1024)),
        ({"aspect_ratio": "16:9"}, (1820, 1024)),
        ({"aspectRatio": "9:16"}, (1024, 1820)),
        ({"width": 1024, "height": 1024, "quality": "high"}, (1024, 1024)),
    ],
)
def test_a_size_may_be_asked_for_in_each_usual_way(
    options: dict[str, Any], size: tuple[int, int]
) -> None:
    assert picture_size(options) == size


@pytest.mark.parametrize(
    "options",
    [
        {"size": "512x512"},
        {"size": "99999x99999"},
        {"size": "large"},
        {"size": 1024},
        {"width": 1024.5},
        {"width": True},
        {"height": 4096},
        {"aspect_ratio": "0:1"},
        {"aspect_ratio": "9:1"},
    ],
)
def test_a_size_that_cannot_be_drawn_is_a_bad_request(options: dict[str, Any]) -> None:
    with pytest.raises(ProviderError) as refused:
        picture_size(options)
    assert refused.value.failure.code is FailureCode.BAD_REQUEST


def test_without_a_seed_every_attempt_at_a_job_has_the_same() -> None:
    assert picture_seed({}, JOB) == picture_seed({}, JOB) != picture_seed({}, uuid4())
    assert picture_seed({"seed": 5}, JOB) == 5


@pytest.mark.parametrize("seed", [-1, 2**31, "7", 1.5, True])
def test_a_seed_that_is_no_seed_is_a_bad_request(seed: object) -> None:
    with pytest.raises(ProviderError):
        picture_seed({"seed": seed}, JOB)


async def test_more_units_are_variations_that_can_be_had_again() -> None:
    three = await pictures(request(units=3, options={"seed": 5}))
    assert len(set(three)) == 3
    assert await pictures(request(options={"seed": 6})) == three[1:2]


async def test_a_retry_draws_the_same_picture() -> None:
    assert await pictures(request()) == await pictures(request())


@pytest.fixture
def switch_interval() -> Iterator[None]:
    before = sys.getswitchinterval()
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("switch_interval")
def test_drawing_steps_back_behind_the_event_loop() -> None:
    own = os.getpriority(os.PRIO_PROCESS, 0)
    with drawing_threads() as threads:
        drawing = threads.submit(os.getpriority, os.PRIO_PROCESS, 0).result()
    is_linux = sys.platform == "linux"  # the only one where a thread has its own
    assert drawing == (min(19, own + NICENESS) if is_linux else own)
    assert os.getpriority(os.PRIO_PROCESS, 0) == own
