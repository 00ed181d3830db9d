"""Black Forest Labs' own client against our simulator."""

import asyncio
import base64
import warnings
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.routing import Mount

from infra.simulators.app import Studio
from infra.simulators.scripts import Situation
from infra.simulators.tests.integration.simulated import PICTURE, Simulated, fetched, size_of
from libs.runtime.testing_http import serving

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # of Pydantic, at its import
    from blackforest import BFLClient
    from blackforest.client import BFLError
    from blackforest.types.general.client_config import ClientConfig

WAITING = ClientConfig(sync=True, timeout=10, polling_interval=0.1)
BASE64 = base64.b64encode(PICTURE).decode()


@pytest.fixture
async def flux() -> AsyncIterator[Simulated]:
    """At the root, too: the client knows no path in front of `/v1`."""
    studio = Studio()
    routes = studio.simulators["flux"].all_routes()
    app = Starlette(routes=[*routes, Mount("/flux", routes=routes)])
    async with serving(app) as url:  # type: ignore[arg-type]  # any ASGI application
        yield Simulated(studio, url)


async def generate(flux: Simulated, model: str, inputs: dict[str, Any], key: str = "any") -> Any:
    """What its client answers; it blocks."""
    client = BFLClient(api_key=key, base_url=flux.url)
    try:
        return await asyncio.to_thread(partial(client.generate, model, inputs, config=WAITING))
    finally:
        client.session.close()


@pytest.mark.parametrize(
    ("model", "inputs", "size"),
    [
        ("flux-pro-1.1", {"prompt": "a heron", "width": 512, "height": 768}, (512, 768)),
        ("flux-pro-1.1", {"image_prompt": BASE64, "prompt": "a heron"}, (1024, 768)),
        ("flux-dev", {"prompt": "a heron", "steps": 28, "guidance": 3}, (1024, 768)),
        ("flux-pro-1.1-ultra", {"prompt": "a heron", "aspect_ratio": "1:1"}, (1024, 1024)),
        ("flux-kontext-pro", {"prompt": "at night", "input_image": BASE64}, (1024, 768)),
        ("flux-kontext-pro", {"prompt": "x", "aspect_ratio": "16:9"}, (1365, 768)),
        ("flux-pro-1.0-fill", {"prompt": "a boat", "image": BASE64, "mask": BASE64}, None),
        ("flux-pro-1.0-expand", {"prompt": "more lake", "image": BASE64, "left": 128}, None),
    ],
)
async def test_its_client_orders_and_fetches(
    flux: Simulated, model: str, inputs: dict[str, Any], size: tuple[int, int] | None
) -> None:
    answer = await generate(flux, model, {"seed": 7, "output_format": "png", **inputs})
    assert set(answer.result) >= {"sample", "prompt", "seed"}
    made = await fetched(answer.result["sample"])
    assert made.startswith(b"\x89PNG")
    assert size is None or size_of(made) == size


async def test_its_client_asks_until_it_is_ready(flux: Simulated) -> None:
    config = ClientConfig(sync=True, timeout=10, polling_interval=0.2)
    client = BFLClient(api_key="any", base_url=flux.url)
    order = partial(client.generate, "flux-dev", {"prompt": "a heron [[latency=0.5]]"}, config)
    answer = await asyncio.to_thread(order)
    status = await asyncio.to_thread(client.get_task_status, answer.id)
    client.session.close()
    assert (status.status, status.result) == ("Ready", answer.result)


@pytest.mark.parametrize(
    ("situation", "status"),
    [
        (Situation.BAD_REQUEST, "422"),
        (Situation.AUTH, "403"),
        (Situation.CREDIT, "402"),
        (Situation.RATE_LIMIT, "429"),
        (Situation.SERVER, "503"),
    ],
)
async def test_its_client_raises_what_is_refused(
    flux: Simulated, situation: Situation, status: str
) -> None:
    flux.tell("flux", situation)
    with pytest.raises(BFLError, match=status):
        await generate(flux, "flux-dev", {"prompt": "a heron"})


async def test_its_client_needs_a_key(flux: Simulated) -> None:
    with pytest.raises(BFLError, match="403"):
        await generate(flux, "flux-dev", {"prompt": "a heron"}, key="wrong")
