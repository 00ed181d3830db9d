"""Watches the queue of thumbnails. They are made behind all other work, so it may grow."""

from collections.abc import Iterator
from typing import Final

import structlog
from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from libs.runtime.clock import Clock
from libs.runtime.db import Database, DatabaseUnavailable
from services.gallery import store
from services.gallery.store import ThumbnailWork

TICK_SECONDS: Final = 5.0
ROWS_MAX: Final = 100_000  # past this number it matters no more how many

logger = structlog.get_logger(__name__)


class ThumbnailWatch(Collector):
    """Counts what every replica sees alike; no figures while the database cannot be asked."""

    def __init__(self, *, database: Database, clock: Clock, registry: CollectorRegistry) -> None:
        self._database = database
        self._clock = clock
        self._measured: ThumbnailWork | None = None
        registry.register(self)

    def collect(self) -> Iterator[Metric]:
        measured = self._measured
        if measured is None:
            return
        figures = (
            ("rows", "Pictures whose thumbnail is to be made.", measured.waiting),
            ("age_seconds", "Since the picture came whose turn it is.", self._age(measured)),
        )
        for name, text, value in figures:
            yield GaugeMetricFamily(f"daygen_gallery_thumbnail_queue_{name}", text, value)

    async def run(self) -> None:
        """Count until cancelled."""
        while True:
            try:
                await self.measure()
            except DatabaseUnavailable:
                self._measured = None  # told often enough by those who need it
            except Exception:
                self._measured = None
                logger.exception("thumbnails_not_measured")
            await self._clock.sleep(TICK_SECONDS)

    async def measure(self) -> ThumbnailWork:
        """Count once."""
        async with self._database.read() as connection:
            self._measured = await store.measure_thumbnail_work(
                connection, self._clock.now(), ROWS_MAX
            )
        return self._measured

    def _age(self, measured: ThumbnailWork) -> float:
        if measured.next_since is None:
            return 0.0
        return max(0.0, (self._clock.now() - measured.next_since).total_seconds())
