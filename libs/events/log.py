"""Reads whole logs from Kafka: in no group, with no position, one partition at a time."""

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from time import monotonic
from types import TracebackType
from typing import Self
from uuid import UUID

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError, UnknownTopicOrPartitionError

from libs.events.topic_ids import TopicIds
from libs.events.transport import BusError, IncomingMessage, Partition

# About a batch: once all of a fetch is taken, aiokafka asks for the next while this one is used.
FETCH_BYTES_MAX = 6_000_000
FETCH_MS = 200
# What is asked for is there. At the end of a partition the broker would hold a request back for
# so long, and the next partition's behind it.
FETCH_WAIT_MS = 5
# A topic that is named for the first time is asked for again after so long, once its leaders are
# known; 100 ms, if it is not said.
AGAIN_MS = 10
SILENCE_SECONDS = 60.0
MADE_SECONDS = 5.0
MADE_POLL_SECONDS = 0.1


class KafkaLog:
    """`async with KafkaLog(...) as log`: the logs of one Kafka."""

    def __init__(self, bootstrap: str, *, client_id: str, prefix: str = "") -> None:
        self._bootstrap = bootstrap
        self._prefix = prefix
        self._topic_ids = TopicIds(bootstrap, client_id)
        self._consumer = AIOKafkaConsumer(
            bootstrap_servers=bootstrap,
            client_id=client_id,
            enable_auto_commit=False,
            auto_offset_reset="none",
            fetch_max_bytes=FETCH_BYTES_MAX,
            max_partition_fetch_bytes=FETCH_BYTES_MAX,
            fetch_max_wait_ms=FETCH_WAIT_MS,
            retry_backoff_ms=AGAIN_MS,
        )

    async def __aenter__(self) -> Self:
        try:
            await self._consumer.start()
            await self._topic_ids.open()
        except (KafkaError, OSError, TimeoutError) as error:
            await self._close()
            raise BusError(f"Kafka at {self._bootstrap} cannot be reached: {error}") from error
        except BaseException:
            await self._close()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._close()

    async def extents(self, topics: Collection[str]) -> Mapping[Partition, range]:
        """The offsets that are there; see `Log.extents`."""
        try:
            held = await self._described([self._prefix + each for each in topics])
            found = [
                TopicPartition(name, number)
                for name, (_, numbers) in held.items()
                for number in numbers
            ]
            begins = await self._consumer.beginning_offsets(found)
            ends = await self._consumer.end_offsets(found)
        except (KafkaError, OSError, TimeoutError) as error:
            raise BusError(f"Kafka does not say what its logs hold: {error!r}") from error
        return {
            Partition(
                each.topic.removeprefix(self._prefix), held[each.topic][0], each.partition
            ): range(begins[each], ends[each])
            for each in found
        }

    async def read(
        self, partition: Partition, offsets: range, *, records_max: int
    ) -> AsyncIterator[Sequence[IncomingMessage]]:
        """The messages in order; see `Log.read`."""
        if not offsets:
            return
        place = TopicPartition(self._prefix + partition.topic, partition.partition)
        self._consumer.assign([place])
        self._consumer.seek(place, offsets.start)
        following = offsets.start
        batch: list[IncomingMessage] = []
        deadline = monotonic() + SILENCE_SECONDS
        while following < offsets.stop:
            try:
                fetched = await self._consumer.getmany(
                    place, timeout_ms=FETCH_MS, max_records=records_max - len(batch)
                )
                following = await self._consumer.position(place)
            except (KafkaError, OSError) as error:
                raise BusError(f"{partition.topic} cannot be read: {error!r}") from error
            if fetched:
                deadline = monotonic() + SILENCE_SECONDS
            elif monotonic() > deadline:
                where = f"{partition.topic}/{partition.partition}"
                raise BusError(f"Kafka is silent at {following} of {offsets.stop} in {where}")
            batch += [
                IncomingMessage(partition, record.offset, record.key, record.value)
                for record in fetched.get(place, ())
                if record.offset < offsets.stop
            ]
            if following >= offsets.stop:
                self._consumer.pause(place)  # or it would go on to ask for what nobody wants
            if 2 * len(batch) >= records_max:
                yield batch
                batch, deadline = [], monotonic() + SILENCE_SECONDS
        if batch:
            yield batch

    async def _described(self, topics: Collection[str]) -> dict[str, tuple[UUID, list[int]]]:
        """Ids and partitions; a topic that has just been made may not be known everywhere yet."""
        deadline = monotonic() + MADE_SECONDS
        while True:
            try:
                return await self._topic_ids.and_partitions(topics)
            except UnknownTopicOrPartitionError:
                if monotonic() > deadline:
                    raise
                await asyncio.sleep(MADE_POLL_SECONDS)

    async def _close(self) -> None:
        await self._consumer.stop()
        await self._topic_ids.close()
