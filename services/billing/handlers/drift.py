"""How far bills of providers are from what we had recorded, for the monitoring."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import structlog
from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from libs.runtime.clock import Clock
from libs.runtime.db import Database, DatabaseUnavailable
from services.billing.store import bills
from services.billing.store.bills import Drift

TICK_SECONDS: Final = 60.0

logger = structlog.get_logger(__name__)


class DriftMetrics(Collector):
    """The last figures; none while the database cannot be asked, rather than old ones.

    Each replica tells the same: take the greatest figure, never the sum.
    """

    def __init__(self, registry: CollectorRegistry, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._drift: Sequence[Drift] = ()
        self._unknown: Mapping[str, int] = {}
        registry.register(self)

    async def run(self) -> None:
        """Measure until cancelled."""
        while True:
            try:
                await self.measure()
            except DatabaseUnavailable:
                self._drift, self._unknown = (), {}
            except Exception:
                self._drift, self._unknown = (), {}
                logger.exception("drift_not_measured")
            await self._clock.sleep(TICK_SECONDS)

    async def measure(self) -> None:
        """Measure once."""
        async with self._database.read() as connection:
            self._drift = await bills.sum_drift(connection)
            self._unknown = await bills.count_unknown(connection)

    def collect(self) -> Iterator[Metric]:
        drift = GaugeMetricFamily(
            "daygen_provider_cost_drift_microusd",
            "What a provider has billed, less what was recorded for the same.",
            labels=["provider"],
        )
        findings = GaugeMetricFamily(
            "daygen_provider_bill_findings",
            "Entries of a provider's bills, by what they were found to be.",
            labels=["provider", "finding"],
        )
        for each in self._drift:
            drift.add_metric([each.provider], each.billed_microusd - each.own_microusd)
            for finding, count in each.findings.items():
                findings.add_metric([each.provider, finding.value], count)
        unknown = GaugeMetricFamily(
            "daygen_provider_attempts_unknown",
            "Attempts of unknown outcome of which no bill has told.",
            labels=["provider"],
        )
        for provider, count in self._unknown.items():
            unknown.add_metric([provider], count)
        yield from (drift, findings, unknown)
