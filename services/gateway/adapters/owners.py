"""The other services over HTTP, by aiohttp: other clients were measured to cost far more."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Final

import aiohttp
from yarl import URL

from libs.events.names import Service
from services.gateway.ports import OwnerAnswer, OwnerCall, OwnerUnreachableError

CONNECT_SECONDS: Final = 2.0
SILENCE_SECONDS: Final = 15.0  # between two pieces of an answer; a long download may take its time
CONNECTIONS_MAX: Final = 200
CHUNK_BYTES: Final = 65_536


class _Answer:
    def __init__(self, owner: Service, response: aiohttp.ClientResponse) -> None:
        self._owner = owner
        self._response = response
        self.status = response.status
        self.headers: Mapping[str, str] = {
            name.lower(): value for name, value in response.headers.items()
        }

    async def chunks(self) -> AsyncIterator[bytes]:
        content = self._response.content.iter_chunked(CHUNK_BYTES)
        while True:
            try:
                chunk = await anext(content)
            except StopAsyncIteration:
                return
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                raise OwnerUnreachableError(self._owner) from error
            yield chunk


class HttpOwners:
    """Calls owners at their configured addresses. Open it inside the running event loop."""

    def __init__(self, urls: Mapping[Service, str]) -> None:
        self._urls = {owner: url.rstrip("/") for owner, url in urls.items()}
        self._session: aiohttp.ClientSession | None = None

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[None]:
        """The time in which calls can be made."""
        async with aiohttp.ClientSession(
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            connector=aiohttp.TCPConnector(limit=CONNECTIONS_MAX),
            timeout=aiohttp.ClientTimeout(
                total=None, sock_connect=CONNECT_SECONDS, sock_read=SILENCE_SECONDS
            ),
        ) as self._session:
            yield
        self._session = None

    @asynccontextmanager
    async def call(self, call: OwnerCall) -> AsyncIterator[OwnerAnswer]:
        """Send a request.

        Raises:
            OwnerUnreachableError: there is no answer.
        """
        if self._session is None:
            raise OwnerUnreachableError(call.owner)
        url = URL(self._urls[call.owner] + call.target, encoded=True)
        try:
            response = await self._session.request(
                call.method, url, headers=call.headers, data=call.body, allow_redirects=False
            )
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise OwnerUnreachableError(call.owner) from error
        async with response:
            yield _Answer(call.owner, response)
