"""An answer of server-sent events: it lasts, ends with the server, and is not kept for nobody."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Final

import structlog
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from libs.runtime.errors import Unavailable
from libs.runtime.http.connections import connection_of

SEND_SECONDS: Final = 30.0
"""A reader takes what was sent within this time, or is dropped."""
_RECONNECT_MS: Final = 2_000
_HEADERS: Final = {
    "Cache-Control": "no-cache, no-transform",
    "X-Accel-Buffering": "no",  # a proxy that collects an answer would hold the events back
}

logger = structlog.get_logger(__name__)


class SlowReaderError(Exception):
    """Somebody does not read what they have asked for."""


class EventStream(StreamingResponse):
    """Writes events as they come, and no faster than they are read.

    What is not read yet lies in the connection's buffer, which is small; then the writer waits,
    and with it whoever makes the events. `on_end` is called once, however it ends.
    """

    def __init__(
        self,
        events: AsyncGenerator[bytes, None],
        *,
        on_end: Callable[[], None],
        send_seconds: float = SEND_SECONDS,
    ) -> None:
        super().__init__(events, media_type="text/event-stream", headers=_HEADERS)
        self._events = events
        self._on_end = on_end
        self._send_seconds = send_seconds
        self._is_started = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Write until there is nothing more, the reader has gone, or the server stops."""
        connection = connection_of(scope)
        writing = asyncio.create_task(self._write(send))
        leaving = asyncio.create_task(_left(receive))
        try:
            if connection is not None:
                connection.at_shutdown(leaving.cancel)  # who comes back resumes elsewhere
            await asyncio.wait({writing, leaving}, return_when=asyncio.FIRST_COMPLETED)
            leaving.cancel()
            if not writing.done():
                writing.cancel()
            await asyncio.wait({writing, leaving})
            if not writing.cancelled():
                writing.result()
            elif self._is_started:
                await self._send(send, b"", more_body=False)
        except SlowReaderError:
            logger.info("slow_reader_dropped", seconds=self._send_seconds)
            if connection is not None:
                connection.abort()
        finally:
            writing.cancel()
            leaving.cancel()
            self._on_end()

    async def _write(self, send: Send) -> None:
        start = {"status": self.status_code, "headers": self.raw_headers}
        await send({"type": "http.response.start", **start})
        self._is_started = True
        await self._send(send, b"retry: %d\n\n" % _RECONNECT_MS)
        async with aclosing(self._events) as events:
            try:
                async for event in events:
                    await self._send(send, event)
            except Unavailable as error:
                logger.warning("stream_broken_off", error=str(error))
        await self._send(send, b"", more_body=False)

    async def _send(self, send: Send, body: bytes, *, more_body: bool = True) -> None:
        try:
            async with asyncio.timeout(self._send_seconds):
                await send({"type": "http.response.body", "body": body, "more_body": more_body})
        except TimeoutError:
            raise SlowReaderError from None


async def _left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
