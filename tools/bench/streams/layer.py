"""What the consumer itself costs: CPU time per event with a handler that does nothing."""

import time
from collections.abc import Awaitable, Sequence

import msgspec
from aiokafka import AIOKafkaConsumer, TopicPartition

from infra.kafka.topics import PARTITIONS_EMBEDDED
from libs.events.envelope import Envelope, Event
from libs.events.generation import GenerationCompleted
from libs.events.names import Topic
from libs.events.payload import Payload
from libs.events.subscription import FETCH_BYTES_MAX
from libs.runtime.consumer import HISTORY_RECORDS_MAX
from libs.runtime.db import Transaction
from tools.bench.figures import Outcome, Spread, ratios
from tools.bench.findings import Figure, Finding
from tools.bench.streams import tables
from tools.bench.streams.consumption import READ_TABLES, Run
from tools.bench.streams.projections import PROJECTIONS, answers, publish
from tools.bench.streams.stand import Stand

TARGET = 2.0
FETCH_MS = 1_000


async def layer(stand: Stand, events: int, rounds: int) -> list[Finding]:
    """The consumer with positions and inbox, beside reading the same messages by hand."""
    projection = PROJECTIONS[0]
    floors: list[float] = []
    ours: list[float] = []
    async with stand.streams(projection.service) as streams, stand.bus() as (bus, prefix):
        stand.report(f"consumer: publishing {events:,} events")
        await publish(bus, answers(events, streams.ids))
        run = Run(streams, bus, projection, _nothing, events)
        await run.seconds()
        for number in range(1, rounds + 1):
            stand.report(f"consumer: round {number} of {rounds}")
            await tables.empty(streams, READ_TABLES)
            floors.append(await _cpu_us(events, _read_by_hand(stand.bootstrap, prefix, events)))
            ours.append(await _cpu_us(events, run.seconds()))
    return [
        Finding(
            bench="consumer",
            what=f"{events:,} events, handler empty, CPU time of this process",
            figures=(
                Figure("floor: aiokafka getmany and msgspec", "us/event", Spread.of(floors)),
                Figure("ours: batches with positions and inbox", "us/event", Spread.of(ours)),
            ),
            outcomes=(Outcome("ours over the floor's", "x", ratios(ours, floors), TARGET),),
        )
    ]


async def _cpu_us(events: int, work: Awaitable[object]) -> float:
    """Joining and leaving the group is in it, a few milliseconds over all events."""
    began = time.process_time()
    await work
    return (time.process_time() - began) / events * 1e6


async def _read_by_hand(bootstrap: str, prefix: str, events: int) -> None:
    """As little as one can do to have the same typed data in memory, batch after batch."""
    envelopes = msgspec.json.Decoder(Envelope)
    bodies = msgspec.json.Decoder(GenerationCompleted)
    topic = prefix + Topic.GENERATION.value
    consumer = AIOKafkaConsumer(
        bootstrap_servers=bootstrap,
        enable_auto_commit=False,
        max_partition_fetch_bytes=FETCH_BYTES_MAX,
    )
    await consumer.start()
    try:
        partitions = [TopicPartition(topic, each) for each in range(PARTITIONS_EMBEDDED)]
        consumer.assign(partitions)
        await consumer.seek_to_beginning(*partitions)
        left = events
        while left:
            batches = await consumer.getmany(timeout_ms=FETCH_MS, max_records=HISTORY_RECORDS_MAX)
            read = [
                (envelope, bodies.decode(envelope.data))
                for records in batches.values()
                for record in records
                for envelope in (envelopes.decode(record.value),)
            ]
            left -= len(read)
    finally:
        await consumer.stop()


async def _nothing(_transaction: Transaction, _events: Sequence[Event[Payload]]) -> None: ...
