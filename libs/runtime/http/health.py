"""`/health/live`, `/health/ready` and `/metrics`: what an orchestrator and Prometheus ask for."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Final, TypeAlias

import structlog
from fastapi import APIRouter, Request
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from starlette.responses import Response

from libs.runtime.errors import DomainError
from libs.runtime.http.problems import problem_response
from libs.runtime.http.responses import JsonResponse

ReadyCheck: TypeAlias = Callable[[], Awaitable[None]]
"""Returns when its part works, raises when it does not."""

LiveCheck: TypeAlias = Callable[[], str | None]
"""Answers why only a new process can help; None as long as this one may. Asks nobody."""

CHECK_TIMEOUT_SECONDS: Final = 3.0

logger = structlog.get_logger(__name__)


def health_router(
    checks: Mapping[str, ReadyCheck],
    registry: CollectorRegistry,
    why_not_live: LiveCheck = lambda: None,
) -> APIRouter:
    """The three routes; they need no log-in and are not part of the public documentation."""
    router = APIRouter(include_in_schema=False)

    @router.get("/health/live")
    async def live(request: Request) -> Response:
        if reason := why_not_live():
            return problem_response(request.scope, 503, "not_live", reason)
        return JsonResponse({"status": "live"})

    @router.get("/health/ready")
    async def ready(request: Request) -> Response:
        reasons = await asyncio.gather(*(_why_not_ready(*check) for check in checks.items()))
        failed = {name: reason for name, reason in zip(checks, reasons, strict=True) if reason}
        if not failed:
            return JsonResponse({"status": "ready", "checks": list(checks)})
        return problem_response(
            request.scope,
            503,
            "not_ready",
            f"Not ready yet: {', '.join(failed)}.",
            details={"notReady": failed},
        )

    @router.get("/metrics")
    async def metrics() -> Response:
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)

    return router


async def _why_not_ready(name: str, check: ReadyCheck) -> str | None:
    """Nothing if the part works; else a short reason that gives nothing away."""
    try:
        async with asyncio.timeout(CHECK_TIMEOUT_SECONDS):
            await check()
    except DomainError as error:
        return error.message
    except TimeoutError:
        return "no answer in time"
    except Exception as error:  # noqa: BLE001  # whatever it is, the part is not ready
        logger.warning("not_ready", check=name, error=str(error))
        return type(error).__name__
    return None
