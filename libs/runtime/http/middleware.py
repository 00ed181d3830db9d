"""What happens around every request. Pure ASGI: a stream passes through untouched."""

import re
from collections.abc import Callable, Mapping
from random import Random
from typing import Any, Final

import structlog
from fastapi import HTTPException
from prometheus_client import CollectorRegistry, Counter, Histogram
from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from structlog.contextvars import unbind_contextvars

from libs.runtime.clock import Clock
from libs.runtime.http.problems import problem_response
from libs.runtime.ids import Ids
from libs.runtime.metrics import LATENCY_BUCKETS_SECONDS
from libs.runtime.tracing import Traceparent, tracing

REQUEST_ID_HEADER: Final = "X-Request-Id"
_REQUEST_ID: Final = re.compile(r"[A-Za-z0-9._:-]{8,128}")
_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_ASKING: Final = frozenset({"http", "websocket"})  # and not the server's own lifespan
_QUIET_ROUTES: Final = ("/health/", "/metrics")
_CLIENT_CLOSED_REQUEST: Final = 499  # no answer was sent; the log and the metrics need a number

logger = structlog.get_logger(__name__)


class HttpMetrics:
    """What every service counts of its requests."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.requests = Counter(
            "daygen_http_requests",
            "Requests by route template and status.",
            ("method", "route", "status"),
            registry=registry,
        )
        self.seconds = Histogram(
            "daygen_http_request_seconds",
            "Time from the request's head to the end of the answer.",
            ("method", "route"),
            buckets=LATENCY_BUCKETS_SECONDS,
            registry=registry,
        )
        # The library looks a child up under a lock; routes, methods and statuses are few.
        self._children: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}

    def count(self, method: str, route: str, status: int, seconds: float) -> None:
        """One request more."""
        children = self._children.get((method, route, status))
        if children is None:
            children = (
                self.requests.labels(method, route, str(status)),
                self.seconds.labels(method, route),
            )
            self._children[method, route, status] = children
        children[0].inc()
        children[1].observe(seconds)


class RequestContext:
    """Outermost: request id, trace, one log line and one count per request."""

    def __init__(
        self, app: ASGIApp, *, clock: Clock, ids: Ids, random: Random, metrics: HttpMetrics
    ) -> None:
        self._app = app
        self._clock = clock
        self._ids = ids
        self._random = random
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        request_id = self._request_id(headers)
        scope.setdefault("state", {})["request_id"] = request_id
        started = self._clock.monotonic()
        status = _CLIENT_CLOSED_REQUEST

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)[REQUEST_ID_HEADER] = request_id
            await send(message)

        with tracing(self._trace(headers), request_id=request_id):
            try:
                await self._app(scope, receive, send_with_id)
            finally:
                self._tell(scope, status, self._clock.monotonic() - started)
                # Bound by whoever authenticated the caller; connections are reused.
                unbind_contextvars("user_id", "workspace_id", "api_key_id")

    def _request_id(self, headers: Headers) -> str:
        sent = headers.get(REQUEST_ID_HEADER, "")
        return sent if _REQUEST_ID.fullmatch(sent) else str(self._ids.new())

    def _trace(self, headers: Headers) -> Traceparent:
        parent = Traceparent.parse(headers.get("traceparent"))
        return parent.child(self._random) if parent else Traceparent.new(self._random)

    def _tell(self, scope: Scope, status: int, seconds: float) -> None:
        method = scope["method"] if scope["method"] in _METHODS else "OTHER"
        route = route_template(scope)
        self._metrics.count(method, route, status, seconds)
        # Probes and scrapes come every few seconds for ever; only their failures are news.
        is_quiet = route.startswith(_QUIET_ROUTES) and status < 400
        log = logger.debug if is_quiet else logger.error if status >= 500 else logger.info
        code = scope["state"].get("error_code")
        log(
            "request",
            route=route,
            method=method,
            status=status,
            latency_ms=round(seconds * 1000, 1),
            **({"error_code": code} if code else {}),
        )


def route_template(scope: Mapping[str, Any]) -> str:
    """The matched route as it was written, never the address: that may hold ids or secrets."""
    # FastAPI keeps the template with an included router's prefix beside the route, not on it.
    context = scope.get("fastapi", {}).get("effective_route_context")
    template = getattr(context, "path_format", None) or getattr(scope.get("route"), "path", None)
    return template if isinstance(template, str) else "(none)"


class Cors(CORSMiddleware):
    """Lets the configured origins read, and under some addresses every origin, errors as well.

    What a page draws into a canvas is read from wherever the page lives.
    """

    def __init__(
        self, app: ASGIApp, *, open_to_all: tuple[str, ...], configured: Mapping[str, Any]
    ) -> None:
        super().__init__(app, **configured)
        self._open_to_all = open_to_all

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        is_open = scope["type"] == "http" and scope["path"].startswith(self._open_to_all)
        if not is_open or scope["method"] == "OPTIONS":
            await super().__call__(scope, receive, send)
            return

        async def send_open(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)["Access-Control-Allow-Origin"] = "*"
            await send(message)

        await self.app(scope, receive, send_open)


class ErrorBoundary:
    """Inside CORS, so that even the answer to a bug carries its headers."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        is_started = False

        async def send_watched(message: Message) -> None:
            nonlocal is_started
            is_started = True
            await send(message)

        try:
            await self._app(scope, receive, send_watched)
        except ClientDisconnect:
            return  # nobody is left to answer
        except Exception:
            logger.exception("request_failed", error_code="internal")
            if is_started:
                scope["state"]["error_code"] = "internal"
                raise  # the server must cut the connection: half an answer may not look whole
            await _internal_error(scope)(scope, receive, send)


def _internal_error(scope: Scope) -> ASGIApp:
    request_id = scope["state"]["request_id"]
    sentence = f"Something went wrong on our side; report it with the request id {request_id}."
    return problem_response(scope, 500, "internal", sentence)


class Door:
    """Lets nothing but health and metrics through while there is a reason to be closed."""

    def __init__(self, app: ASGIApp, *, why_closed: Callable[[], str | None]) -> None:
        self._app = app
        self._why_closed = why_closed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        app = self._app
        is_asked = scope["type"] in _ASKING and not scope["path"].startswith(_QUIET_ROUTES)
        if is_asked and (reason := self._why_closed()):
            app = problem_response(scope, 503, "history_unread", reason)
        await app(scope, receive, send)


class BodyLimit:
    """Counts the body as it streams in; a declared length that is too large is refused unread."""

    def __init__(self, app: ASGIApp, *, bytes_max: int, bytes_max_under: Mapping[str, int]) -> None:
        self._app = app
        self._bytes_max = bytes_max
        self._bytes_max_under = dict(bytes_max_under)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        bytes_max = self._limit(scope["path"])
        declared = Headers(scope=scope).get("content-length", "")
        if declared.isdigit() and int(declared) > bytes_max:
            await problem_response(scope, 413, "payload_too_large", _too_large(bytes_max))(
                scope, receive, send
            )
            return
        received = 0

        async def receive_counted() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > bytes_max:
                # The one exception that FastAPI lets through while it reads a body.
                raise HTTPException(413, _too_large(bytes_max))
            return message

        await self._app(scope, receive_counted, send)

    def _limit(self, path: str) -> int:
        for prefix, bytes_max in self._bytes_max_under.items():
            if path.startswith(prefix):
                return bytes_max
        return self._bytes_max


def _too_large(bytes_max: int) -> str:
    return f"The body is too large: at most {bytes_max} bytes are taken here."
