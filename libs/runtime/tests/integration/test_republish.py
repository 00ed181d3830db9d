"""An emptied Kafka: its topics are made anew, filled again in order, and read from their start."""

import asyncio
from collections.abc import Sequence
from uuid import UUID, uuid4

import pytest

from infra.kafka import topics
from infra.local.cluster import LocalCluster
from libs.events.bus import KafkaBus
from libs.events.identity import UserRegistered
from libs.events.names import EventType, Topic, kept_topics
from libs.events.registry import REGISTRY
from libs.runtime import relay as relay_module
from libs.runtime.consumer import Consumer
from libs.runtime.db import Transaction
from libs.runtime.relay import Relay
from libs.runtime.testing import Streams
from libs.runtime.tests.support import running

DEADLINE_SECONDS = 60.0
KEYS = [uuid4() for _ in range(3)]


async def empty(cluster: LocalCluster, bus: KafkaBus, prefix: str) -> None:
    """Lose every topic, and make them anew."""
    before = await bus.topic_ids(kept_topics())
    await topics.delete(cluster.kafka_bootstrap, prefix=prefix)
    async with asyncio.timeout(DEADLINE_SECONDS):
        while await bus.topic_ids(kept_topics()):
            await asyncio.sleep(0.02)
        while len(now := await bus.topic_ids(kept_topics())) < len(before):
            await topics.ensure(cluster.kafka_bootstrap, partitions=3, prefix=prefix)
    assert not set(before.values()) & set(now.values())


async def write(streams: Streams, count: int) -> list[UUID]:
    """Events of several keys in turn, each in a transaction of its own."""
    written = []
    for number in range(count):
        key = KEYS[number % len(KEYS)]
        async with streams.database.transaction() as transaction:
            written.append(publish(transaction, key))
    return written


def publish(transaction: Transaction, key: UUID) -> UUID:
    return transaction.publish(
        UserRegistered(user_id=key, account_id=key, role="USER", signup_credits=1, grace=0)
    ).id


async def drain(relay: Relay) -> int:
    count = 0
    await relay.hold_shares()
    while published := await relay.publish_pending():
        count += published
    return count


async def on_kafka(bus: KafkaBus) -> dict[bytes | None, list[UUID]]:
    """Event ids by key, in order, with their repeats."""
    async with asyncio.timeout(DEADLINE_SECONDS):
        while not await bus.topic_ids([Topic.IDENTITY]):  # it is still being made
            await asyncio.sleep(0.05)
    found: dict[bytes | None, list[UUID]] = {}
    async with bus.log() as log:
        for partition, offsets in (await log.extents([Topic.IDENTITY])).items():
            async for batch in log.read(partition, offsets, records_max=100):
                for message in batch:
                    event = REGISTRY.decode(message.value or b"")
                    found.setdefault(message.key, []).append(event.id)
    return found


def by_key(written: Sequence[UUID]) -> dict[bytes | None, list[UUID]]:
    return {str(key).encode(): list(written[place :: len(KEYS)]) for place, key in enumerate(KEYS)}


async def republish(streams: Streams, bus: KafkaBus) -> int:
    ids = await bus.topic_ids(kept_topics())
    async with streams.database.read() as connection:
        queued: int = await connection.fetchval(
            "SELECT republish_outbox($1, $2)", list(ids), list(ids.values())
        )
    return queued


async def test_an_emptied_topic_is_filled_again_before_anything_new_is_published(
    cluster: LocalCluster, streams: Streams, bus: KafkaBus, topic_prefix: str
) -> None:
    old = await write(streams, 12)
    async with running(streams.relay(bus).run()):
        async with asyncio.timeout(DEADLINE_SECONDS):
            while await on_kafka(bus) != by_key(old):
                await asyncio.sleep(0.1)
    await empty(cluster, bus, topic_prefix)
    relay = streams.relay(bus)
    async with running(relay.run()):
        async with asyncio.timeout(DEADLINE_SECONDS):
            while not relay._made_anew:
                await asyncio.sleep(0.05)
        new = await write(streams, 3)
        await asyncio.sleep(0.5)
        assert await on_kafka(bus) == {}
        assert await republish(streams, bus) == 12
        assert await republish(streams, bus) == 0
        async with asyncio.timeout(DEADLINE_SECONDS):
            while await on_kafka(bus) != by_key([*old, *new]):
                await asyncio.sleep(0.1)


async def test_a_republish_that_dies_goes_on_where_it_was(
    cluster: LocalCluster,
    streams: Streams,
    bus: KafkaBus,
    topic_prefix: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first = streams.relay(bus)
    await first.look_at_topics()
    written = await write(streams, 12)
    await drain(first)
    await empty(cluster, bus, topic_prefix)
    assert await republish(streams, bus) == 12
    monkeypatch.setattr(relay_module, "ROWS_MAX", 5)
    dying = streams.relay(bus)
    await dying.hold_shares()
    assert await dying.publish_pending() == 5
    async with streams.database.read() as connection:
        await connection.execute("UPDATE relay_share SET lease_until = '-infinity'")
        await connection.execute("DELETE FROM relay_replica")
    heir = streams.relay(bus, "heir")
    assert not await heir.look_at_topics()
    assert await drain(heir) == 7
    assert await on_kafka(bus) == by_key(written)


async def test_a_reader_begins_anew_when_a_topic_does_although_its_log_is_longer_already(
    cluster: LocalCluster, streams: Streams, bus: KafkaBus, topic_prefix: str
) -> None:
    applied: list[UUID] = []

    async def handle(_: Transaction, events: Sequence[object]) -> None:
        applied.extend(event.id for event in events)  # type: ignore[attr-defined]

    consumer = Consumer(
        name="daygen.billing",
        topics=[Topic.IDENTITY],
        types=[EventType.USER_REGISTERED],
        handler=handle,
        database=streams.database,
        bus=bus,
        clock=streams.clock,
        ids=streams.ids,
        random=streams.random,
        metrics=streams.metrics,
    )
    relay = streams.relay(bus)
    old = await write(streams, 6)
    await drain(relay)
    async with running(consumer.run()):
        await _until(applied, old)
        await empty(cluster, bus, topic_prefix)
        new = await write(streams, 12)
        await drain(relay)  # at once: it has not looked at the topics
        await _until(applied, [*old, *new])
        await republish(streams, bus)
        await drain(relay)
        more = await write(streams, 3)
        await drain(relay)
        await _until(applied, [*old, *new, *more])
    assert len(applied) == len(set(applied))


async def _until(applied: Sequence[UUID], wanted: Sequence[UUID]) -> None:
    async with asyncio.timeout(DEADLINE_SECONDS):
        while set(applied) != set(wanted):
            await asyncio.sleep(0.05)
