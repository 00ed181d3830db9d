"""Compares a service's tables with its streams from time to time, and tells of any drift.

It is a rebuild that is never swapped in: in small batches, resting longer than it works, and gone
as soon as somebody wants to rebuild in earnest.
"""

from collections.abc import Iterator
from random import Random

import structlog
from prometheus_client import CollectorRegistry, Counter
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from libs.events.transport import Bus
from libs.runtime.clock import Clock
from libs.runtime.rebuild.engine import Outcome, Rebuild
from libs.runtime.rebuild.projection import Projection, RebuildError

RECORDS_MAX = 200  # decoded in one go: some milliseconds in which the process does nothing else
DUTY = 0.2  # the share of the time that it works
LOOK_SECONDS = 0.5  # how often it looks whether somebody waits

logger = structlog.get_logger(__name__)


class MakeWay(Exception):
    """Somebody wants to rebuild the same."""


class VerifyMetrics(Collector):
    """What the last finished pass of each projection has found, and how long ago that was."""

    def __init__(self, registry: CollectorRegistry, clock: Clock) -> None:
        self._clock = clock
        self._last: dict[str, Outcome] = {}
        self._at: dict[str, float] = {}
        self.passes = Counter(
            "daygen_verify_passes",
            "Passes of the background verifier by outcome: equal, drift, interrupted, failed.",
            ("outcome",),
            registry=registry,
        )
        registry.register(self)

    def watch(self, consumer: str) -> None:
        """Tell of a consumer's projection from now on."""
        self._at[consumer] = self._clock.monotonic()

    def finished(self, consumer: str, outcome: Outcome) -> None:
        """Keep a pass's figures until the next one."""
        self._last[consumer], self._at[consumer] = outcome, self._clock.monotonic()
        self.passes.labels("equal" if outcome.is_equal else "drift").inc()

    def collect(self) -> Iterator[Metric]:
        """Worked out at each scrape; no drift is told before the first pass."""
        yield GaugeMetricFamily(
            "daygen_verify_age_seconds",
            "Time since the last finished pass; before the first, since the start.",
            self._clock.monotonic() - min(self._at.values(), default=self._clock.monotonic()),
        )
        if not self._last:
            return
        seconds = sum(each.seconds for each in self._last.values())
        yield GaugeMetricFamily(
            "daygen_verify_pass_seconds", "How long the last pass took.", seconds
        )
        drift = GaugeMetricFamily(
            "daygen_verify_drift_rows",
            "Rows that differ from what the streams say. Alarm when not 0.",
            labels=("table",),
        )
        for table in (table for each in self._last.values() for table in each.tables):
            drift.add_metric((table.table,), table.drift_rows)
        yield drift


class Verifier:
    """The background verifier of one process; of several replicas one at a time does a pass."""

    def __init__(
        self,
        projection: Projection,
        *,
        dsn: str,
        bus: Bus,
        clock: Clock,
        random: Random,
        metrics: VerifyMetrics,
        interval_seconds: float,
    ) -> None:
        self._projection = projection
        self._dsn = dsn
        self._bus = bus
        self._clock = clock
        self._random = random
        self._metrics = metrics
        metrics.watch(projection.consumer)
        self._interval_seconds = interval_seconds

    async def run(self) -> None:
        """A pass in each interval, until cancelled; the first at a random time of it."""
        wait_seconds = self._interval_seconds * self._random.random()
        while True:
            await self._clock.sleep(wait_seconds)
            await self._try()
            wait_seconds = self._interval_seconds

    async def verify(self) -> Outcome:
        """One pass.

        Raises:
            RebuildError: another rebuild is at work, or the streams do not suffice.
            MakeWay: another rebuild wants to begin.
        """
        async with (
            self._bus.log() as log,
            Rebuild.open(self._projection, dsn=self._dsn, log=log, is_patient=False) as rebuild,
        ):
            worked_from = self._clock.monotonic()

            async def pause() -> None:
                nonlocal worked_from
                now = self._clock.monotonic()
                until = now + (now - worked_from) * (1 - DUTY) / DUTY
                while (rest := until - self._clock.monotonic()) > 0:
                    await self._clock.sleep(min(rest, LOOK_SECONDS))
                    if await rebuild.is_waited_for():
                        raise MakeWay
                worked_from = self._clock.monotonic()

            rebuild.in_the_background(pause, records_max=RECORDS_MAX)
            outcome = await rebuild.run()
        self._metrics.finished(self._projection.consumer, outcome)
        return outcome

    async def _try(self) -> None:
        service = self._projection.service.value
        try:
            outcome = await self.verify()
        except MakeWay:
            self._metrics.passes.labels("interrupted").inc()
        except RebuildError as error:
            self._metrics.passes.labels("failed").inc()
            logger.warning("verify_failed", error=str(error))
        except Exception:  # whatever it is, the next pass is another try
            self._metrics.passes.labels("failed").inc()
            logger.exception("verify_failed")
        else:
            for table in outcome.tables:
                if not table.is_equal:
                    logger.error(
                        "verify_drift",
                        table=f"{service}.{table.table}",
                        missing=table.missing,
                        extra=table.extra,
                        changed=table.changed,
                        examples=[each.key for each in table.examples],
                    )
