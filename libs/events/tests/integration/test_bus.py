"""Kafka through the bus: what a refusal, an outage or an early end leaves behind."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from typing import Any
from uuid import uuid4

import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.client import AIOKafkaClient
from aiokafka.protocol.produce import ProduceRequest

from infra.local.cluster import LocalCluster
from libs.events import bus as bus_module
from libs.events import subscription as subscription_module
from libs.events.bus import KafkaBus
from libs.events.transport import BusError, OutgoingMessage, Partition

NARROW = "narrow"  # a topic whose broker takes small messages only


@pytest.fixture
async def bus(cluster: LocalCluster) -> AsyncIterator[KafkaBus]:
    prefix = f"{uuid4().hex[:12]}."
    admin = AIOKafkaAdminClient(bootstrap_servers=cluster.kafka_bootstrap)
    await admin.start()
    topic = NewTopic(prefix + NARROW, 1, 1, topic_configs={"max.message.bytes": "1000"})
    await admin.create_topics([topic])
    bus = KafkaBus(cluster.kafka_bootstrap, client_id="test", prefix=prefix)
    yield bus
    await bus.close()
    await admin.delete_topics([prefix + NARROW])
    await admin.close()


async def test_a_refused_message_does_not_spoil_those_after_it(bus: KafkaBus) -> None:
    """A refused batch leaves a gap in its producer's sequence, and Kafka lets none pass."""
    assert await bus.publish([OutgoingMessage(NARROW, b"k", b"first")]) == [None]
    (refused,) = await bus.publish([OutgoingMessage(NARROW, b"k", b"x" * 5_000)])
    assert refused is not None
    assert await bus.publish([OutgoingMessage(NARROW, b"k", b"small")]) == [None]
    assert await bus.publish([OutgoingMessage(NARROW, b"k", b"smaller")]) == [None]


async def test_a_missing_topic_holds_up_no_other_one(bus: KafkaBus) -> None:
    present = OutgoingMessage(NARROW, b"k", b"small")
    assert await bus.publish([present]) == [None]
    assert bus._producer is not None
    bus._producer.client._request_timeout_ms = 200  # how long a topic is looked for
    missing = OutgoingMessage("missing", b"k", b"small")
    outcomes = await bus.publish([missing, present, missing])
    assert [outcome is None for outcome in outcomes] == [False, True, False]


async def test_a_subscription_ends_although_its_partitions_could_not_be_placed(
    bus: KafkaBus,
) -> None:
    """The consumer asks its database where to start; that may be away for as long as it likes."""
    asked = asyncio.Event()

    async def never(_logs: Mapping[Partition, range]) -> Mapping[Partition, int]:
        asked.set()
        await asyncio.Event().wait()
        return {}

    subscription = await bus.subscribe(group="test", topics=[NARROW], assigned=never)
    async with asyncio.timeout(60):
        await asked.wait()
        await subscription.close()


async def test_closing_does_not_wait_for_messages_that_kafka_does_not_take(
    bus: KafkaBus, cluster: LocalCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bus_module, "STOP_SECONDS", 0.2)
    message = OutgoingMessage(NARROW, b"k", b"small")
    await bus.publish([message])
    broker = cluster.pid("kafka")
    assert broker is not None
    os.kill(broker, signal.SIGSTOP)
    try:
        publishing = asyncio.create_task(bus.publish([message]))
        await asyncio.sleep(0.2)
        publishing.cancel()
        with suppress(asyncio.CancelledError):
            await publishing
        async with asyncio.timeout(30):
            await bus.close()
    finally:
        os.kill(broker, signal.SIGCONT)


async def test_messages_ask_for_all_replicas_and_carry_an_idempotent_producers_number(
    bus: KafkaBus, cluster: LocalCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    send = AIOKafkaClient.send

    async def watched(client: AIOKafkaClient, node_id: int, request: Any, **options: Any) -> Any:
        if isinstance(request, ProduceRequest):
            asked.append(request.required_acks)
        return await send(client, node_id, request, **options)

    monkeypatch.setattr(AIOKafkaClient, "send", watched)
    assert await bus.publish([OutgoingMessage(NARROW, b"k", b"small")]) == [None]
    assert asked == [-1]  # the wire's word for all
    (log,) = cluster.home.part("kafka").glob(f"**/{bus._prefix}{NARROW}-0/*.log")
    # Record batch v2: the producer's id stands 43 bytes behind the start, -1 without idempotence.
    assert int.from_bytes(log.read_bytes()[43:51], "big", signed=True) >= 0


async def from_the_start(logs: Mapping[Partition, range]) -> Mapping[Partition, int]:
    return {partition: log.start for partition, log in logs.items()}


async def nowhere(_logs: Mapping[Partition, range]) -> Mapping[Partition, int]:
    return {}


async def test_a_subscription_at_a_pace_fetches_together_what_comes_meanwhile(
    bus: KafkaBus,
) -> None:
    subscription = await bus.subscribe(
        group="test", topics=[NARROW], assigned=from_the_start, pace_seconds=0.5
    )
    try:
        fetched: list[list[bytes | None]] = []
        await bus.publish([OutgoingMessage(NARROW, b"k", b"0")])
        while not fetched:
            if messages := await subscription.fetch(records_max=10, timeout_seconds=1):
                fetched.append([each.value for each in messages])
        for number in range(1, 4):
            await bus.publish([OutgoingMessage(NARROW, b"k", b"%d" % number)])
        messages = await subscription.fetch(records_max=10, timeout_seconds=2)
        fetched.append([each.value for each in messages])
        assert fetched == [[b"0"], [b"1", b"2", b"3"]]
        await asyncio.sleep(1)  # longer than it rests
        await bus.publish([OutgoingMessage(NARROW, b"k", b"4")])
        async with asyncio.timeout(30):
            (message,) = await subscription.fetch(records_max=10, timeout_seconds=2)
        assert message.value == b"4"
    finally:
        await subscription.close()


async def test_a_partition_that_is_not_to_be_read_is_not_read_after_a_rest_either(
    bus: KafkaBus,
) -> None:
    await bus.publish([OutgoingMessage(NARROW, b"k", b"0")])
    subscription = await bus.subscribe(
        group="test", topics=[NARROW], assigned=nowhere, pace_seconds=0.01
    )
    try:
        assert await subscription.fetch(records_max=10, timeout_seconds=1) == []
        async with asyncio.timeout(60):
            await subscription._is_placed.wait()
        subscription._begin_rest()
        await bus.publish([OutgoingMessage(NARROW, b"k", b"1")])
        assert await subscription.fetch(records_max=10, timeout_seconds=1) == []
    finally:
        await subscription.close()


async def die(client: AIOKafkaClient) -> None:
    client._sync_task.cancel()
    await asyncio.wait({client._sync_task})


async def test_a_producer_that_is_out_of_touch_is_replaced(bus: KafkaBus) -> None:
    message = OutgoingMessage(NARROW, b"k", b"small")
    assert await bus.publish([message]) == [None]
    before = bus._producer
    assert before is not None
    await die(before.client)
    assert await bus.publish([message]) == [None]
    assert bus._producer is not before


async def test_a_subscription_that_is_out_of_touch_says_so_and_can_be_closed(
    bus: KafkaBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subscription_module, "STOP_SECONDS", 1.0)

    async def from_the_start(logs: Mapping[Partition, range]) -> Mapping[Partition, int]:
        return {partition: log.start for partition, log in logs.items()}

    subscription = await bus.subscribe(group="test", topics=[NARROW], assigned=from_the_start)
    await subscription.fetch(records_max=1, timeout_seconds=1)
    client = subscription._consumer._client
    await die(client)
    client.force_metadata_update()  # never answered
    with pytest.raises(BusError, match="lost touch"):
        await subscription.fetch(records_max=1, timeout_seconds=1)
    async with asyncio.timeout(60):
        await subscription.close()
