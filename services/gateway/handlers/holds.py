"""Watches the open holds. They have no clock of their own, so an overdue one is an alarm."""

from collections.abc import Iterator
from datetime import timedelta

import structlog
from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from libs.runtime.clock import Clock
from libs.runtime.db import Database, DatabaseUnavailable
from services.gateway.store import holds
from services.gateway.store.holds import OpenHolds

TICK_SECONDS = 5.0
ALARM_AGAIN_SECONDS = 60.0
# Beyond a job's deadline: generation ends it then, and the ledger has to hear of it and answer.
MARGIN = timedelta(minutes=2)

logger = structlog.get_logger(__name__)


class HoldWatch(Collector):
    """Counts what every replica sees alike; no figures while the database cannot be asked."""

    def __init__(self, *, database: Database, clock: Clock, registry: CollectorRegistry) -> None:
        self._database = database
        self._clock = clock
        self._measured: OpenHolds | None = None
        self._alarm_at = 0.0
        registry.register(self)

    def collect(self) -> Iterator[Metric]:
        measured = self._measured
        if measured is None:
            return
        figures = (
            ("open_holds", "Credits set aside for what has not ended.", measured.open),
            ("open_hold_age_seconds", "Since the oldest was opened.", self._age(measured)),
            ("overdue_holds", "Open long after the deadline. Alarm if not 0.", measured.overdue),
        )
        for name, text, value in figures:
            yield GaugeMetricFamily(f"daygen_{name}", text, value)

    async def run(self) -> None:
        """Count until cancelled."""
        while True:
            try:
                await self.measure()
            except DatabaseUnavailable:
                self._measured = None  # told often enough by those who need it
            except Exception:
                self._measured = None
                logger.exception("holds_not_measured")
            await self._clock.sleep(TICK_SECONDS)

    async def measure(self) -> OpenHolds:
        """Count once, and say so when a hold should have closed."""
        async with self._database.read() as connection:
            measured = await holds.measure(connection, due_before=self._clock.now() - MARGIN)
        self._measured = measured
        if not measured.overdue:
            self._alarm_at = 0.0
        elif self._clock.monotonic() >= self._alarm_at:
            self._alarm_at = self._clock.monotonic() + ALARM_AGAIN_SECONDS
            age = round(self._age(measured))
            logger.error("holds_overdue", holds=measured.overdue, oldest_seconds=age)
        return measured

    def _age(self, measured: OpenHolds) -> float:
        if measured.oldest is None:
            return 0.0
        return max(0.0, (self._clock.now() - measured.oldest).total_seconds())
