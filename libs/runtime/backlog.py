"""What a service has yet to do, as its tables tell: counted by a slow tick, apart from all work.

Each of a service's replicas counts the same tables: take the greatest figure, never the sum.
"""

from collections.abc import Iterator
from datetime import datetime
from uuid import UUID

import structlog
from msgspec import Struct
from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from libs.runtime.clock import Clock
from libs.runtime.db import Database, DatabaseUnavailable

TICK_SECONDS = 5.0
WAITING_SECONDS_MAX = 60.0
ALARM_AGAIN_SECONDS = 60.0

# The queue of a long outage is long: past this number it matters no more how long.
ROWS_MAX = 100_000
MEASURE = f"""
    SELECT (SELECT count(*) FROM (SELECT FROM outbox_pending LIMIT {ROWS_MAX}) AS row_)
               AS outbox_rows,
           (SELECT event_id
              FROM (SELECT order_number FROM outbox_pending ORDER BY order_number LIMIT 99) AS few
              JOIN outbox USING (order_number)
             WHERE event_id IS NOT NULL ORDER BY order_number LIMIT 1) AS oldest_event,
           (SELECT count(*) FROM parked WHERE resolved_at IS NULL) AS parked_rows,
           (SELECT count(*) FROM (SELECT FROM waiting LIMIT {ROWS_MAX}) AS row_) AS waiting_rows,
           (SELECT waiting_since FROM waiting ORDER BY sequence LIMIT 1) AS waiting_since
"""  # noqa: S608  # a number of our own

logger = structlog.get_logger(__name__)


class Measured(Struct, frozen=True, kw_only=True):
    """Rows, and how long the oldest of them has been there."""

    outbox_rows: int = 0
    outbox_age_seconds: float = 0.0
    parked_rows: int = 0
    waiting_rows: int = 0
    waiting_age_seconds: float = 0.0


class BacklogMetrics(Collector):
    """The last figures; none while the database cannot be asked, rather than old ones."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.measured: Measured | None = None
        registry.register(self)

    def collect(self) -> Iterator[Metric]:
        measured = self.measured
        if measured is None:
            return
        figures = (
            ("outbox_rows", "Events that are written and not yet published.", measured.outbox_rows),
            (
                "outbox_age_seconds",
                "Time since the oldest unpublished event was made.",
                measured.outbox_age_seconds,
            ),
            ("parked_rows", "Messages set aside and not resolved.", measured.parked_rows),
            ("waiting_rows", "Inputs that wait for what they need.", measured.waiting_rows),
            (
                "waiting_age_seconds",
                "How long the oldest input has waited. Alarm above 60.",
                measured.waiting_age_seconds,
            ),
        )
        for name, text, value in figures:
            yield GaugeMetricFamily(f"daygen_{name}", text, value)


class Backlog:
    """Counts, and says so when something has waited for too long."""

    def __init__(self, *, database: Database, clock: Clock, metrics: BacklogMetrics) -> None:
        self._database = database
        self._clock = clock
        self._metrics = metrics
        self._alarm_at = 0.0

    async def run(self) -> None:
        """Count until cancelled."""
        while True:
            try:
                await self.measure()
            except DatabaseUnavailable:
                self._metrics.measured = None  # told often enough by those who need it
            except Exception:
                self._metrics.measured = None
                logger.exception("backlog_not_measured")
            await self._clock.sleep(TICK_SECONDS)

    async def measure(self) -> Measured:
        """Count once."""
        async with self._database.read() as connection:
            row = await connection.fetchrow(MEASURE)
        if row is None:
            raise LookupError("a query without a FROM has always one row")
        oldest: UUID | None = row["oldest_event"]
        measured = Measured(
            outbox_rows=row["outbox_rows"],
            outbox_age_seconds=0.0 if oldest is None else self._age_of(oldest),
            parked_rows=row["parked_rows"],
            waiting_rows=row["waiting_rows"],
            waiting_age_seconds=self._since(row["waiting_since"]),
        )
        self._metrics.measured = measured
        self._alarm(measured)
        return measured

    def _age_of(self, event_id: UUID) -> float:
        """The outbox keeps no time: the id of an event (UUIDv7) begins with its milliseconds."""
        made_ms = event_id.int >> 80
        return max(0.0, self._clock.now().timestamp() - made_ms / 1000)

    def _since(self, moment: datetime | None) -> float:
        if moment is None:
            return 0.0
        return max(0.0, (self._clock.now() - moment).total_seconds())

    def _alarm(self, measured: Measured) -> None:
        if measured.waiting_age_seconds <= WAITING_SECONDS_MAX:
            self._alarm_at = 0.0
        elif self._clock.monotonic() >= self._alarm_at:
            self._alarm_at = self._clock.monotonic() + ALARM_AGAIN_SECONDS
            logger.error(
                "waiting_too_long",
                rows=measured.waiting_rows,
                oldest_seconds=round(measured.waiting_age_seconds),
            )
