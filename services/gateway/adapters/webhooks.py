"""Calls addresses that people have named: public networks alone, no detours, within limits."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Final

import aiohttp
from aiohttp.abc import AbstractResolver
from yarl import URL

from libs.runtime.guard import ForbiddenAddressError, GuardedResolver, check_public_url
from services.gateway.domain.webhooks import Outcome
from services.gateway.ports import Call, ForbiddenWebhookError, Webhooks

TOTAL_SECONDS: Final = 15.0
CONNECT_SECONDS: Final = 5.0
HEADER_BYTES_MAX: Final = 8_190
_INSIDE: Final = "it does not lead to the public internet"


class HttpWebhooks(Webhooks):
    """One client for the whole process, open inside of `opened()`.

    Each call resolves the name once, checks every address that it has, and connects to one of
    those: what a name means cannot change in between. No redirect is followed, and no answer read.
    """

    def __init__(self, *, allows_loopback: bool, resolver: AbstractResolver | None = None) -> None:
        """`resolver`: who knows names, if not the machine."""
        self._allows_loopback = allows_loopback
        self._names = resolver
        self._session: aiohttp.ClientSession | None = None

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[None]:
        resolver = GuardedResolver(self._names, allows_loopback=self._allows_loopback)
        async with aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=0, resolver=resolver, use_dns_cache=False, force_close=True
            ),
            timeout=aiohttp.ClientTimeout(total=TOTAL_SECONDS, sock_connect=CONNECT_SECONDS),
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
            max_line_size=HEADER_BYTES_MAX,
            max_field_size=HEADER_BYTES_MAX,
            headers={"User-Agent": "DayGen-Webhooks", "Content-Type": "application/json"},
        ) as session:
            self._session = session
            yield

    async def check(self, url: str) -> None:
        address = self._checked(url)
        resolver = GuardedResolver(self._names, allows_loopback=self._allows_loopback)
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                await resolver.resolve(address.host or "", address.port or 0)
        except ForbiddenAddressError as error:
            raise ForbiddenWebhookError(_INSIDE) from error
        except (OSError, ValueError) as error:
            raise ForbiddenWebhookError("its name is not known") from error

    async def send(self, call: Call) -> Outcome:
        if self._session is None:
            raise RuntimeError("the client is not open: enter opened() first")
        started = time.monotonic()

        def outcome(
            status: int | None, error: str | None, retry_after: timedelta | None = None
        ) -> Outcome:
            latency_ms = round((time.monotonic() - started) * 1000)
            return Outcome(
                status=status, error=error, latency_ms=latency_ms, retry_after=retry_after
            )

        try:
            address = self._checked(call.url)
            async with self._session.post(
                address, data=call.body, headers=call.headers, allow_redirects=False
            ) as answer:
                status = answer.status
                why = None if status < 300 else f"it answers {status}"
                if 300 <= status < 400:
                    why = f"it answers {status}, and redirects are not followed"
                return outcome(status, why, _retry_after(answer.headers.get("Retry-After")))
        except (ForbiddenWebhookError, ForbiddenAddressError, aiohttp.InvalidURL):
            return outcome(None, _INSIDE)
        except aiohttp.ClientConnectorError:
            return outcome(None, "no connection")
        except TimeoutError:
            return outcome(None, f"no answer within {TOTAL_SECONDS:g} s")
        except (aiohttp.ClientError, OSError, ValueError):
            return outcome(None, "the connection broke")

    def _checked(self, url: str) -> URL:
        try:
            address = check_public_url(url, allows_loopback=self._allows_loopback)
        except ForbiddenAddressError as error:
            raise ForbiddenWebhookError(_INSIDE) from error
        if address.scheme != "https" and not self._allows_loopback:
            raise ForbiddenWebhookError("it must begin with https://")
        if address.fragment:
            raise ForbiddenWebhookError("it may have no fragment")
        return address


def _retry_after(text: str | None) -> timedelta | None:
    """Seconds alone: of dates, clocks may think differently."""
    if text is None or not text.isascii() or not text.isdigit() or len(text) > 7:
        return None
    return timedelta(seconds=int(text))
