"""FLUX tells by itself: whoever follows the job looks at once; what was told is not believed."""

import asyncio
import hashlib
import hmac
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from infra.simulators.scripts import Situation
from libs.events.generation import GenerationCompleted
from libs.runtime.errors import BadRequest, NotFound, Unauthorized
from services.generation.domain.capabilities import Polling
from services.generation.handlers.webhooks import Webhooks
from services.generation.tests.integration.conftest import RunningGeneration
from services.generation.tests.integration.stage import Stage
from services.generation.tests.integration.studio import Providers, providers_opened

SECRET = "between the two"
SELDOM = Polling(first_seconds=30.0, seconds_max=30.0)
BODY = b'{"id": "abc", "status": "Ready"}'


def signed(body: bytes, secret: str = SECRET) -> str:
    return f"sha256={hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()}"


@pytest.fixture
async def providers() -> AsyncIterator[Providers]:
    async for opened in providers_opened():
        yield opened


def webhooks(stage: Stage, secret: str = SECRET) -> Webhooks:
    return Webhooks(stage.streams.database, stage.streams.clock, {"flux": secret})


@asynccontextmanager
async def listening(stage: Stage, statuses: list[int]) -> AsyncIterator[str]:
    """What stands where the gateway and generation's route would."""
    receiver = webhooks(stage)

    async def receive(request: web.Request) -> web.Response:
        signature = request.headers["X-BFL-Signature"]
        await receiver.receive("flux", await request.read(), signature)
        statuses.append(200)
        return web.Response()

    app = web.Application()
    app.router.add_post("/api/flux/webhook", receive)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}/api/flux/webhook"
    await runner.cleanup()


@pytest.mark.parametrize("mark", [Situation.SUCCESS, Situation.DUPLICATE_WEBHOOK])
async def test_a_job_is_done_when_its_provider_says_so_not_when_it_is_next_asked(
    stage: Stage, providers: Providers, mark: str
) -> None:
    statuses: list[int] = []
    async with listening(stage, statuses) as url:
        stage.others["flux"] = providers.adapter(
            "flux", polling=SELDOM, webhook_url=url, webhook_secret=SECRET
        )
        await stage.offer()
        stage.worker()
        began = time.monotonic()
        prompt = f"a heron [[{mark}]] [[latency=2]]"
        facts = stage.facts(provider="flux", model="flux-1.1", units=1, options={}, prompt=prompt)
        await stage.ask(facts)
        (answer,) = await stage.answers(1)
        assert isinstance(answer, GenerationCompleted)
        assert time.monotonic() - began < SELDOM.first_seconds / 2
        expected = 2 if mark is Situation.DUPLICATE_WEBHOOK else 1
        async with asyncio.timeout(30):
            while len(statuses) < expected:
                await asyncio.sleep(0.02)
    assert len(await stage.rows("SELECT FROM webhook")) == 1
    assert len(await stage.answers()) == 1


async def test_a_call_that_proves_nothing_changes_nothing(stage: Stage) -> None:
    receiver = webhooks(stage)
    with pytest.raises(Unauthorized):
        await receiver.receive("flux", BODY, signed(BODY, "another"))
    with pytest.raises(Unauthorized):
        await webhooks(stage, "").receive("flux", BODY, signed(BODY, ""))
    with pytest.raises(NotFound):
        await receiver.receive("reve", BODY, signed(BODY))
    with pytest.raises(BadRequest):
        await receiver.receive("flux", b"{}", signed(b"{}"))
    assert await stage.rows("SELECT FROM webhook") == []


async def test_what_was_told_is_forgotten_after_a_day(stage: Stage) -> None:
    await webhooks(stage).receive("flux", BODY, signed(BODY))
    async with stage.streams.database.transaction() as transaction:
        await transaction.connection.execute(
            "UPDATE webhook SET received_at = received_at - interval '25 hours'"
        )
    other = b'{"id": "def"}'
    await webhooks(stage).receive("flux", other, signed(other))
    rows = await stage.rows("SELECT submission_id FROM webhook")
    assert [row["submission_id"] for row in rows] == ["def"]


async def test_the_route_answers_with_problems(generation: RunningGeneration) -> None:
    path = "/internal/webhooks/flux"
    refused = await generation.client.post(path, content=BODY)
    assert (refused.status_code, refused.json()["code"]) == (401, "unauthorized")
    large = await generation.client.post(path, content=bytes(1_000_001))
    assert large.status_code == 413
    unknown = await generation.client.post("/internal/webhooks/nobody", content=BODY)
    assert unknown.status_code == 404
