"""What OpenAI's client is told of a job that exists: nothing after which it would order again."""

from collections.abc import AsyncIterator
from typing import Any

import openai
import pytest
from fastapi import FastAPI, Response
from fastapi.responses import StreamingResponse

from libs.runtime.testing_http import serving
from services.gateway.handlers.assets import INLINE_BYTES_MAX
from services.gateway.tests.integration.conftest import NOBODY_LISTENS, Start
from services.gateway.tests.integration.test_dialects import Studio

MODEL = "chatgpt-image"
ORDER = {"prompt": "a fox", "model": MODEL}


def breaking_off() -> FastAPI:
    """A gallery that ends in the middle of a picture."""
    app = FastAPI()

    async def half() -> AsyncIterator[bytes]:
        yield b"\x89PNG"
        raise ConnectionResetError

    @app.get("/assets/{key:path}")
    async def asset(key: str) -> Response:
        return StreamingResponse(half(), media_type="image/png")

    return app


def too_large() -> FastAPI:
    """A gallery whose pictures are not sent by value."""
    app = FastAPI()

    @app.get("/assets/{key:path}")
    async def asset(key: str) -> Response:
        return Response(b"\0" * (INLINE_BYTES_MAX + 1), media_type="image/png")

    return app


def overloaded() -> FastAPI:
    """A gallery that says to come again."""
    app = FastAPI()

    @app.get("/assets/{key:path}")
    async def asset(key: str) -> Response:
        return Response(status_code=429, headers={"retry-after": "1"})

    return app


@pytest.mark.parametrize("gallery", [None, breaking_off, too_large, overloaded])
async def test_a_picture_that_cannot_be_sent_by_value_is_paid_for_once(
    start_gateway: Start, gallery: Any
) -> None:
    async with serving(gallery() if gallery else FastAPI()) as url:
        gateway = await start_gateway(gallery_url=url if gallery else NOBODY_LISTENS)
        ada, studio = await gateway.sign_up(), Studio(gateway)
        client = openai.AsyncOpenAI(api_key=ada.token, base_url=f"{gateway.url}/v1", timeout=15)
        async with client:
            made, _ = await studio.served(client.images.generate(prompt="a fox", model=MODEL))
            assert made.data
            assert made.data[0].b64_json is None
            assert str(made.data[0].url).startswith("https://daygen.test/assets/")

            asked = client.images.generate(prompt="a fox", model=MODEL, response_format="b64_json")
            with pytest.raises(openai.APIStatusError) as caught:
                await studio.served(asked)
        assert await gateway.value("SELECT count(*) FROM job") == 2
        assert (caught.value.status_code, caught.value.code) == (502, "answer_unavailable")
        assert caught.value.response.headers["x-should-retry"] == "false"
        last = await gateway.value("SELECT job_id FROM job ORDER BY created_at DESC LIMIT 1")
        assert caught.value.body["jobId"] == str(last)  # type: ignore[index]


async def test_whoever_waits_for_too_long_is_told_of_the_job(start_gateway: Start) -> None:
    gateway = await start_gateway(wait_seconds=1)
    ada = await gateway.sign_up()
    answer = await ada.post("/v1/images/generations", ORDER)
    assert (answer.status_code, answer.headers["x-should-retry"]) == (504, "false")
    job_id = await gateway.value("SELECT job_id FROM job")
    assert answer.json()["error"]["jobId"] == str(job_id)


@pytest.mark.parametrize("name", ["response_format", "stream"])
@pytest.mark.parametrize("value", [[], {}, ["url"]])
async def test_nonsense_in_the_dialects_own_options_is_refused(
    start_gateway: Start, name: str, value: Any
) -> None:
    ada = await (await start_gateway()).sign_up()
    answer = await ada.post("/v1/images/generations", {**ORDER, name: value})
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, name)
