"""Kafka, through FastStream and aiokafka: raw batches in, idempotent batches out."""

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from uuid import UUID
from weakref import WeakSet

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from libs.events.log import KafkaLog
from libs.events.sending import send_topic
from libs.events.subscription import KafkaSubscription
from libs.events.topic_ids import TopicIds
from libs.events.touch import is_out_of_touch
from libs.events.transport import Assigned, BusError, OutgoingMessage

MESSAGE_BYTES_MAX = 1_000_000
RETRY_BACKOFF_MS = 20
STOP_SECONDS = 5.0


class KafkaBus:
    """One process's connection to Kafka.

    With a `prefix` (of topics and groups), several systems share one Kafka unseen by each other.
    `member` is a name that stays the same from one start of this replica to the next and belongs to
    no other one: the partitions of a replica that died are then its successor's at once, and not
    only when Kafka misses the dead one.
    """

    def __init__(
        self, bootstrap: str, *, client_id: str, prefix: str = "", member: str | None = None
    ) -> None:
        self._bootstrap = bootstrap
        self._prefix = prefix
        self._client_id = client_id
        self._member = member
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
        self, *, group: str, topics: Iterable[str], assigned: Assigned, pace_seconds: float = 0.0
    ) -> "KafkaSubscription":
        """Join a consumer group; see `Bus.subscribe`."""
        subscription = KafkaSubscription(
            self._bootstrap,
            self._client_id,
            self._prefix,
            group,
            tuple(topics),
            assigned,
            pace_seconds=pace_seconds,
            member=self._member,
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
            if self._producer is not None and is_out_of_touch(self._producer.client):
                self._retire(self._producer)
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
