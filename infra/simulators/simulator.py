"""What all simulators share: fates of orders, files that expire, answers that go wrong."""

import asyncio
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4
from zlib import crc32

from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from infra.simulators import drawings, pictures, videos
from infra.simulators.inputs import NoPictureError, marks_of
from infra.simulators.scripts import Script, Scripts, Situation

CALLS_KEPT = 200
FILES_KEPT = 4_000
LOOK_SECONDS = 0.1
HTML = b"<!doctype html><html><body>Bad gateway</body></html>"
MEDIA = {
    "png": "image/png", "jpeg": "image/jpeg", "webp": "image/webp", "svg": "image/svg+xml",
    "mp4": "video/mp4",
}  # fmt: skip

Handler = Callable[[Request], Awaitable[Response]]


class Refusal(Exception):
    """An order ends here, with this answer."""

    def __init__(self, response: Response) -> None:
        super().__init__(response.status_code)
        self.response = response


@dataclass(frozen=True, slots=True)
class File:
    """A result that lies at a URL for a while."""

    content: bytes
    media_type: str
    expires_at: float
    is_truncated: bool


@dataclass(slots=True)
class Task:
    """An order that is worked on while its sender asks about it."""

    script: Script
    ready_at: float
    result: dict[str, Any] = field(default_factory=dict)
    is_cancelled: bool = False

    @property
    def is_ready(self) -> bool:
        return self.script.situation is not Situation.NEVER and time.monotonic() >= self.ready_at


class Simulator(ABC):
    """One provider. A subclass has its routes, and its refusals in its own words."""

    name = ""

    def __init__(self) -> None:
        self.scripts = Scripts()
        self.calls: deque[dict[str, Any]] = deque(maxlen=CALLS_KEPT)
        self.tasks: dict[str, Task] = {}
        self._files: dict[str, File] = {}

    @abstractmethod
    def routes(self) -> list[Route]:
        """Its own paths."""

    @abstractmethod
    def refusal(self, situation: Situation, script: Script) -> Response:
        """Its answer to an order that it does not take."""

    def is_authorised(self, request: Request) -> bool:
        """Whether a key was sent where this provider wants it. Any will do, save `wrong`."""
        scheme, _, key = request.headers.get("authorization", "").partition(" ")
        return scheme == "Bearer" and key not in {"", "wrong"}

    def all_routes(self) -> list[Route]:
        """With those of its results."""
        return [
            *(Route(each.path, self._guarded(each.endpoint), methods=list(each.methods or ()))
              for each in self.routes()),
            Route("/files/{token}", self._file, methods=["GET", "HEAD"]),
        ]  # fmt: skip

    def _guarded(self, endpoint: Handler) -> Handler:
        async def handle(request: Request) -> Response:
            try:
                if not self.is_authorised(request):
                    return self.refusal(Situation.AUTH, Script())
                return await endpoint(request)
            except Refusal as refusal:
                return refusal.response

        return handle

    async def begin(
        self,
        request: Request,
        prompt: str,
        body: object,
        *,
        refuses: frozenset[Situation],
        inputs: Sequence[bytes] = (),
    ) -> Script:
        """Note an order, wait as its fate says, and refuse it if that is its fate.

        Raises:
            Refusal: it is; or an input is no picture.
        """
        try:
            marks = " ".join((prompt, *map(marks_of, inputs)))
        except NoPictureError:
            raise Refusal(self.refusal(Situation.BAD_REQUEST, Script())) from None
        script = self.scripts.take(request.headers, marks)
        self.calls.append(
            {
                "path": request.url.path,
                "traceparent": request.headers.get("traceparent"),
                "body": body if len(str(body)) < 4_000 else "(long)",
                "situation": script.situation,
            }
        )
        if script.situation is Situation.TIMEOUT:
            await _until_hung_up(request)
        if script.situation in refuses:
            raise Refusal(self.refusal(script.situation, script))
        return script

    @staticmethod
    async def wait(script: Script) -> None:
        """Take as long as the order's fate says, for one that is answered in the call."""
        await asyncio.sleep(script.latency_seconds)

    def picture(
        self, script: Script, width: int, height: int, form: str, prompt: str, number: int = 0
    ) -> bytes:
        """The bytes of a picture, or what comes in its place."""
        if script.situation is Situation.WRONG_TYPE:
            return HTML
        variation = (crc32(prompt.encode()) + number) % pictures.VARIATIONS
        if form == "svg":
            return drawings.draw(self.name, width, height, variation)
        if form == "mp4":
            return videos.draw(self.name, width, height, variation)
        drawn = pictures.draw(self.name, width, height, form, variation)
        is_short = form == "png" and len(drawn) < script.size_bytes
        return pictures.padded(drawn, int(script.size_bytes)) if is_short else drawn

    def publish(self, request: Request, script: Script, content: bytes, form: str) -> str:
        """Put a result behind a URL that expires."""
        token = uuid4().hex
        is_html = script.situation is Situation.WRONG_TYPE
        self._files[token] = File(
            content,
            "text/html" if is_html else MEDIA[form],
            time.monotonic() + script.expires_seconds,
            script.situation is Situation.TRUNCATED,
        )
        while len(self._files) > FILES_KEPT:
            del self._files[next(iter(self._files))]
        return f"{self.address(request)}/files/{token}.{form}?sig={token[:8]}"

    def address(self, request: Request) -> str:
        """Where the sender sees this simulator."""
        return f"{request.url.scheme}://{request.headers['host']}/{self.name}"

    def add_task(self, script: Script) -> str:
        """Begin on an order; it takes as long as its fate says."""
        task_id = str(uuid4())
        self.tasks[task_id] = Task(script, time.monotonic() + script.latency_seconds)
        while len(self.tasks) > FILES_KEPT:
            del self.tasks[next(iter(self.tasks))]
        return task_id

    async def _file(self, request: Request) -> Response:
        file = self._files.get(request.path_params["token"].partition(".")[0])
        if file is None or time.monotonic() > file.expires_at:
            return Response("<Error><Code>AccessDenied</Code></Error>", 403)
        if file.is_truncated:
            return truncated(file.content, file.media_type)
        return Response(file.content, media_type=file.media_type)


async def _until_hung_up(request: Request) -> None:
    while not await request.is_disconnected():  # noqa: ASYNC110  # a request has no event for it
        await asyncio.sleep(LOOK_SECONDS)


def truncated(
    content: bytes, media_type: str, headers: Mapping[str, str] | None = None
) -> Response:
    """An answer that promises more than it brings, and then hangs up."""

    async def half() -> AsyncIterator[bytes]:
        yield content[: len(content) // 2]

    promised = {**(headers or {}), "content-length": str(len(content))}
    return StreamingResponse(half(), media_type=media_type, headers=promised)


def answer(
    script: Script, body: dict[str, Any], headers: Mapping[str, str] | None = None
) -> Response:
    """A JSON answer, cut off if that is the order's fate."""
    response = JSONResponse(body, headers=dict(headers or {}))
    if script.situation is Situation.TRUNCATED:
        return truncated(bytes(response.body), "application/json", headers)
    return response


def with_rest(response: Response, situation: Situation, script: Script) -> Response:
    """With how long to wait, where that is why it was refused."""
    if situation is Situation.RATE_LIMIT:
        response.headers["retry-after"] = f"{script.retry_after_seconds:g}"
    return response
