"""A service behind a real HTTP server, in the test's own process."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from random import Random

import httpx2
import uvicorn
from fastapi import FastAPI
from msgspec import Struct

from libs.events.bus import KafkaBus
from libs.events.names import Service
from libs.runtime.clock import SystemClock
from libs.runtime.http.connections import HttpProtocol, WebSocketProtocol
from libs.runtime.ids import SystemIds
from libs.runtime.service import Parts

START_SECONDS = 20.0


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals stay pytest's."""
        yield


@contextlib.asynccontextmanager
async def serving(app: FastAPI) -> AsyncIterator[str]:
    """Serve as long as the block lasts; answers the address."""
    listening = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(
        app,
        http=HttpProtocol,
        ws=WebSocketProtocol,
        ws_max_size=65_536,
        ws_per_message_deflate=False,
        lifespan="on",
        log_config=None,
        access_log=False,
    )
    server = _Server(config)
    task = asyncio.create_task(server.serve(sockets=[listening]))
    try:
        async with asyncio.timeout(START_SECONDS):
            while not server.started:
                if task.done():
                    task.result()
                    raise RuntimeError("The application ended while it was starting: read its log.")
                await asyncio.sleep(0.01)
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        server.should_exit = True
        await task
        listening.close()


class Reached(Struct, frozen=True):
    """A service as its neighbours see it: an address, and the topics that they share with it."""

    url: str
    client: httpx2.AsyncClient
    bus: KafkaBus


@contextlib.asynccontextmanager
async def reached(
    create: Callable[[Parts], FastAPI], service: Service, bootstrap: str, *, prefix: str
) -> AsyncIterator[Reached]:
    """Run a service on real Kafka, under a topic prefix, as long as the block lasts."""
    clock, random = SystemClock(), Random()  # noqa: S311  # jitter, not secrets
    bus = KafkaBus(bootstrap, client_id=service.value, prefix=prefix)
    others = KafkaBus(bootstrap, client_id="others", prefix=prefix)
    parts = Parts(clock=clock, random=random, ids=SystemIds(clock, random), bus=bus)
    limits = httpx2.Limits(max_connections=100)
    try:
        async with (
            serving(create(parts)) as url,
            httpx2.AsyncClient(base_url=url, limits=limits, timeout=60) as client,
        ):
            await _until_ready(client)
            yield Reached(url, client, others)
    finally:
        await others.close()


async def _until_ready(client: httpx2.AsyncClient) -> None:
    async with asyncio.timeout(START_SECONDS):
        while (await client.get("/health/ready")).status_code != 200:  # noqa: ASYNC110  # a test's
            await asyncio.sleep(0.02)
