"""Deletes what losing attempts have stored: under `attempts/`, and nobody else's objects."""

from datetime import datetime, timedelta

import structlog

from libs.runtime.clock import Clock
from libs.runtime.db import Database
from libs.runtime.objects import ObjectStore
from services.generation.domain.jobs import attempt_prefix, next_sweep
from services.generation.handlers.metrics import Metrics
from services.generation.store import sweeps
from services.generation.store.sweeps import Sweep

BATCH = 100
SWEEP_CHANNEL = "sweep"

logger = structlog.get_logger(__name__)


class Sweeping:
    """Attempts that lost are noted in the database; a crash in the middle repeats a sweep."""

    def __init__(
        self,
        *,
        database: Database,
        objects: ObjectStore,
        clock: Clock,
        metrics: Metrics,
        sweep_delay: timedelta,
    ) -> None:
        self._database = database
        self._objects = objects
        self._clock = clock
        self._metrics = metrics
        self._sweep_delay = sweep_delay

    async def next_at(self) -> datetime | None:
        """When the next attempt is to be swept."""
        async with self._database.read() as connection:
            return await sweeps.next_sweep(connection)

    async def work(self) -> None:
        """Delete the objects of all attempts whose time has come.

        Raises:
            StorageUnavailable: what was not swept comes again after the delay.
        """
        while await self._sweep_some() == BATCH:
            pass

    async def _sweep_some(self) -> int:
        again_at = self._clock.now() + self._sweep_delay
        async with self._database.transaction() as transaction:
            taken = await sweeps.take_sweeps(
                transaction.connection, now=self._clock.now(), again_at=again_at, limit=BATCH
            )
        if not taken:
            return 0
        for attempt in taken:
            await self._delete(attempt)
        now = self._clock.now()
        async with self._database.transaction() as transaction:
            await sweeps.swept(
                transaction.connection,
                [(each.id, next_sweep(each.state, each.sweeps + 1, now)) for each in taken],
                again_at,
            )
        return len(taken)

    async def _delete(self, attempt: Sweep) -> None:
        prefix = attempt_prefix(attempt.job_id, attempt.id)
        keys = [each.key async for each in self._objects.list(prefix)]
        if keys:
            await self._objects.delete(keys)
            self._metrics.swept.inc(len(keys))
            logger.info("attempt_swept", job_id=str(attempt.job_id), objects=len(keys))
