"""What simulators do on demand: fates, results that expire, webhooks."""

import asyncio
import hashlib
import hmac
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from infra.simulators.app import NAMES, Studio
from libs.runtime.testing_http import serving

KEY = {"x-key": "any"}
SECRET = "between the two"


class Client:
    """Speaks to the simulators as a provider's customer would."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self._session = session
        self.url = url

    async def call(self, method: str, path: str, **more: Any) -> tuple[int, Any]:
        url = path if "://" in path else f"{self.url}{path}"
        async with self._session.request(method, url, **more) as response:
            is_json = response.content_type == "application/json"
            return response.status, await response.json() if is_json else await response.read()

    async def order(self, prompt: str, **more: Any) -> tuple[int, Any]:
        body = {"prompt": prompt, **more}
        return await self.call("POST", "/flux/v1/flux-dev", json=body, headers=KEY)

    async def state(self, polling_url: str) -> dict[str, Any]:
        _, told = await self.call("GET", polling_url, headers=KEY)
        return dict(told)


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    async with (
        serving(Studio().app()) as url,  # type: ignore[arg-type]  # any ASGI application
        aiohttp.ClientSession() as session,
    ):
        yield Client(session, url)


async def test_a_mark_a_header_and_the_control_route_decide_a_fate(client: Client) -> None:
    assert (await client.order("[[credit]] a heron"))[0] == 402
    told = {"json": {"prompt": "x"}, "headers": {**KEY, "X-Simulate": "server; latency=0"}}
    assert (await client.call("POST", "/flux/v1/flux-dev", **told))[0] == 503
    next_two = {"situation": "rate_limit", "times": 2}
    assert (await client.call("POST", "/control/flux", json=next_two))[0] == 204
    assert [(await client.order("a heron"))[0] for _ in range(3)] == [429, 429, 200]
    for_all = {"situation": "credit", "times": 0}
    await client.call("POST", "/control/flux", json=for_all)
    assert [(await client.order("a heron"))[0] for _ in range(2)] == [402, 402]
    _, shown = await client.call("GET", "/control/flux")
    assert [each["situation"] for each in shown["calls"]][-3:] == ["success", "credit", "credit"]
    await client.call("DELETE", "/control/flux")
    assert (await client.order("a heron"))[0] == 200


@pytest.mark.parametrize("body", [{"situation": "rain"}, {"wind": 3}, {"times": "many"}])
async def test_what_is_no_fate_is_refused(client: Client, body: dict[str, Any]) -> None:
    status, problem = await client.call("POST", "/control/openai", json=body)
    assert (status, problem["error"]) == (400, "bad_request")
    status, problem = await client.call("POST", "/control/nobody", json={})
    assert (status, NAMES[0] in problem["message"]) == (404, True)


async def test_every_simulator_wants_a_key(client: Client) -> None:
    paths = {
        "openai": "/v1/images/generations",
        "gemini": "/v1beta/models/gemini-3.1-flash-image:generateContent",
        "flux": "/v1/flux-dev",
        "ideogram": "/v1/ideogram-v3/generate",
        "recraft": "/v1/images/generations",
        "reve": "/v1/image/create",
        "seedream": "/api/v3/images/generations",
        "qwen": "/api/v1/services/aigc/multimodal-generation/generation",
        "runway": "/v1/text_to_image",
        "luma": "/dream-machine/v1/generations/image",
    }
    assert set(paths) == set(NAMES)
    for name, path in paths.items():
        status, _ = await client.call("POST", f"/{name}{path}", json={"prompt": "x"})
        assert status in {400, 401, 403}, name


async def test_a_result_expires(client: Client) -> None:
    _, kept = await client.order("a heron")
    _, gone = await client.order("a heron [[expires=0]]")
    sample = (await client.state(kept["polling_url"]))["result"]["sample"]
    status, content = await client.call("GET", sample)
    assert (status, content[:3]) == (200, b"\xff\xd8\xff")
    sample = (await client.state(gone["polling_url"]))["result"]["sample"]
    assert (await client.call("GET", sample))[0] == 403


async def test_a_task_takes_its_time_or_for_ever(client: Client) -> None:
    _, slow = await client.order("a heron [[latency=0.3]]")
    _, never = await client.order("a heron [[never]]")
    assert (await client.state(slow["polling_url"]))["status"] == "Pending"
    await asyncio.sleep(0.35)
    assert (await client.state(slow["polling_url"]))["status"] == "Ready"
    assert (await client.state(never["polling_url"]))["status"] == "Pending"
    unknown = f"{client.url}/flux/v1/get_result?id=unknown"
    assert (await client.state(unknown))["status"] == "Task not found"


@pytest.mark.parametrize(("mark", "times"), [("success", 1), ("duplicate_webhook", 2)])
async def test_a_webhook_is_signed_and_may_come_twice(
    client: Client, mark: str, times: int
) -> None:
    came: asyncio.Queue[tuple[bytes, str]] = asyncio.Queue()

    async def receive(request: web.Request) -> web.Response:
        await came.put((await request.read(), request.headers["X-BFL-Signature"]))
        return web.Response()

    app = web.Application()
    app.router.add_post("/hook", receive)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    hook = f"http://127.0.0.1:{runner.addresses[0][1]}/hook"
    status, told = await client.order(
        f"a heron [[{mark}]]", webhook_url=hook, webhook_secret=SECRET
    )
    assert (status, "polling_url" in told, told["webhook_url"]) == (200, False, hook)
    for _ in range(times):
        body, signature = await asyncio.wait_for(came.get(), 30)
        digest = hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
        assert signature == f"sha256={digest}"
        assert told["id"].encode() in body
    await runner.cleanup()
    assert came.empty()
