"""Pictures that come with requests: by every way they come, and whatever is not one refused."""

import base64
import hashlib
import io
import struct
import zlib
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from fastapi import FastAPI, Request, Response
from PIL import Image

from libs.events.generation import INPUT_ROLES, FailureCode
from libs.runtime.clock import SystemClock
from libs.runtime.testing_http import serving
from services.gateway.handlers.inputs import KEPT, InputSweeping
from services.gateway.tests.integration.conftest import Person, RunningGateway, Start
from services.gateway.tests.integration.test_jobs import failure, job_in

KONTEXT = {"provider": "flux", "model": "flux-kontext-pro", "prompt": "a fox"}


def picture(colour: str = "red", side: int = 8, form: str = "PNG") -> bytes:
    content = io.BytesIO()
    Image.new("RGB", (side, side), colour).save(content, form)
    return content.getvalue()


def bomb(side: int = 50_000) -> bytes:
    """A few bytes that say they are a huge picture."""
    head = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in (
            (b"IHDR", head),
            (b"IDAT", zlib.compress(b"\0" * 100_000)),
            (b"IEND", b""),
        )
    )


def data_url(content: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(content).decode()}"


async def ordered(gateway: RunningGateway, person: Person, **body: Any) -> list[bytes]:
    """The inputs of an accepted request, as generation would find them."""
    job_id = await person.start_job(**KONTEXT, **body)
    facts = await gateway.facts(job_id)
    assert len(facts.options[INPUT_ROLES]) == len(facts.input_keys)
    return [await gateway.stored(key) for key in facts.input_keys]


async def refused(gateway: RunningGateway, person: Person, status: int, **body: Any) -> str:
    """What a request is told that leaves nothing behind."""
    answer = await person.post("/api/jobs", {**KONTEXT, **body})
    assert answer.status_code == status, answer.text
    assert await gateway.value("SELECT count(*) FROM job") == 0
    assert await person.credits() == 20
    said = answer.json()
    assert said["error"] == said["message"]
    return str(said["message"])


async def test_pictures_come_as_data_urls_and_as_bare_text(gateway: RunningGateway) -> None:
    ada = await gateway.sign_up()
    red, blue = picture("red"), picture("blue", 300)
    broken = "\n".join(
        [base64.b64encode(blue).decode()[at : at + 76] for at in range(0, 9_999, 76)]
    )
    assert await ordered(gateway, ada, references=[data_url(red), broken]) == [red, blue]


async def test_a_large_picture_in_json_is_never_held(gateway: RunningGateway) -> None:
    ada = await gateway.sign_up()
    content = io.BytesIO()
    Image.effect_noise((2_000, 2_000), 90).save(content, "PNG")
    assert len(content.getvalue()) > 1_000_000
    assert await ordered(gateway, ada, input_image=data_url(content.getvalue())) == [
        content.getvalue()
    ]


async def test_equal_pictures_are_one_object_and_an_equal_request(gateway: RunningGateway) -> None:
    ada = await gateway.sign_up()
    body = {**KONTEXT, "references": [data_url(picture())]}
    first = await ada.post("/api/jobs", body, **{"Idempotency-Key": "k"})
    body["references"] = [base64.b64encode(picture()).decode()]
    again = await ada.post("/api/jobs", body, **{"Idempotency-Key": "k"})
    assert first.json()["jobId"] == again.json()["jobId"]
    body["references"] = [data_url(picture("blue"))]
    other = await ada.post("/api/jobs", body, **{"Idempotency-Key": "k"})
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")


async def test_a_form_brings_files(gateway: RunningGateway) -> None:
    ada = await gateway.sign_up()
    files = {"image": ("a.png", picture(), "image/png"), "mask": ("m.png", picture("white"))}
    data = {"prompt": "a fox", "seed": "7", "num_images": "2"}
    answer = await ada.send("/api/ideogram/edit", files, data, Prefer="respond-async")
    assert answer.status_code == 202, answer.text
    facts = await gateway.facts(UUID(answer.json()["jobId"]))

    assert facts.options == {"seed": 7, INPUT_ROLES: ["image", "mask"]}
    assert (facts.operation, facts.units) == ("edit", 2)
    assert [await gateway.stored(key) for key in facts.input_keys] == [picture(), picture("white")]


NOT_PICTURES = {
    "no text": 7,
    "no base64": "certainly not",
    "no picture": base64.b64encode(b"GET / HTTP/1.1").decode(),
    "empty": "data:image/png;base64,",
    "cut off": data_url(picture(side=64)[:-20]),
    "svg": "data:image/svg+xml,<svg/>",
    "no provider's": data_url(picture(form="GIF")),
    "bomb": data_url(bomb()),
    "file": "file:///etc/passwd",
}


async def test_what_is_no_picture_is_refused_before_any_charge(gateway: RunningGateway) -> None:
    ada = await gateway.sign_up()
    for name, content in NOT_PICTURES.items():
        said = await refused(gateway, ada, 400, references=[content])
        assert said.startswith("references is not an image we take: "), name


PROXY = "/api/upload/proxy-image"
INSIDE = (
    "http://127.0.0.1:1/x.png",
    "http://localhost:1/x.png",
    "http://10.1.2.3/x.png",
    "http://169.254.169.254/latest/meta-data",
    "http://[::1]/x.png",
    "http://[::ffff:10.0.0.1]/x.png",
    "http://[64:ff9b::a00:1]/x.png",
    "http://[fe80::1]/x.png",
    "http://[fd00:ec2::254]/latest/meta-data",
    "http://2130706433/x.png",
    "http://0x7f.1/x.png",
    "http://0.0.0.0/x.png",
    "http://100.64.0.1/x.png",
    "http://user:word@93.184.216.34/x.png",
    "http://[bad/x.png",
    "http://",
)


async def test_an_address_that_leads_inside_is_refused(gateway: RunningGateway) -> None:
    ada = await gateway.sign_up()
    for url in INSIDE:
        said = await refused(gateway, ada, 400, references=[url])
        assert said.endswith("it does not lead to the public internet"), (url, said)
        proxied = await ada.post(PROXY, {"url": url})
        assert (proxied.status_code, proxied.json()["code"]) == (400, "bad_image"), url


@pytest.fixture
async def site() -> AsyncIterator[str]:
    """Somebody's pictures, and what else lies on a site."""
    app = FastAPI()

    @app.get("/fox.png")
    async def fox() -> Response:
        return Response(picture("green"), media_type="text/plain")

    @app.get("/moved.png")
    async def moved() -> Response:
        return Response(status_code=302, headers={"Location": "/fox.png"})

    async with serving(app) as url:
        yield url


async def test_an_address_is_fetched_without_detours(start_gateway: Start, site: str) -> None:
    gateway = await start_gateway(loopback_references=True)
    ada = await gateway.sign_up()
    said = await refused(gateway, ada, 400, references=[f"{site}/moved.png"])
    assert said.endswith("it answers 302")
    said = await refused(gateway, ada, 400, references=[f"{site}/nowhere.png"])
    assert said.endswith("it answers 404")
    assert await ordered(gateway, ada, references=[f"{site}/fox.png"]) == [picture("green")]


async def test_a_picture_of_another_host_is_answered_by_value(
    start_gateway: Start, site: str
) -> None:
    gateway = await start_gateway(loopback_references=True)
    ada = await gateway.sign_up()
    fox = await ada.post(PROXY, {"url": f"{site}/fox.png"})
    assert (fox.status_code, fox.json()) == (
        200,
        {"success": True, "dataUrl": data_url(picture("green"))},
    )
    for path, said in (("moved.png", "it answers 302"), ("nowhere.png", "it answers 404")):
        answer = await ada.post(PROXY, {"url": f"{site}/{path}"})
        assert (answer.status_code, answer.json()["code"]) == (400, "bad_image")
        assert answer.json()["message"].endswith(said)
    for url in ("file:///etc/passwd", "data:image/png;base64,AAAA", "", "x" * 3_000, 7, None):
        assert (await ada.post(PROXY, {"url": url})).status_code == 400
    assert (await gateway.client.post(PROXY, json={"url": f"{site}/fox.png"})).status_code == 401
    assert await gateway.value("SELECT count(*) FROM job") == 0


async def test_our_own_pictures_come_from_the_gallery(start_gateway: Start) -> None:
    app = FastAPI()

    asked = []

    @app.get("/{path:path}")
    async def asset(path: str, request: Request) -> Response:
        asked.append((path, request.url.query))
        return Response(picture("yellow"), media_type="image/png")

    async with serving(app) as url:
        gateway = await start_gateway(gallery_url=url)
        ada = await gateway.sign_up()
        base = "https://daygen.test/assets"
        for trick in ("../health", "a/../../metrics", "%2e%2e/metrics", "a.png#b", "..", "", "/a"):
            await refused(gateway, ada, 400, references=[f"{base}/{trick}"])
        assert asked == []
        own = f"{base}/attempts/1.png"
        assert await ordered(gateway, ada, references=[own]) == [picture("yellow")]
        signed = f"{own}?expires=1&signature=a-b_c"
        assert await ordered(gateway, ada, references=[signed]) == [picture("yellow")]
        assert asked == [
            ("assets/attempts/1.png", ""),
            ("assets/attempts/1.png", "expires=1&signature=a-b_c"),
        ]


async def test_a_body_of_51_mb_is_refused_however_it_comes(gateway: RunningGateway) -> None:
    ada = await gateway.sign_up()
    said = await refused(gateway, ada, 413, references=["A" * 51_000_000])
    assert "at most" in said
    files = {"image": ("a.png", b"\0" * 51_000_000)}
    answer = await ada.send("/api/ideogram/upscale", files)
    assert (answer.status_code, answer.json()["code"]) == (413, "payload_too_large")

    async def unannounced() -> AsyncIterator[bytes]:
        yield b'{"prompt": "a fox", "references": ["'
        for _ in range(51):
            yield b"A" * 1_000_000
        yield b'"]}'

    answer = await gateway.client.post(
        "/api/image/gemini",
        content=unannounced(),
        headers={**ada.headers, "Content-Type": "application/json"},
    )
    assert (answer.status_code, answer.json()["code"]) == (413, "payload_too_large")


async def test_nothing_is_stored_for_whoever_would_be_refused(gateway: RunningGateway) -> None:
    ada = await gateway.sign_up()
    await gateway.run("UPDATE credit_account SET settled = 0")
    content = picture("purple", 31)
    answer = await ada.post("/api/jobs", {**KONTEXT, "references": [data_url(content)]})
    assert answer.status_code == 402
    digest = hashlib.sha256(content).hexdigest()
    assert [each.key async for each in gateway.objects.list("inputs/") if digest in each.key] == []


class Later(SystemClock):
    """Days from now."""

    def now(self) -> Any:
        return super().now() + KEPT + timedelta(days=1)


async def test_what_no_open_job_refers_to_is_swept(gateway: RunningGateway) -> None:
    ada = await gateway.sign_up()
    ended = await ada.start_job(**KONTEXT, references=[data_url(picture("cyan"))])
    working = await ada.start_job(**KONTEXT, references=[data_url(picture("pink"))])
    (gone,) = (await gateway.facts(ended)).input_keys
    (kept,) = (await gateway.facts(working)).input_keys
    await gateway.tell(*failure(await gateway.facts(ended), FailureCode.SERVER))
    await job_in(ada, ended, "FAILED")
    database = gateway.streams.database
    now = InputSweeping(database=database, objects=gateway.objects, clock=SystemClock())
    await now.sweep()
    assert await gateway.stored(gone)
    later = InputSweeping(database=database, objects=gateway.objects, clock=Later())
    await later.sweep()
    left = {each.key async for each in gateway.objects.list("inputs/")}
    assert kept in left
    assert gone not in left
