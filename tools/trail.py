"""Reads from the topics what one request caused, and puts it in causal order."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from uuid import UUID

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from infra.local.problem import Problem
from libs.events.causality import causal_order
from libs.events.envelope import Envelope, decode_envelope
from libs.events.names import Topic

FETCH_MS = 500


async def read_trail(bootstrap: str, correlation_id: UUID, *, since: datetime) -> list[Envelope]:
    """Every event of a correlation written since then, causes before effects.

    Raises:
        Problem: Kafka cannot be reached.
    """
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, enable_auto_commit=False)
    try:
        await consumer.start()
        partitions = await partitions_of(bootstrap, [topic.value for topic in Topic])
        found = await _scan(consumer, correlation_id, partitions, since)
    except (KafkaError, OSError) as error:
        raise Problem(f"Kafka at {bootstrap} cannot be read: {error}.") from error
    finally:
        await consumer.stop()
    return causal_order(found)


async def _scan(
    consumer: AIOKafkaConsumer,
    correlation_id: UUID,
    partitions: list[TopicPartition],
    since: datetime,
) -> list[Envelope]:
    since_ms = int(since.timestamp() * 1000)
    consumer.assign(partitions)
    starts = await consumer.offsets_for_times(dict.fromkeys(partitions, since_ms))
    ends = await consumer.end_offsets(partitions)
    unread = {each: ends[each] for each in partitions if starts[each] is not None}
    consumer.assign(list(unread))
    for partition in unread:
        consumer.seek(partition, starts[partition].offset)
    found: dict[UUID, Envelope] = {}
    while unread:
        batches = await consumer.getmany(*unread, timeout_ms=FETCH_MS)
        for records in batches.values():
            found |= {each.id: each for each in _matching(records, correlation_id)}
        for partition in list(unread):
            if await consumer.position(partition) >= unread[partition]:
                del unread[partition]
    return list(found.values())


def _matching(records: Iterable[ConsumerRecord], correlation_id: UUID) -> Iterator[Envelope]:
    needle = str(correlation_id).encode()
    for record in records:
        if record.value is not None and needle in record.value:
            envelope = decode_envelope(record.value)
            if envelope.correlationid == correlation_id:
                yield envelope


async def partitions_of(bootstrap: str, topics: Sequence[str]) -> list[TopicPartition]:
    """Every partition of some topics."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        described = await admin.describe_topics(list(topics))
    finally:
        await admin.close()
    return [
        TopicPartition(topic["topic"], partition["partition"])
        for topic in described
        for partition in topic["partitions"]
    ]
