"""The shared HTTP client of all adapters: deadlines, sizes, retries, tracing, guarded downloads."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from random import Random
from typing import Any, Self

import aiohttp
from msgspec import Struct
from yarl import URL

from libs.runtime.carriers import JsonReader, UnreadableError
from libs.runtime.guard import (
    Allowed,
    ForbiddenAddressError,
    GuardedResolver,
    check_url,
)
from libs.runtime.tracing import current_traceparent
from services.generation.adapters.http.bodies import Body
from services.generation.adapters.http.patience import Patience, is_worth_repeating, rest_hint
from services.generation.ports import ByteStream

CONNECT_SECONDS = 5.0
ANSWER_BYTES_MAX = 256 * 1024 * 1024
TEXT_BYTES_MAX = 2_000
REDIRECTS_MAX = 3
DOWNLOAD_SECONDS = 120.0
# An order on a connection that its server is just closing is an order of unknown outcome.
IDLE_SECONDS = 3.0


class CallFailed(Exception):
    """No answer came, or none that can be read. `is_sent`: the provider may have acted on it."""

    def __init__(self, reason: str, *, is_sent: bool, is_timeout: bool = False) -> None:
        super().__init__(reason)
        self.is_sent = is_sent
        self.is_timeout = is_timeout


class Unreadable(CallFailed):
    """What came was cut off, or is not what was asked for."""


class Call(Struct, frozen=True, kw_only=True):
    """One request to a provider."""

    method: str
    url: str
    headers: Mapping[str, str] = {}
    body: Body | None = None
    timeout_seconds: float = 30.0
    is_safe: bool = False  # it may be repeated: nothing is made or billed by it


class Answer(Struct, frozen=True, kw_only=True):
    """What came back. Long strings of the JSON lie in a file (`carriers.Carrier`)."""

    status: int
    headers: Mapping[str, str]  # names in lower case
    json: Any = None  # None if it is no JSON
    text: str = ""  # its beginning, for operators
    rest_seconds: float | None = None  # the provider wants to be left alone for so long


class ProviderHttp:
    """One for the whole process, to be used inside of `async with http.opened()`."""

    def __init__(
        self, *, random: Random, allows_loopback: bool = False, patience: Patience | None = None
    ) -> None:
        self._random = random
        self._allows_loopback = allows_loopback
        self._patience = patience or Patience()
        self._sessions: list[aiohttp.ClientSession] = []

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[Self]:
        """Connections for the life of the process; results come over ones that are guarded."""
        resolver = GuardedResolver(allows_loopback=self._allows_loopback)
        async with (
            _session(
                aiohttp.TCPConnector(limit=0, ttl_dns_cache=60, keepalive_timeout=IDLE_SECONDS)
            ) as api,
            _session(
                aiohttp.TCPConnector(
                    limit=0, resolver=resolver, use_dns_cache=False, keepalive_timeout=IDLE_SECONDS
                )
            ) as results,
        ):
            self._sessions = [api, results]
            yield self

    def _session(self, *, guarded: bool) -> aiohttp.ClientSession:
        return self._sessions[int(guarded)]

    async def send(
        self,
        call: Call,
        *,
        named_by: Allowed | None = None,
        is_final: Callable[[Answer], bool] = lambda _: False,
    ) -> Answer:
        """Send a call, more than once where that is safe and soon enough.

        With `named_by` the URL came from that provider, and must lead to it. `is_final` knows
        refusals that no repetition changes, although their status looks so.

        Raises:
            CallFailed: no answer that can be read.
        """
        if named_by is not None:
            _checked(call.url, named_by, allows_loopback=self._allows_loopback)
        give_up_at = time.monotonic() + self._patience.total_seconds
        tries = 0
        while True:
            tries += 1
            outcome = await self._outcome(call, guarded=named_by is not None)
            hint = None
            if isinstance(outcome, Answer):
                is_worth_it = is_worth_repeating(outcome.status, is_safe=call.is_safe)
                if not is_worth_it or is_final(outcome):
                    return outcome
                hint = outcome.rest_seconds
            elif isinstance(outcome, Unreadable) or (outcome.is_sent and not call.is_safe):
                raise outcome
            wait_seconds = self._patience.wait_seconds(tries, hint, self._random.random())
            if tries >= self._patience.tries or time.monotonic() + wait_seconds > give_up_at:
                if isinstance(outcome, CallFailed):
                    raise outcome
                return outcome
            await asyncio.sleep(wait_seconds)

    async def _outcome(self, call: Call, *, guarded: bool) -> Answer | CallFailed:
        try:
            return await self._send_once(call, guarded=guarded)
        except CallFailed as failure:
            return failure

    async def _send_once(self, call: Call, *, guarded: bool) -> Answer:
        session = self._session(guarded=guarded)
        is_sent = False
        sending = _Sending(call.body)
        try:
            async with session.request(
                call.method,
                call.url,
                headers=_headers({**call.headers, **sending.headers}),
                timeout=_limits(call.timeout_seconds),
                allow_redirects=False,
                data=sending.data,
            ) as response:
                is_sent = True
                return await _read(response)
        except ForbiddenAddressError as error:
            raise Unreadable(str(error), is_sent=False) from error
        except aiohttp.ClientConnectorError as error:
            raise CallFailed(f"no connection: {error}", is_sent=False) from error
        except aiohttp.ConnectionTimeoutError as error:
            raise CallFailed("no connection in time", is_sent=False, is_timeout=True) from error
        except TimeoutError as error:
            raise CallFailed("no answer in time", is_sent=True, is_timeout=True) from error
        except aiohttp.ClientPayloadError as error:
            raise Unreadable(f"the answer is cut off: {error}", is_sent=True) from error
        except (aiohttp.ClientError, OSError) as error:
            if sending.failure is not None:
                raise sending.failure from error  # it is ours: an input could not be read
            kind = Unreadable if is_sent else CallFailed
            raise kind(f"broken: {error!r}", is_sent=True) from error

    def download(self, url: str, allowed: Allowed) -> ByteStream:
        """A result, streamed from where its provider says it lies.

        Raises, as it is read:
            CallFailed: it cannot be had, or not from there.
        """
        return self._download(url, allowed)

    async def _download(self, text: str, allowed: Allowed) -> AsyncIterator[bytes]:
        url = _checked(text, allowed, allows_loopback=self._allows_loopback)
        tries = 0
        while True:
            tries += 1
            try:
                async with self._opened(url, allowed) as response:
                    async for chunk in response.content.iter_chunked(64 * 1024):
                        tries = self._patience.tries  # once begun, it is not begun again
                        yield chunk
                    return
            except Unreadable:
                raise
            except CallFailed:
                if tries >= self._patience.tries:
                    raise
            except aiohttp.ClientPayloadError as error:
                raise Unreadable(f"the result is cut off: {error}", is_sent=True) from error
            except (aiohttp.ClientError, OSError, TimeoutError) as error:
                if tries >= self._patience.tries:
                    is_timeout = isinstance(error, TimeoutError)
                    raise CallFailed(repr(error), is_sent=True, is_timeout=is_timeout) from error
            await asyncio.sleep(self._patience.wait_seconds(tries, None, self._random.random()))

    @asynccontextmanager
    async def _opened(self, url: URL, allowed: Allowed) -> AsyncIterator[aiohttp.ClientResponse]:
        for _ in range(REDIRECTS_MAX):
            try:
                response = await self._session(guarded=True).get(
                    url,
                    headers=_headers({}),
                    timeout=_limits(DOWNLOAD_SECONDS),
                    allow_redirects=False,
                )
            except ForbiddenAddressError as error:
                raise Unreadable(str(error), is_sent=False) from error
            async with response:
                target = response.headers.get("Location", "")
                if response.status in {301, 302, 303, 307, 308} and target:
                    joined = str(url.join(URL(target)))
                    url = _checked(joined, allowed, allows_loopback=self._allows_loopback)
                    continue
                if response.status == 200:
                    yield response
                    return
                if is_worth_repeating(response.status, is_safe=True):
                    raise CallFailed(f"the result answers {response.status}", is_sent=True)
                raise Unreadable(f"the result answers {response.status}", is_sent=True)
        raise Unreadable("the result is redirected too often", is_sent=True)


def _session(connector: aiohttp.TCPConnector) -> aiohttp.ClientSession:
    # Compressed answers are neither asked for nor unpacked: a small one could be a huge one.
    return aiohttp.ClientSession(
        connector=connector,
        auto_decompress=False,
        cookie_jar=aiohttp.DummyCookieJar(),
        trust_env=False,
    )


def _limits(total_seconds: float) -> aiohttp.ClientTimeout:
    return aiohttp.ClientTimeout(
        total=total_seconds, sock_connect=CONNECT_SECONDS, connect=CONNECT_SECONDS
    )


def _headers(own: Mapping[str, str]) -> dict[str, str]:
    headers = {"Accept-Encoding": "identity", "User-Agent": "DayGen", **own}
    if (traceparent := current_traceparent()) is not None:
        headers["traceparent"] = traceparent
    return headers


class _Sending:
    """One sending of a body; a fault of its own is remembered, for the connection hides it."""

    def __init__(self, body: Body | None) -> None:
        self.failure: Exception | None = None
        self.headers: dict[str, str] = {}
        self.data: bytes | ByteStream | None = None
        if body is not None:
            # Its length is known: servers take that more willingly than chunks.
            self.headers = {"Content-Type": body.content_type, "Content-Length": str(body.length)}
            self.data = body.whole if body.whole is not None else self._chunks(body)

    async def _chunks(self, body: Body) -> AsyncIterator[bytes]:
        try:
            async for chunk in body.chunks():
                yield chunk
        except Exception as error:
            self.failure = error
            raise


async def _read(response: aiohttp.ClientResponse) -> Answer:
    reader, text, read = JsonReader(), b"", 0
    is_json = True
    async for chunk in response.content.iter_chunked(64 * 1024):
        read += len(chunk)
        if read > ANSWER_BYTES_MAX:
            raise Unreadable("the answer is too large", is_sent=True)
        text = text or chunk[:TEXT_BYTES_MAX]
        try:
            if is_json:
                reader.feed(chunk)
        except UnreadableError:
            is_json = False
    headers = {name.lower(): value for name, value in response.headers.items()}
    try:
        value = reader.close() if is_json and read else None
    except UnreadableError:
        value = None
    return Answer(
        status=response.status,
        headers=headers,
        json=value,
        text=text.decode(errors="replace"),
        rest_seconds=rest_hint(headers, value, datetime.now(UTC)),
    )


def _checked(text: str, allowed: Allowed, *, allows_loopback: bool) -> URL:
    try:
        return check_url(text, allowed, allows_loopback=allows_loopback)
    except ForbiddenAddressError as error:
        raise Unreadable(str(error), is_sent=False) from error
