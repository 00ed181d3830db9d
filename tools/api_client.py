"""A client of the gateway's public API, for the demo, the benches and the end-to-end tests."""

from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

import aiohttp

TIMEOUT_SECONDS = 120.0

Json = dict[str, Any]


class ApiError(Exception):
    """The gateway refused; the text is its own sentence."""

    def __init__(self, status: int, body: Json) -> None:
        super().__init__(str(body.get("message") or body))
        self.status = status
        self.body = body


class ApiClient:
    """One person's session with a gateway."""

    def __init__(self, gateway_url: str, *, connections_max: int = 100) -> None:
        self._url = gateway_url.rstrip("/")
        self._connections_max = connections_max
        self._session: aiohttp.ClientSession | None = None
        self._token: str | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=self._connections_max),
            timeout=aiohttp.ClientTimeout(total=TIMEOUT_SECONDS),
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._session is not None:
            await self._session.close()

    async def sign_up(self, email: str, password: str, display_name: str = "") -> Json:
        """Make a user and act as them from now on; answers the user object."""
        body = {"email": email, "password": password}
        if display_name:
            body["displayName"] = display_name
        answer = await self.call("POST", "/api/auth/signup", json=body)
        return self._act_as(answer)

    async def log_in(self, email: str, password: str) -> Json:
        """Act as an existing user from now on; answers the user object."""
        body = {"email": email, "password": password}
        return self._act_as(await self.call("POST", "/api/auth/login", json=body))

    async def call(
        self,
        method: str,
        path: str,
        *,
        json: Json | None = None,
        data: bytes | aiohttp.FormData | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Json:
        """A JSON answer.

        Raises:
            ApiError: the status is not 2xx.
            aiohttp.ClientError, TimeoutError: the gateway does not answer.
        """
        status, body = await self.answer(method, path, json=json, data=data, headers=headers)
        if status >= 400:
            raise ApiError(status, body)
        return body

    async def answer(
        self,
        method: str,
        path: str,
        *,
        json: Json | None = None,
        data: bytes | aiohttp.FormData | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> tuple[int, Json]:
        """Status and JSON body, whatever they are."""
        request = self._open().request(
            method,
            self._url + path,
            json=json,
            data=data,
            headers={**self._bearer(), **(headers or {})},
        )
        async with request as response:
            if "json" in response.headers.get("Content-Type", ""):
                return response.status, await response.json(content_type=None)
            return response.status, {"message": await response.text()}

    async def read(self, path: str) -> bytes:
        """The bytes of an answer, whatever their type.

        Raises:
            ApiError: the status is not 2xx.
        """
        async with self._open().get(self._url + path, headers=self._bearer()) as response:
            content = await response.read()
            if response.status >= 400:
                raise ApiError(response.status, await response.json(content_type=None))
            return content

    async def download(self, url: str) -> tuple[str, bytes]:
        """Content type and bytes of a public address, such as a picture's.

        Raises:
            ApiError: the status is not 2xx.
        """
        async with self._open().get(url) as response:
            content = await response.read()
            if response.status >= 400:
                raise ApiError(response.status, {"message": content.decode(errors="replace")})
            return response.headers.get("Content-Type", ""), content

    def _act_as(self, answer: Json) -> Json:
        self._token = answer["accessToken"]
        user: Json = answer["user"]
        return user

    def _bearer(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self._token}"} if self._token else {}

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            raise RuntimeError("use the client in an `async with` block")
        return self._session
