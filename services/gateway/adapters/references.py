"""Fetches pictures that clients name by their address: from public networks, without detours."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import aiohttp

from libs.runtime.guard import ForbiddenAddressError, GuardedResolver, check_public_url
from services.gateway.ports import References, UnreachableReferenceError

TOTAL_SECONDS: Final = 30.0
CONNECT_SECONDS: Final = 5.0
CHUNK_BYTES: Final = 64 * 1024

_INSIDE: Final = "it does not lead to the public internet"


class HttpReferences(References):
    """One client for the whole process, open inside of `opened()`.

    A name is resolved once, every address that it has is checked, and the connection goes to one
    of those: what a name means cannot change in between. No redirect is followed: that would be
    another address.
    """

    def __init__(self, *, allows_loopback: bool) -> None:
        self._allows_loopback = allows_loopback
        self._session: aiohttp.ClientSession | None = None

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[None]:
        resolver = GuardedResolver(allows_loopback=self._allows_loopback)
        async with aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=32, resolver=resolver, use_dns_cache=False),
            timeout=aiohttp.ClientTimeout(total=TOTAL_SECONDS, sock_connect=CONNECT_SECONDS),
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
            headers={"Accept": "image/*", "Accept-Encoding": "identity", "User-Agent": "DayGen"},
        ) as session:
            self._session = session
            yield

    async def fetch(self, url: str) -> AsyncIterator[bytes]:
        if self._session is None:
            raise RuntimeError("the client is not open: enter opened() first")
        try:
            address = check_public_url(url, allows_loopback=self._allows_loopback)
            async with self._session.get(address, allow_redirects=False) as answer:
                if answer.status != 200:
                    raise UnreachableReferenceError(f"it answers {answer.status}")
                async for chunk in answer.content.iter_chunked(CHUNK_BYTES):
                    yield chunk
        except (ForbiddenAddressError, aiohttp.InvalidURL) as error:  # such as 2130706433
            raise UnreachableReferenceError(_INSIDE) from error
        except aiohttp.ClientConnectorError as error:
            is_inside = isinstance(error.os_error, ForbiddenAddressError)
            raise UnreachableReferenceError(_INSIDE if is_inside else "no connection") from error
        except TimeoutError as error:
            raise UnreachableReferenceError("it takes too long") from error
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise UnreachableReferenceError("it cannot be read") from error
