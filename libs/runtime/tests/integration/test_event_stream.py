"""Long answers over real connections: read, not read, left, and ended by the server."""

import asyncio
import socket
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager, suppress

import httpx2
from fastapi import FastAPI
from msgspec import Struct

from libs.runtime.http.event_stream import EventStream
from libs.runtime.testing_http import serving

CHUNK = b": " + b"x" * 1_000 + b"\n\n"


class Endless(Struct):
    """What an answer without an end has done so far."""

    made: int = 0
    ended: int = 0

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        while True:
            self.made += 1
            yield CHUNK
            await asyncio.sleep(0)

    def end(self) -> None:
        self.ended += 1

    def app(self, send_seconds: float = 60.0) -> FastAPI:
        app = FastAPI()

        @app.get("/", response_model=None)
        async def follow() -> EventStream:
            return EventStream(self.chunks(), on_end=self.end, send_seconds=send_seconds)

        return app


@asynccontextmanager
async def lazy(url: str) -> AsyncIterator[socket.socket]:
    """A client that has asked, and reads nothing."""
    host, port = url.removeprefix("http://").split(":")
    loop = asyncio.get_running_loop()
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        client.setblocking(False)
        await loop.sock_connect(client, (host, int(port)))
        await loop.sock_sendall(client, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        yield client


async def test_who_does_not_read_is_cut_off_and_keeps_little() -> None:
    endless = Endless()
    app = endless.app(send_seconds=0.5)
    async with serving(app) as url, lazy(url) as client, asyncio.timeout(30):
        while not endless.ended:  # of another connection's task
            await asyncio.sleep(0.05)
        # What lies in the buffers of process and kernel, and nothing on top of it.
        assert endless.made * len(CHUNK) < 10_000_000
        # The process has thrown away what it still had: it does not wait for it to be taken.
        assert await _received(client) < endless.made - 10
    assert endless.ended == 1


async def test_who_leaves_ends_the_answer() -> None:
    endless = Endless()
    async with serving(endless.app()) as url, asyncio.timeout(30):
        async with httpx2.AsyncClient() as client, client.stream("GET", url) as answer:
            await anext(answer.aiter_bytes())
        while not endless.ended:  # as above
            await asyncio.sleep(0.05)
    assert endless.ended == 1


async def test_a_server_that_stops_ends_its_answers_whole() -> None:
    endless = Endless()
    read = 0
    async with httpx2.AsyncClient() as client, asyncio.timeout(30):
        async with serving(endless.app()) as url:
            answer = await client.send(client.build_request("GET", url), stream=True)
            reading = asyncio.create_task(_size(answer))
            while endless.made < 10:
                await asyncio.sleep(0.05)
        read = await reading  # which raises if the answer was cut off
    assert read > len(CHUNK)
    assert endless.ended == 1


async def _size(answer: httpx2.Response) -> int:
    return sum([len(chunk) async for chunk in answer.aiter_bytes()])


async def _received(client: socket.socket) -> int:
    """How many chunks come until the connection's end."""
    received = b""
    with suppress(ConnectionResetError):
        while data := await asyncio.get_running_loop().sock_recv(client, 2**20):
            received += data
    return received.count(b": x")
