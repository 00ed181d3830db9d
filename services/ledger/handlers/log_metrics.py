"""What the sealer tells of itself."""

from collections.abc import Iterator

from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from libs.runtime.clock import Clock


class LogMetrics(Collector):
    """One set per process; of several replicas each looks, and the latest look counts."""

    def __init__(self, registry: CollectorRegistry, clock: Clock) -> None:
        self._clock = clock
        self._looked_at = clock.monotonic()
        self._size: int | None = None
        registry.register(self)

    def looked(self, size: int | None) -> None:
        """Kafka was looked at; `size` is the log's if something was sealed."""
        self._looked_at = self._clock.monotonic()
        self._size = self._size if size is None else size

    def collect(self) -> Iterator[Metric]:
        """Worked out at each scrape."""
        yield GaugeMetricFamily(
            "daygen_log_look_age_seconds",
            "Time since the sealer has last seen all that Kafka holds, or since the start.",
            self._clock.monotonic() - self._looked_at,
        )
        if self._size is not None:
            yield GaugeMetricFamily(
                "daygen_log_size", "Leaves of the log, as this process has sealed it.", self._size
            )
