"""The application factory: everything around the routes, in the one right order."""

from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from random import Random
from typing import Any, Final

from fastapi import FastAPI
from msgspec import Struct, field
from prometheus_client import CollectorRegistry
from starlette.middleware import Middleware

from libs.events.names import Service
from libs.runtime.clock import Clock
from libs.runtime.http.docs import Document, add_documentation, own_document
from libs.runtime.http.health import LiveCheck, ReadyCheck, health_router
from libs.runtime.http.middleware import (
    REQUEST_ID_HEADER,
    BodyLimit,
    Cors,
    Door,
    ErrorBoundary,
    HttpMetrics,
    RequestContext,
)
from libs.runtime.http.openapi import document_problems
from libs.runtime.http.problems import install_problem_handlers
from libs.runtime.http.responses import JsonResponse
from libs.runtime.ids import Ids

_METHODS: Final = ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
_REQUEST_HEADERS: Final = (
    "Authorization",
    "Content-Type",
    "X-Requested-With",
    "Idempotency-Key",
    "Prefer",
    "Last-Event-ID",
)
_EXPOSED_HEADERS: Final = (
    "Location",
    "Retry-After",
    REQUEST_ID_HEADER,
    "RateLimit",
    "RateLimit-Policy",
)
_PREFLIGHT_AGE_SECONDS: Final = 600

Lifespan = Callable[[FastAPI], AbstractAsyncContextManager[None]]


class HttpOptions(Struct, frozen=True, kw_only=True):
    """What differs between services.

    Answers under `open_to_all` may be read from any origin: what is fetched without a log-in.
    `body_bytes_max_under` raises or lowers the limit for addresses with a prefix; first match wins.
    `document` answers what `/openapi.json` shows.
    """

    cors_origins: tuple[str, ...] = ()
    open_to_all: tuple[str, ...] = ()
    body_bytes_max: int = 1024 * 1024
    body_bytes_max_under: Mapping[str, int] = field(default_factory=dict)
    document: Document = own_document


def create_http_app(
    service: Service,
    *,
    clock: Clock,
    ids: Ids,
    random: Random,
    registry: CollectorRegistry,
    checks: Mapping[str, ReadyCheck],
    why_not_live: LiveCheck = lambda: None,
    why_closed: LiveCheck = lambda: None,
    lifespan: Lifespan | None = None,
    options: HttpOptions | None = None,
) -> FastAPI:
    """An application with health, metrics, documentation, errors, CORS, limits, logs: no routes.

    Order matters: the request's context is outside of everything, CORS outside of whatever can
    answer, and the boundary for bugs outside of the routes. FastAPI's own 500 would be outside of
    CORS, and a browser would then report it as a network failure.
    """
    options = options or HttpOptions()
    app = FastAPI(
        title=f"DayGen {service.value}",
        lifespan=lifespan,
        openapi_url=None,  # see docs.py
        redirect_slashes=False,
        default_response_class=JsonResponse,
        middleware=[
            Middleware(
                RequestContext, clock=clock, ids=ids, random=random, metrics=HttpMetrics(registry)
            ),
            Middleware(Cors, open_to_all=options.open_to_all, configured=_cors(options)),
            Middleware(ErrorBoundary),
            Middleware(Door, why_closed=why_closed),
            Middleware(
                BodyLimit,
                bytes_max=options.body_bytes_max,
                bytes_max_under=options.body_bytes_max_under,
            ),
        ],
    )
    install_problem_handlers(app)
    document_problems(app)
    add_documentation(app, options.document)
    app.include_router(health_router(checks, registry, why_not_live))
    return app


def _cors(options: HttpOptions) -> dict[str, Any]:
    return {
        "allow_origins": options.cors_origins,
        "allow_methods": _METHODS,
        "allow_headers": _REQUEST_HEADERS,
        "expose_headers": _EXPOSED_HEADERS,
        "max_age": _PREFLIGHT_AGE_SECONDS,
    }
