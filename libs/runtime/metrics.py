"""The metrics of streams, one set per process. Units stand last in the names."""

from collections.abc import Iterator, Mapping
from typing import Protocol

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

LATENCY_BUCKETS_SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10)


class Reader(Protocol):
    """What a consumer knows of itself without asking anybody."""

    def unread(self) -> Mapping[str, int]: ...

    def since_commit_seconds(self) -> float: ...


class StreamMetrics:
    """What consumers and the relay count."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._readers: dict[str, Reader] = {}
        registry.register(_ReaderMetrics(self._readers))
        self.consumed = Counter(
            "daygen_events_consumed",
            "Events by what became of them: applied, repeated, skipped, parked.",
            ("consumer", "outcome"),
            registry=registry,
        )
        self.batch_seconds = Histogram(
            "daygen_consumer_batch_seconds",
            "Time from the fetch of a batch to its commit.",
            ("consumer",),
            buckets=LATENCY_BUCKETS_SECONDS,
            registry=registry,
        )
        self.retries = Counter(
            "daygen_consumer_retries",
            "Batches tried again after a fault that may pass.",
            ("consumer",),
            registry=registry,
        )
        self.fenced = Counter(
            "daygen_consumer_fenced",
            "Batches dropped because another consumer had moved the position.",
            ("consumer",),
            registry=registry,
        )
        self.stopped_partitions = Gauge(
            "daygen_consumer_stopped_partitions",
            "Partitions not read because their position lies outside of the log. Alarm when not 0.",
            ("consumer",),
            registry=registry,
        )
        self.published = Counter(
            "daygen_relay_published", "Outbox rows that Kafka has stored.", registry=registry
        )
        self.publish_failures = Counter(
            "daygen_relay_failures", "Rounds of the relay that failed.", registry=registry
        )

        self.topics_made_anew = Gauge(
            "daygen_relay_topics_made_anew",
            "Topics that have lost what was published. Alarm when not 0: nothing is published.",
            registry=registry,
        )

    def watch(self, consumer: str, reader: Reader) -> None:
        """Ask a consumer for its figures at every scrape."""
        self._readers[consumer] = reader


class _ReaderMetrics(Collector):
    """Worked out when Prometheus asks: reading messages costs nothing for it."""

    def __init__(self, readers: Mapping[str, Reader]) -> None:
        self._readers = readers

    def collect(self) -> Iterator[Metric]:
        lag = GaugeMetricFamily(
            "daygen_consumer_lag_messages",
            "Messages that an assigned topic holds and the consumer has not read yet.",
            labels=("consumer", "topic"),
        )
        age = GaugeMetricFamily(
            "daygen_consumer_since_commit_seconds",
            "Time since the consumer's last commit. Says little while there is nothing to read.",
            labels=("consumer",),
        )
        for name, reader in self._readers.items():
            age.add_metric((name,), reader.since_commit_seconds())
            for topic, messages in sorted(reader.unread().items()):
                lag.add_metric((name, topic), messages)
        yield lag
        yield age
