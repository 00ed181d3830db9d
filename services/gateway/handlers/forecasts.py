"""What can be said of jobs that have not ended: who is before them, and how long they may take."""

from datetime import timedelta
from typing import Final

from libs.runtime.clock import Clock
from libs.runtime.db import Database
from services.gateway.domain.forecasts import Forecast, Paces, remaining
from services.gateway.domain.jobs import Status
from services.gateway.store import forecasts as store
from services.gateway.store.jobs import OwnJob

OF_LATE: Final = timedelta(minutes=15)
ROWS_MAX: Final = 2_000
FRESH_SECONDS: Final = 5.0
AHEAD_MAX: Final = 1_000  # more are so many


class Forecasts:
    """Forecasts. Nothing is decided by them: each process remembers for some seconds."""

    def __init__(self, *, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._paces: Paces = {}
        self._stale_at = 0.0

    async def of(self, job: OwnJob) -> Forecast | None:
        """What can be said of a job now; nothing of one that has ended."""
        if job.state.is_final:
            return None
        now = self._clock.now()
        async with self._database.read() as connection:
            if self._clock.monotonic() >= self._stale_at:
                self._paces = await store.paces(connection, now - OF_LATE, ROWS_MAX)
                self._stale_at = self._clock.monotonic() + FRESH_SECONDS
            jobs_ahead = None
            if job.state.status is Status.PENDING:
                jobs_ahead = await store.ahead(
                    connection, job.provider, job.created_at, job.job_id, AHEAD_MAX
                )
        pace = self._paces.get((job.provider, job.model, job.operation))
        return Forecast(jobs_ahead=jobs_ahead, remaining=remaining(pace, now - job.created_at))
