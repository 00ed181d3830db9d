"""An asset's object is closed however its answer ends; else the pool to storage would run dry."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from starlette.types import Message, Scope

from libs.events.testing import NOW
from libs.runtime.objects import ByteRange, ObjectBody, ObjectInfo, StorageUnavailable
from services.gallery.api.assets import AssetResponse
from services.gallery.domain.delivery import Delivery, Span
from services.gallery.ports import AssetSource

SIZE = 10
SCOPE: Scope = {"type": "http", "asgi": {"spec_version": "2.3"}}
WHOLE = Delivery(status=200, headers={"Content-Length": str(SIZE)}, sent=Span(0, SIZE - 1))


class WatchedSource(AssetSource):
    """Gives its object byte by byte, after `stops_after` not at all, and knows what is open."""

    def __init__(self, *, stops_after: int = SIZE, error: Exception | None = None) -> None:
        self.is_open = False
        self.was_opened = False
        self._stops_after = stops_after
        self._error = error

    @asynccontextmanager
    async def open(
        self, key: str, byte_range: ByteRange | None = None
    ) -> AsyncIterator[ObjectBody]:
        self.is_open = self.was_opened = True
        info = ObjectInfo(
            key=key,
            size_bytes=SIZE,
            content_type="image/png",
            cache_control=None,
            etag='"x"',
            modified_at=NOW,
        )
        try:
            yield ObjectBody(info=info, start=0, length_bytes=SIZE, chunks=self._chunks)
        finally:
            self.is_open = False

    async def _chunks(self) -> AsyncIterator[bytes]:
        for _ in range(self._stops_after):
            yield b"x"
        if self._error is not None:
            raise self._error
        if self._stops_after < SIZE:
            await asyncio.Event().wait()  # storage is slow: for ever


class Client:
    """The other end of the connection: leaves after so many messages, or stays."""

    def __init__(self, *, leaves_after: int | None = None) -> None:
        self.received: list[Message] = []
        self._leaves_after = leaves_after
        self._left = asyncio.Event()
        if leaves_after == 0:
            self._left.set()

    async def send(self, message: Message) -> None:
        self.received.append(message)
        if len(self.received) == self._leaves_after:
            self._left.set()

    async def receive(self) -> Message:
        await self._left.wait()
        return {"type": "http.disconnect"}

    @property
    def content(self) -> bytes:
        return b"".join(message.get("body", b"") for message in self.received)


def response(source: AssetSource) -> AssetResponse:
    return AssetResponse(source, "key", Span(0, SIZE - 1), WHOLE)


async def test_a_whole_answer_closes_the_object() -> None:
    source, client = WatchedSource(), Client()
    await response(source)(SCOPE, client.receive, client.send)
    assert client.content == b"x" * SIZE
    assert source.was_opened
    assert not source.is_open


@pytest.mark.parametrize("messages", [0, 1, 3])
async def test_a_client_that_leaves_early_closes_the_object(messages: int) -> None:
    source, client = WatchedSource(stops_after=5), Client(leaves_after=messages)
    async with asyncio.timeout(30):
        await response(source)(SCOPE, client.receive, client.send)
    assert len(client.content) < SIZE
    assert source.was_opened
    assert not source.is_open


async def test_storage_that_fails_half_way_closes_the_object_and_the_answer_stays_unfinished() -> (
    None
):
    source = WatchedSource(stops_after=3, error=StorageUnavailable("gone"))
    client = Client()
    with pytest.raises(StorageUnavailable):
        await response(source)(SCOPE, client.receive, client.send)
    assert client.received[-1]["more_body"]
    assert not source.is_open


async def test_a_server_that_stops_closes_the_object() -> None:
    source, client = WatchedSource(stops_after=2), Client()
    answering = asyncio.create_task(response(source)(SCOPE, client.receive, client.send))
    async with asyncio.timeout(30):
        while len(client.content) < 2:
            await asyncio.sleep(0)
    answering.cancel()
    with pytest.raises(asyncio.CancelledError):
        await answering
    assert not source.is_open


async def test_an_object_of_another_length_is_refused_before_the_first_byte() -> None:
    source, client = WatchedSource(), Client()
    longer = AssetResponse(source, "key", Span(0, SIZE), WHOLE)
    with pytest.raises(StorageUnavailable):
        await longer(SCOPE, client.receive, client.send)
    assert client.received == []
    assert not source.is_open
