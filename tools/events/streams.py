"""Reads the streams from Kafka as a stranger does: in no group, with no position of its own."""

import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaError

from infra.local.problem import Problem
from tools.trail import partitions_of

FETCH_MS = 100
# How far back to look, step by step: whoever wants the latest need not read the whole history.
WINDOWS_SECONDS = (60, 60 * 60, 24 * 60 * 60, 30 * 24 * 60 * 60)

Offsets = Mapping[TopicPartition, int]
Matches = Callable[[bytes], bool]


@asynccontextmanager
async def open_streams(bootstrap: str, topics: Sequence[str]) -> AsyncIterator["Streams"]:
    """A reader of some topics.

    Raises:
        Problem: Kafka cannot be reached, or has no such topic.
    """
    consumer = AIOKafkaConsumer(
        bootstrap_servers=bootstrap, enable_auto_commit=False, fetch_max_wait_ms=FETCH_MS
    )
    try:
        await consumer.start()
        partitions = await partitions_of(bootstrap, topics)
        for missing in set(topics) - {partition.topic for partition in partitions}:
            raise Problem(f"Kafka at {bootstrap} has no topic {missing}: `./daygen up` makes it.")
        consumer.assign(partitions)
        yield Streams(consumer, partitions)
    except (KafkaError, OSError) as error:
        raise Problem(f"Kafka at {bootstrap} cannot be read: {error}.") from error
    finally:
        await consumer.stop()


class Streams:
    """Messages of all partitions, by the time at which Kafka got them."""

    def __init__(self, consumer: AIOKafkaConsumer, partitions: Sequence[TopicPartition]) -> None:
        self._consumer = consumer
        self._partitions = partitions
        self._ends: Offsets = {}

    async def latest(self, matches: Matches, count: int) -> list[ConsumerRecord]:
        """The last messages that match, oldest first."""
        self._ends = upper = await self._consumer.end_offsets(self._partitions)
        found: list[ConsumerRecord] = []
        for seconds in (*WINDOWS_SECONDS, None):
            lower = await self._offsets_at(seconds, upper)
            async for records in self._between(lower, upper):
                found = _ordered([*found, *_matching(records, matches)])[-count:]
            if len(found) >= count:
                break
            upper = lower
        return found

    async def following(self, matches: Matches) -> AsyncGenerator[ConsumerRecord, None]:
        """What comes after what `latest` has seen, without end."""
        self._consumer.assign(self._partitions)
        for partition, end in self._ends.items():
            self._consumer.seek(partition, end)
        while True:
            batches = await self._consumer.getmany(timeout_ms=FETCH_MS)
            records = [record for batch in batches.values() for record in batch]
            for record in _ordered(_matching(records, matches)):
                yield record

    async def _offsets_at(self, seconds_ago: int | None, upper: Offsets) -> Offsets:
        """Where each partition stood then; None means its beginning."""
        beginnings: Offsets = await self._consumer.beginning_offsets(self._partitions)
        if seconds_ago is None:
            return beginnings
        then_ms = int((time.time() - seconds_ago) * 1000)
        found = await self._consumer.offsets_for_times(dict.fromkeys(self._partitions, then_ms))
        return {
            partition: upper[partition] if place is None else min(place.offset, upper[partition])
            for partition, place in found.items()
        }

    async def _between(
        self, lower: Offsets, upper: Offsets
    ) -> AsyncIterator[Sequence[ConsumerRecord]]:
        unread = {each: end for each, end in upper.items() if lower[each] < end}
        self._consumer.assign(list(unread))
        for partition in unread:
            self._consumer.seek(partition, lower[partition])
        while unread:
            batches = await self._consumer.getmany(*unread, timeout_ms=FETCH_MS)
            for partition, records in batches.items():
                yield [record for record in records if record.offset < upper[partition]]
            for partition in list(unread):
                if await self._consumer.position(partition) >= unread[partition]:
                    del unread[partition]


def _matching(records: Sequence[ConsumerRecord], matches: Matches) -> Iterator[ConsumerRecord]:
    return (record for record in records if record.value is not None and matches(record.value))


def _ordered(records: Iterator[ConsumerRecord] | list[ConsumerRecord]) -> list[ConsumerRecord]:
    return sorted(
        records, key=lambda each: (each.timestamp, each.topic, each.partition, each.offset)
    )
