"""Batches to Kafka's producer: in order per partition, each message with its own outcome."""

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError
from aiokafka.partitioner import murmur2

from libs.events.transport import OutgoingMessage


async def send_topic(
    producer: AIOKafkaProducer,
    topic: str,
    indices: Sequence[int],
    messages: Sequence[OutgoingMessage],
    outcomes: list[BaseException | None],
) -> None:
    """Publish one topic's messages; a topic that is missing or refused holds up no other one."""
    try:
        count = len(await producer.partitions_for(topic))
    except (KafkaError, OSError, TimeoutError) as error:
        for index in indices:
            outcomes[index] = error
        return
    partitions: defaultdict[int, list[int]] = defaultdict(list)
    for index in indices:
        partitions[_partition_of(messages[index].key or b"", count)].append(index)
    await asyncio.gather(
        *(
            _send_partition(producer, topic, partition, some, messages, outcomes)
            for partition, some in partitions.items()
        )
    )


@lru_cache(maxsize=65_536)
def _partition_of(key: bytes, count: int) -> int:
    """The partition that Kafka's default partitioner gives a key.

    Murmur2 over the bytes with the sign bit cleared, as the Java client does it.
    """
    return int((murmur2(key) & 0x7FFFFFFF) % count)


async def _send_partition(
    producer: AIOKafkaProducer,
    topic: str,
    partition: int,
    indices: Sequence[int],
    messages: Sequence[OutgoingMessage],
    outcomes: list[BaseException | None],
) -> None:
    """Publish one partition's messages batch after batch; a failed one stops the later ones.

    That keeps the order of each key also when a part has to be published again.
    """
    pending = list(indices)
    while pending:
        batch = producer.create_batch()
        taken = _fill(batch, [messages[index] for index in pending])
        try:
            # A batch without messages is refused: then the next message fits into none.
            delivery = await producer.send_batch(batch, topic, partition=partition)
            await delivery
        except (KafkaError, OSError, TimeoutError) as error:
            for index in pending:
                outcomes[index] = error
            return
        pending = pending[taken:]


def _fill(batch: Any, messages: Sequence[OutgoingMessage]) -> int:
    """Append as many of the messages as the batch takes; answers how many."""
    for count, message in enumerate(messages):
        appended = batch.append(
            key=message.key, value=message.value, timestamp=None, headers=list(message.headers)
        )
        if appended is None:
            return count
    return len(messages)
