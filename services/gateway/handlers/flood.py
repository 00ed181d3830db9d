"""A high ceiling on all requests of a principal, counted in this process: against floods alone."""

from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from libs.runtime.clock import Clock
from services.gateway.domain.limits import Exceeded, Limit, spend
from services.gateway.handlers.errors import Flooded

PRINCIPALS_MAX: Final = 50_000


class FloodGate:
    """Counts requests by principal; those who have been quiet are forgotten."""

    def __init__(self, clock: Clock, limit: Limit) -> None:
        self._clock = clock
        self._limit = limit
        self._origin = clock.now()
        self._started_seconds = clock.monotonic()
        self._drained: dict[UUID, datetime] = {}

    def pass_one(self, principal_id: UUID) -> None:
        """Let a request through.

        Raises:
            Flooded: the principal has sent too many.
        """
        # The monotonic clock, in the shape of an instant.
        elapsed_seconds = self._clock.monotonic() - self._started_seconds
        now = self._origin + timedelta(seconds=elapsed_seconds)
        drained_at = self._drained.pop(principal_id, now)
        spent = spend(self._limit, drained_at, now)
        self._drained[principal_id] = (
            drained_at if isinstance(spent, Exceeded) else spent.drained_at
        )
        while len(self._drained) > PRINCIPALS_MAX:
            del self._drained[next(iter(self._drained))]  # the one not heard of for longest
        if isinstance(spent, Exceeded):
            raise Flooded(spent.retry_after.total_seconds())
