"""Every provider in every situation, through the queue: the rows of docs/providers.md."""

import io
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from PIL import Image

from infra.simulators.scripts import Situation
from libs.events.generation import FailureCode, GenerationCompleted, GenerationFailed
from services.generation.adapters.doors import DOORS
from services.generation.tests.integration.stage import Stage
from services.generation.tests.integration.studio import Providers, generated, providers_opened

NAMES = sorted(DOORS)
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


@pytest.fixture
async def providers() -> AsyncIterator[Providers]:
    async for opened in providers_opened():
        yield opened


@pytest.mark.parametrize("name", NAMES)
async def test_a_picture_comes_home_without_its_texts(
    stage: Stage, providers: Providers, name: str
) -> None:
    answer = await generated(stage, providers.adapter(name), prompt="a heron")
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
    assert len(providers.orders(name)) == 1


@pytest.mark.parametrize("situation", FAILURES)
@pytest.mark.parametrize("name", NAMES)
async def test_a_failure_has_one_name_whoever_fails(
    stage: Stage, providers: Providers, name: str, situation: Situation
) -> None:
    # Longer than a call waits here, and than the job lasts: it ends at once.
    providers.studio.simulators[name].scripts.add(_lasting(situation), 5)
    deadline = stage.streams.clock.now() + timedelta(seconds=30)
    answer = await generated(stage, providers.adapter(name), deadline_at=deadline)
    assert isinstance(answer, GenerationFailed), answer
    assert answer.code is FAILURES[situation]
    (row, *_) = await stage.rows("SELECT failure_detail FROM attempt ORDER BY number")
    assert row["failure_detail"]
    assert row["failure_detail"] not in answer.message
    assert await stage.keys(answer.job_id) == [] or answer.code is FailureCode.BAD_OUTPUT


def _lasting(situation: Situation):
    from infra.simulators.scripts import Script

    return Script(situation, retry_after_seconds=3600)
