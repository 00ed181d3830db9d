"""What generation counts and times."""

from prometheus_client import CollectorRegistry, Counter, Histogram

SECONDS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 60, 120, 300, 600)


class Metrics:
    """One set per process."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.attempts = Counter(
            "daygen_generation_attempts",
            "Attempts by how they ended: won, failed, retried, unknown, handed_back, late.",
            ("provider", "outcome"),
            registry=registry,
        )
        self.ended = Counter(
            "daygen_generation_ended",
            "Jobs ended from outside of an attempt, by failure code.",
            ("code",),
            registry=registry,
        )
        self.phase_seconds = Histogram(
            "daygen_generation_phase_seconds",
            "Time of delivered jobs in a phase: queued, provider, upload.",
            ("provider", "phase"),
            buckets=SECONDS,
            registry=registry,
        )
        self.swept = Counter(
            "daygen_generation_swept_objects",
            "Objects of losing attempts that were deleted.",
            registry=registry,
        )
