"""Limits in headers: `RateLimit`, `RateLimit-Policy` and `Retry-After`.

Source: IETF draft httpapi-ratelimit-headers-10; both fields are lists of structured fields (RFC
9651), one item for each limit that binds the caller.
"""

import math
from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Final

from fastapi import FastAPI, Request
from starlette.responses import Response

from libs.runtime.http import STATUS_OF, problem_response
from services.gateway.domain.limits import (
    DAY,
    MINUTE,
    Allowance,
    Kind,
    Measure,
    Policy,
    until_tomorrow,
)
from services.gateway.handlers.errors import RateLimited

_WINDOW_SECONDS: Final = {
    Measure.REQUESTS: MINUTE // timedelta(seconds=1),
    Measure.CREDITS: DAY // timedelta(seconds=1),
    Measure.TOKENS: DAY // timedelta(seconds=1),
}


def headers_of(allowances: Sequence[Allowance], now: datetime) -> dict[str, str]:
    """What the limits leave at an instant; how busy a provider is, is nobody's affair."""
    tomorrow_in = math.ceil(until_tomorrow(now).total_seconds())
    shown = [each for each in allowances if each.subject.kind is not Kind.PROVIDER]
    return {
        "RateLimit-Policy": ", ".join(_policies(each.subject.kind, each.policy) for each in shown),
        "RateLimit": ", ".join(_states(each, now, tomorrow_in) for each in shown),
    }


def install_rate_limit_handler(app: FastAPI) -> None:
    """Answer refusals by a limit with the state of all limits."""
    app.add_exception_handler(RateLimited, _on_rate_limited)


async def _on_rate_limited(request: Request, error: Exception) -> Response:
    assert isinstance(error, RateLimited)  # noqa: S101  # registered for this class alone
    return problem_response(
        request.scope,
        STATUS_OF[error.kind],
        error.code,
        error.message,
        details=error.details,
        headers={
            "Retry-After": str(max(1, math.ceil(error.retry_after_seconds))),
            **headers_of(error.allowances, error.at),
        },
    )


@lru_cache(maxsize=1_000)
def _policies(kind: Kind, policy: Policy) -> str:
    """`q` is the quota of a window of `w` seconds, counted in `qu`."""
    return ", ".join(
        f'"{kind.value}-{measure.value}";q={policy.quota(measure)}'
        f';w={_WINDOW_SECONDS[measure]};qu="{measure.value}"'
        for measure in policy.measures
    )


def _states(allowance: Allowance, now: datetime, tomorrow_in: int) -> str:
    """`r` is left of the quota, which is whole again in `t` seconds."""
    kind = allowance.subject.kind.value
    drains_in = max(0, math.ceil((allowance.meter.drained_at - now).total_seconds()))
    return ", ".join(
        f'"{kind}-{measure.value}";r={allowance.remaining(measure, now)}'
        f";t={drains_in if measure is Measure.REQUESTS else tomorrow_in}"
        for measure in allowance.policy.measures
    )
