"""OpenAI's official client, unchanged, with other providers' models through our gateway."""

import base64
import io

import openai
import pytest
from PIL import Image

from tests.e2e.system import System

MODELS = ("chatgpt-image", "gemini-2.5-flash-image", "flux-pro-1.1", "ideogram")


def opened(text: str | None) -> Image.Image:
    assert text
    return Image.open(io.BytesIO(base64.b64decode(text)))


async def test_the_official_client_works_with_an_api_key_of_ours(system: System) -> None:
    url = f"{system.status()['gateway_url']}/v1"
    async with system.person() as person:
        key = (await person.call("POST", "/api/keys", json={"name": "a studio"}))["key"]
        async with openai.AsyncOpenAI(base_url=url, api_key=key) as client:
            offered = {each.id async for each in client.models.list()}
            assert offered.issuperset(MODELS)
            assert (await client.models.retrieve("flux-pro-1.1")).owned_by == "flux"
            for model in MODELS:
                made = await client.images.generate(model=model, prompt=f"a heron by {model}")
                assert made.data
                assert opened(made.data[0].b64_json).width > 1
            made = await client.images.generate(
                model="chatgpt-image",
                prompt="two herons",
                n=2,
                size="1024x1024",
                quality="auto",
                response_format="url",
            )
            assert made.data
            assert [each.b64_json for each in made.data] == [None, None]
            assert made.data[0].url
            kind, content = await person.download(made.data[0].url)
            assert kind.startswith("image/")
            drawn = io.BytesIO(content)
            drawn.name = "heron.png"
            changed = await client.images.edit(
                model="gemini-2.5-flash-image", image=drawn, prompt="the heron flies"
            )
            assert changed.data
            assert opened(changed.data[0].b64_json).width > 1
            await refusals(client, url)
        balance = await person.call("GET", "/api/credits/balance")
        assert balance["available"] == 10 - len(MODELS) - 2 - 1
        listed = (await person.call("GET", "/api/r2files"))["items"]
        assert len(listed) == len(MODELS) + 2 + 1


async def refusals(client: openai.AsyncOpenAI, url: str) -> None:
    """Each kind of refusal is the exception that programs catch."""
    with pytest.raises(openai.BadRequestError) as bad:
        await client.images.generate(model="chatgpt-image", prompt=" ")
    assert (bad.value.code, bad.value.param) == ("invalid_request", "prompt")
    assert bad.value.body["message"] == "Prompt is required"  # type: ignore[index]
    with pytest.raises(openai.UnprocessableEntityError) as gone:
        await client.images.generate(model="dall-e-3", prompt="a heron")
    assert gone.value.code == "retired_model"
    with pytest.raises(openai.NotFoundError):
        await client.models.retrieve("nothing")
    with pytest.raises(openai.BadRequestError):
        await client.images.edit(image=b"no picture", prompt="a heron", model="chatgpt-image")
    with pytest.raises(openai.APIStatusError) as poor:
        await client.images.generate(model="chatgpt-image", prompt="herons", n=8)
    assert (poor.value.status_code, poor.value.code) == (402, "insufficient_quota")
    async with openai.AsyncOpenAI(base_url=url, api_key="dg_nobody") as stranger:
        with pytest.raises(openai.AuthenticationError):
            await stranger.images.generate(model="chatgpt-image", prompt="a heron")
