"""The clients of Runway, Luma, Reve, Ark and DashScope against our simulators."""

import asyncio
import base64
from typing import Any

import dashscope
import lumaai
import pytest
import reve
import runwayml
import volcenginesdkarkruntime
from dashscope.aigc.multimodal_conversation import AioMultiModalConversation
from reve.v1 import image as reve_image
from volcenginesdkarkruntime import AsyncArk

from infra.simulators.scripts import Situation
from infra.simulators.tests.integration.simulated import PICTURE, Simulated, fetched, size_of

DATA_URL = f"data:image/png;base64,{base64.b64encode(PICTURE).decode()}"
REFUSALS = [
    (Situation.AUTH, 401),
    (Situation.BAD_REQUEST, 400),
    (Situation.RATE_LIMIT, 429),
]


def runway(simulated: Simulated) -> runwayml.AsyncRunwayML:
    return runwayml.AsyncRunwayML(api_key="any", base_url=f"{simulated.url}/runway", max_retries=0)


async def test_runways_client_makes_a_picture_from_references(simulated: Simulated) -> None:
    async with runway(simulated) as client:
        ordered = await client.text_to_image.create(
            model="gen4_image",
            prompt_text="@cat by a lake",
            ratio="1280:720",
            reference_images=[{"uri": DATA_URL, "tag": "cat"}],
        )
        task = await client.tasks.retrieve(ordered.id)
    assert task.status == "SUCCEEDED"
    assert size_of(await fetched(task.output[0])) == (1280, 720)


async def test_runways_client_makes_videos_and_calls_one_off(simulated: Simulated) -> None:
    async with runway(simulated) as client:
        animated = await client.image_to_video.create(
            model="gen4_turbo", prompt_image=DATA_URL, ratio="1280:720", duration=5
        )
        filmed = await client.text_to_video.create(
            model="gen4.5", prompt_text="a heron", ratio="720:1280", duration=5
        )
        for ordered in (animated, filmed):
            task = await client.tasks.retrieve(ordered.id)
            assert task.status == "SUCCEEDED"
            assert (await fetched(task.output[0]))[4:8] == b"ftyp"
        await client.tasks.delete(filmed.id)
        with pytest.raises(runwayml.NotFoundError):
            await client.tasks.retrieve(filmed.id)


@pytest.mark.parametrize(("situation", "status"), REFUSALS)
async def test_runways_client_knows_the_errors(
    simulated: Simulated, situation: Situation, status: int
) -> None:
    simulated.tell("runway", situation)
    async with runway(simulated) as client:
        with pytest.raises(runwayml.APIStatusError) as caught:
            await client.text_to_image.create(
                model="gen4_image", prompt_text="a heron", ratio="1280:720"
            )
    assert caught.value.status_code == status


async def test_runways_client_sees_a_task_that_was_moderated(simulated: Simulated) -> None:
    simulated.tell("runway", Situation.MODERATION)
    async with runway(simulated) as client:
        ordered = await client.text_to_image.create(
            model="gen4_image", prompt_text="a heron", ratio="1280:720"
        )
        task = await client.tasks.retrieve(ordered.id)
    assert task.status == "FAILED"
    assert str(task.failure_code).startswith("SAFETY.")


def luma(simulated: Simulated) -> lumaai.AsyncLumaAI:
    base_url = f"{simulated.url}/luma/dream-machine/v1"
    return lumaai.AsyncLumaAI(auth_token="any", base_url=base_url, max_retries=0)


async def test_lumas_client_makes_pictures_and_videos(simulated: Simulated) -> None:
    async with luma(simulated) as client:
        first = await client.generations.image.create(
            model="photon-1", prompt="a heron", aspect_ratio="16:9", format="png"
        )
        made = await client.generations.get(first.id or "")
        assert made.state == "completed"
        assert made.assets is not None
        url = made.assets.image or ""
        assert size_of(await fetched(url)) == (1344, 768)
        second = await client.generations.image.create(
            model="photon-1",
            prompt="a heron",
            image_ref=[{"url": url, "weight": 0.5}],
            style_ref=[{"url": url}],
            character_ref={"identity0": {"images": [url]}},
            modify_image_ref={"url": url},
        )
        assert second.state == "queued"
        film = await client.generations.video.create(
            model="ray-2", prompt="a heron", keyframes={"frame0": {"type": "image", "url": url}}
        )
        filmed = await client.generations.get(film.id or "")
        assert filmed.assets is not None
        assert (await fetched(filmed.assets.video or ""))[4:8] == b"ftyp"
        await client.generations.delete(film.id or "")
        with pytest.raises(lumaai.NotFoundError):
            await client.generations.get(film.id or "")


@pytest.mark.parametrize(("situation", "status"), REFUSALS)
async def test_lumas_client_knows_the_errors(
    simulated: Simulated, situation: Situation, status: int
) -> None:
    simulated.tell("luma", situation)
    async with luma(simulated) as client:
        with pytest.raises(lumaai.APIStatusError) as caught:
            await client.generations.image.create(model="photon-1", prompt="a heron")
    assert caught.value.status_code == status


async def test_reves_client_creates_edits_and_remixes(simulated: Simulated) -> None:
    client = reve.ReveClient(api_token="any", api_url=f"{simulated.url}/reve")
    created = await asyncio.to_thread(
        reve_image.create, "a heron", client=client, aspect_ratio="16:9"
    )
    edited = await asyncio.to_thread(reve_image.edit, "at night", PICTURE, client=client)
    remixed = await asyncio.to_thread(
        reve_image.remix, "<img>0</img> by <img>1</img>", [PICTURE, PICTURE], client=client
    )
    assert created.image.size == (1344, 768)
    assert edited.image.size == remixed.image.size == (1248, 832)
    assert (created.credits_used, edited.credits_used) == (18, 30)


@pytest.mark.parametrize(
    ("situation", "kind"),
    [
        (Situation.AUTH, reve.exceptions.ReveAuthenticationError),
        (Situation.BAD_REQUEST, reve.exceptions.ReveValidationError),
        (Situation.CREDIT, reve.exceptions.ReveBudgetExhaustedError),
        (Situation.RATE_LIMIT, reve.exceptions.ReveRateLimitError),
        (Situation.MODERATION, reve.exceptions.ReveContentViolationError),
    ],
)
async def test_reves_client_knows_the_errors(
    simulated: Simulated, situation: Situation, kind: type[Exception]
) -> None:
    simulated.tell("reve", situation)
    client = reve.ReveClient(api_token="any", api_url=f"{simulated.url}/reve")
    with pytest.raises(kind):
        await asyncio.to_thread(reve_image.create, "a heron", client=client)


def ark(simulated: Simulated) -> AsyncArk:
    return AsyncArk(api_key="any", base_url=f"{simulated.url}/seedream/api/v3", max_retries=0)


async def test_arks_client_makes_pictures_new_and_from_others(simulated: Simulated) -> None:
    client = ark(simulated)
    new = await client.images.generate(
        model="seedream-4-0-250828", prompt="a heron", size="1280x720", watermark=False
    )
    edited = await client.images.generate(
        model="seedream-4-0-250828",
        prompt="at night",
        image=[DATA_URL, DATA_URL],
        size="1K",
        response_format="b64_json",
    )
    await client.close()
    assert size_of(await fetched(new.data[0].url)) == (1280, 720)
    assert size_of(base64.b64decode(edited.data[0].b64_json)) == (1024, 1024)
    assert new.usage.output_tokens == 1280 * 720 // 256


@pytest.mark.parametrize(("situation", "status"), REFUSALS)
async def test_arks_client_knows_the_errors(
    simulated: Simulated, situation: Situation, status: int
) -> None:
    simulated.tell("seedream", situation)
    client = ark(simulated)
    with pytest.raises(volcenginesdkarkruntime._exceptions.ArkAPIStatusError) as caught:
        await client.images.generate(model="seedream-4-0-250828", prompt="a heron")
    await client.close()
    assert caught.value.status_code == status


@pytest.fixture
def qwen(simulated: Simulated, monkeypatch: pytest.MonkeyPatch) -> Simulated:
    monkeypatch.setattr(dashscope, "base_http_api_url", f"{simulated.url}/qwen/api/v1")
    return simulated


async def test_dashscopes_client_makes_and_edits(qwen: Simulated) -> None:
    for model, content in (
        ("qwen-image", [{"text": "a heron"}]),
        ("qwen-image-edit", [{"image": DATA_URL}, {"text": "at night"}]),
    ):
        answer: Any = await AioMultiModalConversation.call(
            model=model,
            messages=[{"role": "user", "content": content}],
            api_key="any",
            watermark=False,
            prompt_extend=True,
        )
        assert answer.status_code == 200, answer
        (part,) = answer.output.choices[0].message.content
        assert size_of(await fetched(part["image"]))[0] > 0
        assert answer.usage.image_count == 1


@pytest.mark.parametrize(
    ("situation", "status", "code"),
    [
        (Situation.AUTH, 401, "InvalidApiKey"),
        (Situation.MODERATION, 400, "DataInspectionFailed"),
        (Situation.CREDIT, 400, "Arrearage"),
        (Situation.RATE_LIMIT, 429, "Throttling.RateQuota"),
    ],
)
async def test_dashscopes_client_knows_the_errors(
    qwen: Simulated, situation: Situation, status: int, code: str
) -> None:
    qwen.tell("qwen", situation)
    answer: Any = await AioMultiModalConversation.call(
        model="qwen-image",
        messages=[{"role": "user", "content": [{"text": "a heron"}]}],
        api_key="any",
    )
    assert (answer.status_code, answer.code) == (status, code)
