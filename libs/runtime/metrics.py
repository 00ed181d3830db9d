"""The metrics of streams, one set per process. Units stand last in the names."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

LATENCY_BUCKETS_SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10)


class StreamMetrics:
    """What consumers and the relay count."""

    def __init__(self, registry: CollectorRegistry) -> None:
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
