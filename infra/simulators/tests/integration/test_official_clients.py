"""The official clients of providers against our simulators: the proof that these are faithful."""

import asyncio
import base64

import openai
import pytest
from google import genai
from google.genai import errors, types

from infra.simulators.scripts import Situation
from infra.simulators.tests.integration.simulated import PICTURE, Simulated, size_of

# It is Google's client that inherits from it.
pytestmark = pytest.mark.filterwarnings("ignore:Inheritance class AiohttpClientSession")


def openai_client(simulated: Simulated, path: str, *, retries: int = 0) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(base_url=f"{simulated.url}{path}", api_key="any", max_retries=retries)


async def test_openais_client_generates(simulated: Simulated) -> None:
    async with openai_client(simulated, "/openai/v1") as client:
        made = await client.images.generate(
            model="gpt-image-1.5", prompt="a heron", n=2, size="1536x1024", quality="low"
        )
        models = [each.id async for each in client.models.list()]
    assert made.data is not None
    assert made.usage is not None
    assert [size_of(base64.b64decode(each.b64_json or "")) for each in made.data] == [
        (1536, 1024)
    ] * 2
    assert made.usage.total_tokens == made.usage.input_tokens + made.usage.output_tokens
    assert "gpt-image-1.5" in models


@pytest.mark.parametrize("count", [1, 2])
async def test_openais_client_edits(simulated: Simulated, count: int) -> None:
    pictures = [(f"{number}.png", PICTURE, "image/png") for number in range(count)]
    async with openai_client(simulated, "/openai/v1") as client:
        made = await client.images.edit(
            model="gpt-image-1.5",
            prompt="a heron",
            image=pictures[0] if count == 1 else pictures,
            mask=("mask.png", PICTURE, "image/png"),
            n=2,
        )
    assert made.data is not None
    assert made.usage is not None
    assert len(made.data) == 2
    assert made.usage.input_tokens_details.image_tokens == 272 * count


@pytest.mark.parametrize(
    ("situation", "kind", "code"),
    [
        (Situation.MODERATION, openai.BadRequestError, "moderation_blocked"),
        (Situation.AUTH, openai.AuthenticationError, "invalid_api_key"),
        (Situation.RATE_LIMIT, openai.RateLimitError, "rate_limit_exceeded"),
        (Situation.CREDIT, openai.RateLimitError, "insufficient_quota"),
        (Situation.SERVER, openai.InternalServerError, "server_error"),
    ],
)
async def test_openais_client_knows_the_errors(
    simulated: Simulated, situation: Situation, kind: type[openai.APIStatusError], code: str
) -> None:
    simulated.tell("openai", situation)
    async with openai_client(simulated, "/openai/v1") as client:
        with pytest.raises(kind) as caught:
            await client.images.generate(model="gpt-image-1.5", prompt="a heron")
    assert caught.value.code == code
    assert caught.value.request_id


async def test_openais_client_does_not_find_a_retired_model(simulated: Simulated) -> None:
    async with openai_client(simulated, "/openai/v1") as client:
        with pytest.raises(openai.NotFoundError) as caught:
            await client.images.generate(model="dall-e-3", prompt="a heron")
    assert caught.value.code == "model_not_found"


async def test_openais_client_waits_as_it_is_told(simulated: Simulated) -> None:
    simulated.tell("openai", Situation.RATE_LIMIT, rest=0.3)
    began = asyncio.get_running_loop().time()
    async with openai_client(simulated, "/openai/v1", retries=2) as client:
        await client.images.generate(model="gpt-image-1.5", prompt="a heron")
    assert asyncio.get_running_loop().time() - began >= 0.3
    assert simulated.orders("openai") == 2


async def test_openais_client_speaks_to_seedream_and_recraft(simulated: Simulated) -> None:
    async with openai_client(simulated, "/seedream/api/v3") as client:
        made = await client.images.generate(
            model="seedream-4-0-250828",
            prompt="a heron",
            response_format="b64_json",
            size="1024x1024",
            extra_body={"watermark": False, "seed": None},
        )
    assert made.data is not None
    assert size_of(base64.b64decode(made.data[0].b64_json or "")) == (1024, 1024)
    async with openai_client(simulated, "/recraft/v1") as client:
        drawn = await client.images.generate(model="recraftv3", prompt="a heron", n=2)
    assert drawn.data is not None
    assert all((each.url or "").startswith(simulated.url) for each in drawn.data)


def gemini_client(simulated: Simulated, version: str) -> genai.Client:
    options = types.HttpOptions(base_url=f"{simulated.url}/gemini", api_version=version)
    return genai.Client(api_key="any", http_options=options)


async def ask_gemini(
    simulated: Simulated, version: str = "v1beta"
) -> types.GenerateContentResponse:
    return await gemini_client(simulated, version).aio.models.generate_content(
        model="gemini-3.1-flash-image",
        contents="a heron",
        config=types.GenerateContentConfig(
            response_modalities=["TEXT", "IMAGE"],
            image_config=types.ImageConfig(aspect_ratio="16:9"),
        ),
    )


@pytest.mark.parametrize("version", ["v1", "v1beta"])
async def test_googles_client_generates(simulated: Simulated, version: str) -> None:
    made = await ask_gemini(simulated, version)
    assert made.candidates
    content = made.candidates[0].content
    assert content is not None
    pictures = [part.inline_data.data for part in content.parts or () if part.inline_data]
    assert [size_of(each or b"") for each in pictures] == [(1344, 768)]
    assert made.usage_metadata is not None
    assert made.usage_metadata.total_token_count == 1302


async def test_googles_client_sees_a_block_in_a_200(simulated: Simulated) -> None:
    simulated.tell("gemini", Situation.MODERATION)
    made = await ask_gemini(simulated)
    assert made.prompt_feedback is not None
    assert made.prompt_feedback.block_reason is types.BlockedReason.SAFETY
    assert not made.candidates


@pytest.mark.parametrize(
    ("situation", "code", "status"),
    [
        (Situation.RATE_LIMIT, 429, "RESOURCE_EXHAUSTED"),
        (Situation.CREDIT, 429, "RESOURCE_EXHAUSTED"),
        (Situation.AUTH, 400, "INVALID_ARGUMENT"),
        (Situation.SERVER, 503, "UNAVAILABLE"),
    ],
)
async def test_googles_client_knows_the_errors(
    simulated: Simulated, situation: Situation, code: int, status: str
) -> None:
    simulated.tell("gemini", situation)
    with pytest.raises(errors.APIError) as caught:
        await ask_gemini(simulated)
    assert (caught.value.code, caught.value.status) == (code, status)


async def test_googles_client_edits_with_pictures_in_its_own_spelling(simulated: Simulated) -> None:
    part = types.Part.from_bytes(data=PICTURE, mime_type="image/png")
    made = await gemini_client(simulated, "v1").aio.models.generate_content(
        model="gemini-3.1-flash-image",
        contents=types.Content(role="user", parts=[part, types.Part(text="a heron")]),
    )
    assert made.parts
    assert made.parts[-1].inline_data is not None
