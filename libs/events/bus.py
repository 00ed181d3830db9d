"""Kafka, through FastStream and aiokafka: raw batches in, idempotent batches out.

FastStream's own consume loop is not used: it would acknowledge by its own rules, and sleeps after
an empty poll. The subscriber is opened without a handler and read by our transactional consumer,
which keeps positions in Postgres.
"""

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from uuid import UUID
from weakref import WeakSet

import structlog
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import (
    IllegalStateError,
    KafkaError,
    NoOffsetForPartitionError,
)
from faststream.kafka import KafkaBroker
from faststream.middlewares import AckPolicy

from libs.events.log import KafkaLog
from libs.events.sending import send_topic
from libs.events.topic_ids import TopicIds
from libs.events.transport import (
    Assigned,
    BusError,
    IncomingMessage,
    OutgoingMessage,
    Partition,
)

MESSAGE_BYTES_MAX = 1_000_000
FETCH_BYTES_MAX = 8_000_000
RETRY_BACKOFF_MS = 20
SESSION_TIMEOUT_MS = 10_000
HEARTBEAT_INTERVAL_MS = 2_000
# Never: a batch may wait for its database as long as it takes. A member that is sent away for not
# fetching would be let in again once it fetches, which it does only once it has partitions.
POLL_INTERVAL_MS_MAX = 2**31 - 1
PLACE_AGAIN_SECONDS = 0.2
LOOK_SECONDS = 5.0  # at the ids of the topics that are read
STOP_SECONDS = 5.0

logger = structlog.get_logger(__name__)


class KafkaBus:
    """One process's connection to Kafka.

    With a `prefix` (of topics and groups), several systems share one Kafka unseen by each other.
    """

    def __init__(self, bootstrap: str, *, client_id: str, prefix: str = "") -> None:
        self._bootstrap = bootstrap
        self._prefix = prefix
        self._client_id = client_id
        self._producer: AIOKafkaProducer | None = None
        self._starting = asyncio.Lock()
        self._topic_ids: TopicIds | None = None
        self._retiring: set[asyncio.Task[None]] = set()
        self._subscriptions: WeakSet[KafkaSubscription] = WeakSet()

    async def publish(self, messages: Sequence[OutgoingMessage]) -> Sequence[BaseException | None]:
        """Publish with acks=all and idempotence; see `Bus.publish`."""
        try:
            producer = await self._started_producer()
        except (KafkaError, OSError, TimeoutError) as error:
            raise BusError(f"Kafka at {self._bootstrap} cannot be reached: {error}") from error
        topics: defaultdict[str, list[int]] = defaultdict(list)
        for index, message in enumerate(messages):
            topics[self._prefix + message.topic].append(index)
        outcomes: list[BaseException | None] = [None] * len(messages)
        await asyncio.gather(
            *(
                send_topic(producer, topic, indices, messages, outcomes)
                for topic, indices in topics.items()
            )
        )
        if any(outcome is not None for outcome in outcomes):
            self._retire(producer)
        return outcomes

    async def subscribe(
        self, *, group: str, topics: Iterable[str], assigned: Assigned
    ) -> "KafkaSubscription":
        """Join a consumer group; see `Bus.subscribe`."""
        subscription = KafkaSubscription(
            self._bootstrap, self._client_id, self._prefix, group, tuple(topics), assigned
        )
        await subscription.open()
        self._subscriptions.add(subscription)
        return subscription

    async def topic_ids(self, topics: Iterable[str]) -> Mapping[str, UUID]:
        """Which of these topics there are; see `Bus.topic_ids`."""
        try:
            if self._topic_ids is None:
                opening = TopicIds(self._bootstrap, self._client_id)
                await opening.open()
                self._topic_ids = opening
            found = await self._topic_ids.existing(self._prefix + each for each in topics)
        except (KafkaError, OSError, TimeoutError) as error:
            if self._topic_ids is not None:
                await self._topic_ids.close()
                self._topic_ids = None
            raise BusError(f"Kafka does not say which topics it has: {error!r}") from error
        return {name.removeprefix(self._prefix): topic_id for name, topic_id in found.items()}

    def log(self) -> KafkaLog:
        """The whole history of the topics, to be opened and read beside all groups."""
        return KafkaLog(self._bootstrap, client_id=f"{self._client_id}-log", prefix=self._prefix)

    async def close(self) -> None:
        """Leave all groups and flush what is being published."""
        for subscription in list(self._subscriptions):
            await subscription.close()
        if self._topic_ids is not None:
            await self._topic_ids.close()
        if self._producer is not None:
            self._retire(self._producer)
        await asyncio.gather(*self._retiring, return_exceptions=True)

    def _retire(self, producer: AIOKafkaProducer) -> None:
        """Publish through a new one from now on.

        A refused batch leaves a gap in the producer's sequence, and Kafka lets nothing pass behind
        it; a producer whose sender broke never sends again.
        """
        current = self._producer
        if current is not None and current is producer:
            self._producer = None
            task = asyncio.create_task(_stop(current), name="retiring-producer")
            self._retiring.add(task)
            task.add_done_callback(self._retiring.discard)

    async def _started_producer(self) -> AIOKafkaProducer:
        async with self._starting:
            if self._producer is None:
                producer = AIOKafkaProducer(
                    bootstrap_servers=self._bootstrap,
                    client_id=self._client_id,
                    acks="all",
                    enable_idempotence=True,
                    linger_ms=0,  # more would be waited for at low load
                    max_batch_size=MESSAGE_BYTES_MAX,
                    max_request_size=MESSAGE_BYTES_MAX + 48_576,
                    retry_backoff_ms=RETRY_BACKOFF_MS,
                )
                try:
                    await producer.start()
                except BaseException:  # cancelled, too: nobody else knows of it yet
                    await producer.stop()
                    raise
                self._producer = producer
        return self._producer


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
    ) -> None:
        self._broker = KafkaBroker(
            bootstrap, client_id=client_id, consumer_only=True, apply_types=False, logger=None
        )
        self._subscriber = self._broker.subscriber(
            *(prefix + topic for topic in topics),
            group_id=prefix + group,
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
        await self._broker.stop()
        await self._topic_ids.close()

    async def fetch(self, *, records_max: int, timeout_seconds: float) -> Sequence[IncomingMessage]:
        """The next messages; see `Subscription.fetch`."""
        if self._gone:
            raise BusError(f"{sorted(self._gone)} is another log now, or none: begin with that one")
        try:
            async with asyncio.timeout(timeout_seconds):
                await self._is_placed.wait()
            batches = await self._consumer.getmany(
                timeout_ms=int(timeout_seconds * 1000), max_records=records_max
            )
        except (TimeoutError, NoOffsetForPartitionError):
            return []  # partitions are being assigned: the fetcher looked before they were placed
        except (KafkaError, OSError) as error:
            raise BusError(f"fetching failed: {error!r}") from error
        if not self._is_placed.is_set():
            return []  # partitions moved while these came: whoever has them now starts anew
        return [
            IncomingMessage(partition, record.offset, record.key, record.value)
            for topic_partition, records in batches.items()
            if (partition := self._partitions.get(topic_partition)) is not None
            for record in records
        ]

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
        self._ends = {}
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


async def _stop(producer: AIOKafkaProducer) -> None:
    """Flush and end a producer; one that Kafka takes nothing from is ended all the same.

    An idempotent producer never gives a message up, but the outbox has it.
    """
    try:
        async with asyncio.timeout(STOP_SECONDS):
            await producer.stop()
    except TimeoutError:
        sender = producer._sender.sender_task  # noqa: SLF001  # left running by its own stop()
        while not sender.done():  # once cancelled it waits for its requests; then these are, too
            sender.cancel()
            await asyncio.wait({sender}, timeout=0.1)
        await producer.client.close()
