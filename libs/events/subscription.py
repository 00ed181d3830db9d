"""A member of a consumer group: raw batches in, and its partitions placed where the consumer says.

FastStream's own consume loop is not used: it would acknowledge by its own rules, and sleeps after
an empty poll. The subscriber is opened without a handler and read by our transactional consumer,
which keeps positions in Postgres.
"""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from uuid import UUID

import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import (
    IllegalStateError,
    KafkaError,
    NoOffsetForPartitionError,
)
from faststream.kafka import KafkaBroker
from faststream.middlewares import AckPolicy

from libs.events.topic_ids import TopicIds
from libs.events.touch import is_out_of_touch
from libs.events.transport import Assigned, BusError, IncomingMessage, Partition

FETCH_BYTES_MAX = 8_000_000
SESSION_TIMEOUT_MS = 10_000
HEARTBEAT_INTERVAL_MS = 2_000
# Never: a batch may wait for its database as long as it takes. A member that is sent away for not
# fetching would be let in again once it fetches, which it does only once it has partitions.
POLL_INTERVAL_MS_MAX = 2**31 - 1
PLACE_AGAIN_SECONDS = 0.2
STOP_SECONDS = 10.0
LOOK_SECONDS = 5.0  # at the ids of the topics that are read

logger = structlog.get_logger(__name__)


class KafkaSubscription:
    """A member of a consumer group."""

    def __init__(
        self,
        bootstrap: str,
        client_id: str,
        prefix: str,
        group: str,
        topics: tuple[str, ...],
        assigned: Assigned,
        *,
        pace_seconds: float = 0.0,
        member: str | None = None,
    ) -> None:
        self._broker = KafkaBroker(
            bootstrap, client_id=client_id, consumer_only=True, apply_types=False, logger=None
        )
        self._subscriber = self._broker.subscriber(
            *(prefix + topic for topic in topics),
            group_id=prefix + group,
            group_instance_id=member,
            batch=True,
            ack_policy=AckPolicy.MANUAL,
            # A position outside of the log is an alarm, never a silent jump.
            auto_offset_reset="none",
            listener=_Listener(self),
            session_timeout_ms=SESSION_TIMEOUT_MS,
            heartbeat_interval_ms=HEARTBEAT_INTERVAL_MS,
            max_poll_interval_ms=POLL_INTERVAL_MS_MAX,
            max_partition_fetch_bytes=FETCH_BYTES_MAX,
        )
        self._prefix = prefix
        self._topics = [prefix + topic for topic in topics]
        self._topic_ids = TopicIds(bootstrap, client_id)
        self._assigned = assigned
        self._partitions: dict[TopicPartition, Partition] = {}
        self._ends: Mapping[Partition, int] = {}
        self._is_placed = asyncio.Event()
        self._placing: asyncio.Task[None] | None = None
        self._pace_seconds = pace_seconds
        self._readable: frozenset[TopicPartition] = frozenset()
        self._rests_until = 0.0  # loop time; 0: it does not rest
        self._looking: asyncio.Task[None] | None = None
        self._gone: set[str] = set()

    async def open(self) -> None:
        """Join the group.

        Raises:
            BusError: Kafka cannot be reached.
        """
        try:
            await self._topic_ids.open()
            # A member that joins while a topic is missing would not hear of it for minutes.
            ids = await self._topic_ids.of(self._topics)
            await self._broker.start()
            self._looking = asyncio.create_task(self._look(ids), name="topic-ids")
        except (KafkaError, OSError, TimeoutError) as error:
            await self.close()
            raise BusError(f"Kafka cannot be read: {error!r}") from error
        except asyncio.CancelledError:
            await self.close()  # nobody else knows of this consumer yet
            raise

    async def close(self) -> None:
        """Leave the group."""
        for task in (self._placing, self._looking):
            if task is not None:
                task.cancel()
        # Parts of a client that is out of touch wait for ever; cut off, they end.
        with suppress(TimeoutError):
            async with asyncio.timeout(STOP_SECONDS):
                await self._broker.stop()
        await self._topic_ids.close()

    async def fetch(self, *, records_max: int, timeout_seconds: float) -> Sequence[IncomingMessage]:
        """The next messages; see `Subscription.fetch`."""
        if self._gone:
            raise BusError(f"{sorted(self._gone)} is another log now, or none: begin with that one")
        if is_out_of_touch(self._consumer._client):  # noqa: SLF001  # as there
            raise BusError("the client has lost touch with Kafka: begin with another one")
        try:
            async with asyncio.timeout(timeout_seconds):
                await self._is_placed.wait()
                await self._end_rest()
            batches = await self._consumer.getmany(
                timeout_ms=int(timeout_seconds * 1000), max_records=records_max
            )
        except (TimeoutError, NoOffsetForPartitionError):
            return []  # partitions are being assigned: the fetcher looked before they were placed
        except (KafkaError, OSError) as error:
            raise BusError(f"fetching failed: {error!r}") from error
        if self._pace_seconds and 0 < sum(map(len, batches.values())) < records_max:
            self._begin_rest()
        if not self._is_placed.is_set():
            return []  # partitions moved while these came: whoever has them now starts anew
        return [
            IncomingMessage(partition, record.offset, record.key, record.value)
            for topic_partition, records in batches.items()
            if (partition := self._partitions.get(topic_partition)) is not None
            for record in records
        ]

    def _begin_rest(self) -> None:
        """Ask Kafka for nothing: left alone, aiokafka would at once fetch what comes next."""
        self._rests_until = asyncio.get_running_loop().time() + self._pace_seconds
        self._consumer.pause(*(self._readable & self._consumer.assignment()))

    async def _end_rest(self) -> None:
        if self._rests_until:
            await asyncio.sleep(self._rests_until - asyncio.get_running_loop().time())
            self._rests_until = 0.0
            self._consumer.resume(*(self._readable & self._consumer.assignment()))

    def seek(self, partition: Partition, offset: int) -> None:
        """Read a partition from here on; no-op when it has been taken away meanwhile."""
        try:
            self._consumer.seek(self._at_kafka(partition), offset)
        except IllegalStateError:
            return

    def known_ends(self) -> Mapping[Partition, int]:
        """The ends that came with the last fetches; see `OpenSubscription.known_ends`."""
        ends = dict(self._ends)
        for each, partition in self._partitions.items():
            with suppress(IllegalStateError, BusError):  # it has just been taken away
                ends[partition] = max(self._consumer.highwater(each) or 0, ends.get(partition, 0))
        return ends

    async def ends(self) -> Mapping[Partition, int]:
        """The ends as Kafka says them now; see `OpenSubscription.ends`."""
        partitions = dict(self._partitions)
        try:
            found = await self._consumer.end_offsets(list(partitions))
        except (KafkaError, OSError) as error:
            raise BusError(f"Kafka does not say where its logs end: {error!r}") from error
        self._ends = {partitions[each]: end for each, end in found.items()}
        return self._ends

    async def report(self, next_offsets: Mapping[Partition, int]) -> None:
        """Commit offsets for lag tools. A failure changes nothing for us."""
        offsets = {self._at_kafka(partition): offset for partition, offset in next_offsets.items()}
        try:
            await self._consumer.commit(offsets)
        except (KafkaError, OSError):
            return

    async def take_over(self, topic_partitions: Iterable[TopicPartition]) -> None:
        """Start newly assigned partitions where the consumer says; ends early when closed."""
        self._placing = asyncio.create_task(self._place(sorted(topic_partitions)), name="place")
        await asyncio.wait({self._placing})

    async def _place(self, assigned: Sequence[TopicPartition]) -> None:
        """Tried until it works.

        aiokafka goes on after a listener that failed, with partitions that stand nowhere and would
        never be read.
        """
        while True:
            try:
                await self._take_over(assigned)
            except Exception as error:  # noqa: BLE001  # whatever it is, nothing else tries again
                logger.warning("partitions_not_placed", error=repr(error))
                await asyncio.sleep(PLACE_AGAIN_SECONDS)
            else:
                self._is_placed.set()
                return

    async def _take_over(self, assigned: Sequence[TopicPartition]) -> None:
        self._ends, self._readable = {}, frozenset()
        if not assigned:
            self._partitions = {}
            return
        consumer = self._consumer
        ids = await self._topic_ids.of({each.topic for each in assigned})
        self._partitions = {
            each: Partition(each.topic.removeprefix(self._prefix), ids[each.topic], each.partition)
            for each in assigned
        }
        begins = await consumer.beginning_offsets(assigned)
        ends = await consumer.end_offsets(assigned)
        logs = {self._partitions[each]: range(begins[each], ends[each] + 1) for each in assigned}
        starts = await self._assigned(logs)
        self._ends = {self._partitions[each]: ends[each] for each in assigned}
        for each, partition in self._partitions.items():
            start = starts.get(partition)
            if start is None:
                consumer.seek(each, ends[each])
                consumer.pause(each)
            else:
                consumer.seek(each, start)
        self._readable = frozenset(each for each, of in self._partitions.items() if of in starts)

    async def _look(self, ids: Mapping[str, UUID]) -> None:
        """Notice a topic that was made anew: its log may already be longer than our position.

        Nothing else would tell: Kafka answers fetches by name and offset alone.
        """
        while not self._gone:
            await asyncio.sleep(LOOK_SECONDS)
            with suppress(KafkaError, OSError, TimeoutError):  # the fetcher finds out, too
                now = await self._topic_ids.existing(ids)
                self._gone = {name for name, topic_id in ids.items() if now.get(name) != topic_id}

    def let_go(self) -> None:
        """Stop fetching until the next assignment is placed."""
        self._is_placed.clear()

    def _at_kafka(self, partition: Partition) -> TopicPartition:
        return TopicPartition(self._prefix + partition.topic, partition.partition)

    @property
    def _consumer(self) -> AIOKafkaConsumer:
        consumer = self._subscriber.consumer
        if consumer is None:
            raise BusError("the subscription is closed")
        return consumer


class _Listener(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka is untyped
    """Told by aiokafka of partitions that come and go, before the first fetch of the new ones."""

    def __init__(self, subscription: KafkaSubscription) -> None:
        self._subscription = subscription

    async def on_partitions_revoked(self, _revoked: Iterable[TopicPartition]) -> None:
        """Nothing to hand back: positions are in Postgres, and fenced there."""
        self._subscription.let_go()

    async def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        await self._subscription.take_over(assigned)
