"""The routes of providers' clients: requests as they send them, answers as they read them."""

import asyncio
import base64
from collections.abc import AsyncIterator, Awaitable
from typing import Any, TypeVar
from uuid import UUID

import httpx2
import pytest
from fastapi import FastAPI, Request, Response
from msgspec.structs import replace

from libs.events.billing import UsageOutcome
from libs.events.generation import FailureCode, GenerationRequested, RequestFacts
from libs.events.payload import Payload
from libs.events.testing import completed, stored_image
from libs.runtime.testing_http import serving
from services.gateway.tests import stories
from services.gateway.tests.integration.conftest import Person, RunningGateway, Start
from services.gateway.tests.integration.test_inputs import data_url, picture
from services.gateway.tests.integration.test_jobs import failure, job_in

Answer = TypeVar("Answer")
SECONDS = 60.0
PICTURE = b"\x89PNG not really"


@pytest.fixture
async def gateway(start_gateway: Start) -> AsyncIterator[RunningGateway]:
    """The gateway with a gallery that has every picture, and a generation that hears webhooks."""
    app = FastAPI()

    @app.get("/assets/{key:path}")
    async def asset(key: str) -> Response:
        is_there = "nowhere" not in key
        return Response(
            PICTURE if is_there else b"", 200 if is_there else 404, media_type="image/png"
        )

    @app.post("/internal/webhooks/flux")
    async def webhook(request: Request) -> Any:
        return {
            "signature": request.headers["x-bfl-signature"],
            "said": (await request.body()).decode(),
        }

    async with serving(app) as url:
        yield await start_gateway(gallery_url=url, generation_url=url)


def success(facts: RequestFacts, settled: int) -> list[Payload]:
    account_id, job_id = facts.account_id, facts.job_id
    images = tuple(
        stored_image(PICTURE, key=f"attempts/{job_id}/{number}.png")
        for number in range(facts.units)
    )
    answer = completed(facts, images=images, seed=7)
    if facts.operation == "describe":
        answer = replace(answer, images=(), texts=("a fox in the snow",), delivered_units=1)
    return [
        answer,
        stories.captured(account_id, job_id, version=100 - settled, settled=settled),
        stories.listed(account_id, job_id),
        stories.recorded(account_id, job_id, UsageOutcome.COMPLETED),
    ]


async def next_facts(gateway: RunningGateway, known: set[UUID]) -> RequestFacts:
    async with asyncio.timeout(SECONDS):
        while True:
            for each in await gateway.published():
                if isinstance(each, GenerationRequested) and each.job_id not in known:
                    known.add(each.job_id)
                    return each.request
            await asyncio.sleep(0.02)


class Studio:
    """Answers, while a client waits, as the services would."""

    def __init__(self, gateway: RunningGateway) -> None:
        self._gateway = gateway
        self._known: set[UUID] = set()
        self._settled = 90

    async def served(
        self, request: Awaitable[Answer], fails: FailureCode | None = None
    ) -> tuple[Answer, RequestFacts]:
        waiting = asyncio.ensure_future(request)
        facts_found = asyncio.ensure_future(next_facts(self._gateway, self._known))
        await asyncio.wait({waiting, facts_found}, return_when=asyncio.FIRST_COMPLETED)
        if waiting.done():
            facts_found.cancel()
            raise AssertionError(getattr(waiting.result(), "text", waiting.result()))
        facts = facts_found.result()
        self._settled -= 1
        told = (
            failure(facts, fails, version=100 - self._settled)
            if fails
            else success(facts, self._settled)
        )
        await self._gateway.tell(*told)
        return await waiting, facts


FILE = {"image": ("fox.png", picture(), "image/png")}
MASK = {"mask": ("mask.png", picture("white"), "image/png")}


async def test_ideogram_does_all_of_its_work_on_files(gateway: RunningGateway) -> None:
    ada, studio = await gateway.sign_up(), Studio(gateway)
    works: list[tuple[str, Any, dict[str, str], str, dict[str, Any]]] = [
        ("edit", FILE | MASK, {"prompt": "a fox", "num_images": "2"}, "edit", {}),
        ("reframe", FILE, {"resolution": "512x1536"}, "edit", {"method": "reframe"}),
        ("replace-background", FILE, {"prompt": "snow"}, "background", {"method": "replace"}),
        ("upscale", FILE, {"detail": "80"}, "upscale", {"resemblance": 60, "detail": 80}),
    ]
    for path, files, data, operation, options in works:
        answer, facts = await studio.served(ada.send(f"/api/ideogram/{path}", files, data))
        body = answer.json()
        assert answer.status_code == 200, answer.text
        assert (body["mimeType"], len(body["dataUrls"])) == ("image/png", facts.units)
        assert body["dataUrls"][0].startswith("https://daygen.test/assets/attempts/")
        assert (facts.provider, facts.operation) == ("ideogram", operation)
        assert options.items() <= facts.options.items()
    answer, facts = await studio.served(ada.send("/api/ideogram/describe", FILE, {}))
    assert answer.json()["descriptions"] == [{"text": "a fox in the snow"}]
    assert facts.options["model_version"] == "V_3"
    body = {"prompt": "a fox", "aspect_ratio": "16:9", "num_images": 2, "model": "ideogram"}
    answer, facts = await studio.served(ada.post("/api/ideogram/generate", body))
    assert (len(answer.json()["dataUrls"]), facts.options) == (2, {"aspect_ratio": "16:9"})


async def test_qwen_recraft_and_gemini_answer_as_their_clients_read(
    gateway: RunningGateway,
) -> None:
    ada, studio = await gateway.sign_up(), Studio(gateway)
    answer, facts = await studio.served(ada.post("/api/qwen/image", {"prompt": "a fox"}))
    assert facts.options == {"size": "1328*1328", "prompt_extend": True, "watermark": False}
    body = answer.json()
    assert body["dataUrl"].startswith("https://daygen.test/assets/")
    assert (body["contentType"], body["usage"]["image_count"]) == ("image/png", 1)

    data = {"prompt": "a fox", "watermark": "false", "seed": "7"}
    answer, facts = await studio.served(ada.send("/api/qwen/image-edit", FILE, data))
    assert (facts.model, facts.options["seed"], facts.options["watermark"]) == (
        "qwen-image-edit", 7, False,
    )  # fmt: skip
    assert answer.json()["dataUrl"]

    files = {"file": ("fox.png", picture(), "image/png")}
    answer, facts = await studio.served(
        ada.send("/api/image/recraft/variate", files, {"size": "1024x1024", "n": "2"})
    )
    items = answer.json()["items"]
    assert [each["url"] for each in items] == answer.json()["dataUrls"]
    assert items[0]["r2FileId"]
    assert (facts.operation, facts.units) == ("variate", 2)

    body = {"prompt": "a fox", "imageBase64": data_url(picture()), "mimeType": "image/png"}
    answer, facts = await studio.served(ada.post("/api/image/gemini", body))
    assert base64.b64decode(answer.json()["imageBase64"]) == PICTURE
    assert len(facts.input_keys) == 1


async def test_flux_is_ordered_polled_and_downloaded(gateway: RunningGateway) -> None:
    ada, bob = await gateway.sign_up(), await gateway.sign_up()
    body = {"prompt": "a fox", "model": "flux-pro-1.1", "useWebhook": False, "width": 1024}
    answer = await ada.post("/api/flux/generate", body)
    queued = answer.json()
    assert (answer.status_code, queued["status"], queued["model"]) == (
        200,
        "queued",
        "flux-pro-1.1",
    )
    facts = await gateway.facts(UUID(queued["id"]))
    assert facts.options == {"width": 1024, "output_format": "jpeg"}

    async def poll(person: Person, url: str) -> httpx2.Response:
        headers = person.headers
        return await gateway.client.get(
            "/api/flux/result", params={"pollingUrl": url}, headers=headers
        )

    waiting = (await poll(ada, queued["pollingUrl"])).json()
    assert (waiting["status"], waiting["result"]) == ("Queued", None)
    assert waiting["pollingUrl"] == queued["pollingUrl"]
    for url in (
        "", "https://api.bfl.ai/v1/get_result?id=1", queued["pollingUrl"] + "x",
        "http://127.0.0.1/api/jobs/" + queued["id"],
    ):  # fmt: skip
        assert (await poll(ada, url)).status_code == 400
    assert (await poll(bob, queued["pollingUrl"])).status_code == 400

    await gateway.tell(*success(facts, 19))
    await job_in(ada, facts.job_id, "COMPLETED")
    ready = (await poll(ada, queued["pollingUrl"])).json()
    assert ready["status"] == "Ready"
    sample = ready["result"]["sample"]

    async def download(url: str) -> httpx2.Response:
        return await gateway.client.get(
            "/api/flux/download", params={"url": url}, headers=ada.headers
        )

    loaded = (await download(sample)).json()
    assert loaded["contentType"] == "image/png"
    assert loaded["dataUrl"] == data_url(PICTURE)
    for url in ("", "http://169.254.169.254/", "https://daygen.test/api/auth/me"):
        assert (await download(url)).status_code == 400
    assert (await download("https://daygen.test/assets/nowhere.png")).status_code == 404

    refused = await ada.post("/api/flux/generate", {"prompt": "a fox"})
    assert (refused.status_code, refused.json()["error"]) == (400, "Model is required")
    refused = await ada.post("/api/flux/generate", {"prompt": "a fox", "model": "ideogram"})
    assert refused.status_code == 400


async def test_a_webhook_is_passed_on_as_it_is(
    gateway: RunningGateway, start_gateway: Start
) -> None:
    said = b'{"id": "1",  "status": "Ready"}'
    answer = await gateway.client.post("/api/flux/webhook", content=said)
    assert answer.status_code == 401
    headers = {"X-BFL-Signature": "sha256=00"}
    answer = await gateway.client.post("/api/flux/webhook", content=said, headers=headers)
    assert answer.json() == {"signature": "sha256=00", "said": said.decode()}
    alone = await start_gateway()
    answer = await alone.client.post("/api/flux/webhook", content=said, headers=headers)
    assert answer.status_code == 503


async def test_missing_parts_are_named_in_words_clients_know(gateway: RunningGateway) -> None:
    ada = await gateway.sign_up()
    missing: list[tuple[str, Any, dict[str, str], str]] = [
        ("/api/ideogram/edit", FILE | MASK, {}, "Prompt is required"),
        ("/api/ideogram/edit", MASK, {"prompt": "a fox"}, "Image file is required"),
        ("/api/ideogram/edit", FILE, {"prompt": "a fox"}, "Mask file is required"),
        ("/api/ideogram/reframe", FILE, {}, "Resolution is required"),
        ("/api/ideogram/describe", {"note": (None, "")}, {}, "Image file is required"),
        ("/api/qwen/image-edit", {"note": (None, "")}, {"prompt": "x"}, "Missing image file"),
        ("/api/qwen/image-edit", FILE, {}, "Missing prompt"),
        ("/api/qwen/image", {"note": (None, "")}, {}, "Missing prompt"),
        ("/api/ideogram/upscale", FILE, {"detail": "much"}, "detail must be a whole number"),
        (
            "/api/ideogram/upscale",
            FILE | {"virus": ("a.exe", b"MZ")},
            {},
            "virus is no file we know: leave it out",
        ),
    ]
    for path, files, data, text in missing:
        answer = await ada.send(path, files, data)
        assert (answer.status_code, answer.json()["error"]) == (400, text), path
    assert await gateway.value("SELECT count(*) FROM job") == 0


async def test_what_is_not_offered_says_so(gateway: RunningGateway) -> None:
    ada = await gateway.sign_up()
    body = {"prompt": "a fox"}
    for path in ("/api/image/grok", "/api/video/sora", "/api/chatgpt-image", "/api/unified-video"):
        answer = await ada.post(path, body)
        assert (answer.status_code, answer.json()["code"]) == (501, "not_offered"), path
    assert (await ada.post("/api/image/acme", body)).json()["error"] == "Unsupported provider: acme"
    answer = await ada.post("/api/image/chatgpt", {**body, "model": "gpt-image-1"})
    assert (answer.status_code, answer.json()["code"]) == (422, "retired_model")
    assert answer.json()["replacement"] == "gpt-image-1.5"
    # Gemini's client sends a request again that was answered with 400.
    for wrong in ({}, {"prompt": 7}, {**body, "references": ["x"]}):
        answer = await ada.post("/api/image/gemini", wrong)
        assert answer.status_code == 422, answer.text


async def test_a_film_is_never_waited_for(gateway: RunningGateway) -> None:
    ada = await gateway.sign_up()
    answer = await ada.post(
        "/api/video/runway",
        {"prompt": "a fox runs", "model": "gen4_turbo", "input_image": data_url(picture()),
         "providerOptions": {"duration": 5}},
    )  # fmt: skip
    assert answer.status_code == 202, answer.text
    facts = await gateway.facts(UUID(answer.json()["jobId"]))
    assert (facts.operation, facts.unit_credits, facts.options["duration"]) == ("video", 5, 5)


async def test_a_failed_runway_task_is_422_with_its_error(gateway: RunningGateway) -> None:
    ada, studio = await gateway.sign_up(), Studio(gateway)
    body = {"prompt": "a fox", "model": "runway-gen4", "references": []}
    answer, _ = await studio.served(ada.post("/api/image/runway", body), FailureCode.SERVER)
    assert answer.status_code == 422
    assert answer.json()["details"] == {"error": "The provider said no."}
