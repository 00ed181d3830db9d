"""The circuit breaker of a provider: one that fails again and again is left alone for a while.

    closed    -> open       so many faults of the provider in a row
    open      -> half open  after a rest, twice as long each time
    half open -> closed     the call that was tried came through
    half open -> open       it did not

Only the provider's own faults count: a refused prompt shows that it works, a rate limit says
nothing. While it is open its jobs wait in the queue, as for any limit; nobody is refused for it.
"""

from datetime import datetime, timedelta

from msgspec import Struct

from libs.events.generation import FailureCode
from libs.events.operations import Circuit

FAULTS = frozenset({FailureCode.SERVER, FailureCode.TIMEOUT, FailureCode.AUTH, FailureCode.CREDIT})
SILENT = frozenset({FailureCode.RATE_LIMIT, FailureCode.BAD_OUTPUT, FailureCode.DEADLINE})
FAILURES_MAX = 10
FIRST_REST = timedelta(seconds=5)
REST_MAX = timedelta(minutes=5)


class Breaker(Struct, frozen=True, kw_only=True):
    """One provider's, as its row has it."""

    breaker: Circuit = Circuit.CLOSED
    failures: int = 0  # in a row
    openings: int = 0  # in a row
    retry_at: datetime | None = None


def after_failure(breaker: Breaker, code: FailureCode, now: datetime) -> Breaker:
    """What a failed call means for the next ones."""
    if code in SILENT:
        return breaker
    if code not in FAULTS:
        return after_success(breaker)
    failures = breaker.failures + 1
    is_probe = breaker.breaker is Circuit.HALF_OPEN
    if not is_probe and (failures < FAILURES_MAX or breaker.breaker is Circuit.OPEN):
        return Breaker(
            breaker=breaker.breaker,
            failures=failures,
            openings=breaker.openings,
            retry_at=breaker.retry_at,
        )
    openings = breaker.openings + 1
    rest = min(REST_MAX, FIRST_REST * 2 ** min(openings - 1, 10))
    return Breaker(breaker=Circuit.OPEN, failures=failures, openings=openings, retry_at=now + rest)


def after_success(breaker: Breaker) -> Breaker:
    """What a call that came through means: one from before the opening says nothing new."""
    return breaker if breaker.breaker is Circuit.OPEN else Breaker()
