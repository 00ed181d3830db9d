"""What is known of a measured job: instants by name, read from Kafka and Postgres after a round.

A row was visible from its transaction's commit on: Postgres keeps that instant with the row.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

import asyncpg
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition

from tools.bench.figures import Latency
from tools.bench.load import Shot

FETCH_MS = 500
# Kafka's timestamps are cut to whole milliseconds.
HALF_MILLISECOND = 0.0005

# The two rows that a finished request leaves.
CHARGED = "charged"
LISTED = "listed"


@dataclass(slots=True)
class Job:
    """One accepted request and the instants (Unix time) of its way."""

    shot: Shot
    marks: dict[str, float] = field(default_factory=dict)
    # Time of drawing and upload, which are not the system's own.
    away_ms: float = 0.0

    def __post_init__(self) -> None:
        self.marks |= {"due": self.shot.due, "answered": self.shot.answered}

    @property
    def is_finished(self) -> bool:
        return CHARGED in self.marks and LISTED in self.marks

    @property
    def total_ms(self) -> float:
        """From when it was to be sent until both of its rows were visible."""
        return (max(self.marks[CHARGED], self.marks[LISTED]) - self.shot.due) * 1000

    @property
    def own_ms(self) -> float:
        return self.total_ms - self.away_ms

    @property
    def answer_ms(self) -> float:
        return (self.shot.answered - self.shot.due) * 1000


@dataclass(frozen=True, slots=True)
class Round:
    """What one system did under one round's load."""

    jobs: tuple[Job, ...]
    refusals: tuple[str, ...]
    unfinished: int
    lateness: Latency
    cpu_ms: Mapping[str, float]

    @property
    def totals(self) -> list[float]:
        return [job.total_ms for job in self.jobs]

    @property
    def own(self) -> list[float]:
        return [job.own_ms for job in self.jobs]

    @property
    def away(self) -> list[float]:
        return [job.away_ms for job in self.jobs]

    @property
    def answers(self) -> list[float]:
        return [job.answer_ms for job in self.jobs]


def round_of(shots: Sequence[Shot], jobs: Iterable[Job], cpu_seconds: Mapping[str, float]) -> Round:
    """The round's finished jobs, and counts of the others.

    Raises:
        ValueError: not one job was finished.
    """
    finished = tuple(job for job in jobs if job.is_finished)
    refusals = tuple(shot.refusal for shot in shots if shot.job_id is None)
    if not finished:
        reason = refusals[0] if refusals else "their rows did not appear"
        raise ValueError(f"none of {len(shots)} requests was finished: {reason}")
    return Round(
        jobs=finished,
        refusals=refusals,
        unfinished=len(shots) - len(refusals) - len(finished),
        lateness=Latency.of([(shot.sent - shot.due) * 1000 for shot in shots]),
        cpu_ms={name: spent * 1000 / len(shots) for name, spent in cpu_seconds.items()},
    )


@dataclass(frozen=True, slots=True)
class Stage:
    """A stretch of the way between two marks; `less_away`: without drawing and upload."""

    name: str
    begin: str
    end: str
    less_away: bool = False

    def times_ms(self, jobs: Iterable[Job]) -> list[float]:
        return [
            (job.marks[self.end] - job.marks[self.begin]) * 1000
            - (job.away_ms if self.less_away else 0.0)
            for job in jobs
            if self.begin in job.marks and self.end in job.marks
        ]


def unix(moment: datetime) -> float:
    return moment.timestamp()


async def commit_times(
    connection: "asyncpg.Connection[asyncpg.Record]", query: str, job_ids: Collection[UUID]
) -> dict[UUID, float]:
    """Runs a query that answers `job_id` and `committed_at` of these jobs' rows."""
    rows = await connection.fetch(query, list(job_ids))
    return {row["job_id"]: unix(row["committed_at"]) for row in rows}


async def record_times(
    bootstrap: str, topic: str, since: float, identify: Callable[[ConsumerRecord], UUID]
) -> dict[UUID, float]:
    """When each record of a topic since then was handed to its producer."""
    consumer = AIOKafkaConsumer(topic, bootstrap_servers=bootstrap, enable_auto_commit=False)
    found: dict[UUID, float] = {}
    async with consumer:
        unread = await _seek(consumer, since)
        while unread:
            batches = await consumer.getmany(*unread, timeout_ms=FETCH_MS)
            for records in batches.values():
                found |= {
                    identify(each): each.timestamp / 1000 + HALF_MILLISECOND for each in records
                }
            for partition in list(unread):
                if await consumer.position(partition) >= unread[partition]:
                    del unread[partition]
    return found


async def _seek(consumer: AIOKafkaConsumer, since: float) -> dict[TopicPartition, int]:
    """Stand before the first record since then; answers the ends of what is to be read."""
    partitions = consumer.assignment()
    starts = await consumer.offsets_for_times(dict.fromkeys(partitions, int(since * 1000)))
    ends: dict[TopicPartition, int] = await consumer.end_offsets(partitions)
    unread = {each: ends[each] for each in partitions if starts[each] is not None}
    for each in partitions:
        consumer.seek(each, starts[each].offset if each in unread else ends[each])
    return unread
