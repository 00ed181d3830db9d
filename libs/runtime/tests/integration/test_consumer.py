"""The transactional consumer on real Kafka and Postgres: each effect once, whatever happens."""

import asyncio
from collections.abc import Mapping, Sequence
from uuid import UUID, uuid4

from structlog.testing import capture_logs

from libs.events.bus import KafkaBus
from libs.events.envelope import Event, encode
from libs.events.identity import UserRegistered
from libs.events.names import EventType, Topic
from libs.events.payload import Payload
from libs.events.testing import key_of
from libs.events.transport import IncomingMessage, OutgoingMessage, Partition
from libs.runtime.consumer import Consumer, Handler
from libs.runtime.db import Transaction
from libs.runtime.errors import Conflict
from libs.runtime.testing import Streams
from libs.runtime.tests.support import running

DEADLINE_SECONDS = 60.0


def registered(streams: Streams, role: str = "USER", user_id: UUID | None = None) -> Event[Payload]:
    user_id = user_id or uuid4()
    return streams.emitter.event(
        UserRegistered(user_id=user_id, account_id=user_id, role=role, signup_credits=1, grace=0)
    )


def message(event: Event[Payload]) -> OutgoingMessage:
    return OutgoingMessage(event.data.topic.value, event.key.encode(), encode(event))


def incoming(partition: Partition, offset: int, event: Event[Payload]) -> IncomingMessage:
    return IncomingMessage(partition, offset, event.key.encode(), encode(event))


async def record(transaction: Transaction, events: Sequence[Event[Payload]]) -> None:
    """Write what was applied, and refuse users of role POISON."""
    if any(getattr(event.data, "role", "") == "POISON" for event in events):
        raise Conflict("this user cannot be applied: \0")  # a text may quote whatever was sent
    await transaction.connection.execute(
        "INSERT INTO applied (event_id, user_id) SELECT * FROM unnest($1::uuid[], $2::uuid[])",
        [event.id for event in events],
        [UUID(event.subject) for event in events],
    )


def consumer(streams: Streams, bus: KafkaBus, handler: Handler = record) -> Consumer:
    return Consumer(
        name="test",
        topics=[Topic.IDENTITY],
        types=[EventType.USER_REGISTERED],
        handler=handler,
        database=streams.database,
        bus=bus,
        clock=streams.clock,
        ids=streams.ids,
        random=streams.random,
        metrics=streams.metrics,
    )


async def until(count: int, query: str, streams: Streams) -> None:
    """Wait until a count query answers at least this much."""
    async with asyncio.timeout(DEADLINE_SECONDS):
        while await scalar(streams, query) < count:
            await asyncio.sleep(0.02)


async def scalar(streams: Streams, query: str, *arguments: object) -> int:
    async with streams.database.read() as connection:
        return int(await connection.fetchval(query, *arguments) or 0)


APPLIED = "SELECT count(*) FROM applied"
PARKED = "SELECT count(*) FROM parked"
POSITIONS = "SELECT sum(next_offset) FROM position"


async def test_every_event_is_applied_once_and_the_position_follows(
    streams: Streams, bus: KafkaBus
) -> None:
    events = [registered(streams) for _ in range(300)]
    await bus.publish([message(event) for event in events])
    async with running(consumer(streams, bus).run()):
        await until(300, APPLIED, streams)
    assert await scalar(streams, "SELECT count(DISTINCT event_id) FROM applied") == 300
    assert await scalar(streams, POSITIONS) == 300


async def test_events_of_one_key_are_applied_in_their_order(
    streams: Streams, bus: KafkaBus
) -> None:
    user_id = uuid4()
    events = [registered(streams, user_id=user_id) for _ in range(50)]
    await bus.publish([message(event) for event in events])
    async with running(consumer(streams, bus).run()):
        await until(50, APPLIED, streams)
    async with streams.database.read() as connection:
        rows = await connection.fetch("SELECT event_id FROM applied ORDER BY place")
    assert [row["event_id"] for row in rows] == [event.id for event in events]


async def test_a_repeat_under_the_same_id_is_dropped_in_and_across_batches(
    streams: Streams, bus: KafkaBus
) -> None:
    event, last = registered(streams), registered(streams)
    await bus.publish([message(event), message(event)])
    async with running(consumer(streams, bus).run()):
        await until(1, APPLIED, streams)
        await bus.publish([message(event), message(last)])
        await until(4, POSITIONS, streams)
    assert await scalar(streams, APPLIED) == 2


async def test_repeats_are_dropped_from_a_batch_of_many_ids(
    streams: Streams, bus: KafkaBus
) -> None:
    """Many are inserted as if all were fresh: here one is known, and one comes twice."""
    partition = Partition(Topic.IDENTITY.value, uuid4(), 0)
    member, seeks = consumer(streams, bus), _Seeks()
    await member.place({partition: range(2000)})
    known, *others = [registered(streams) for _ in range(500)]
    batches = [[known], [*others[:449], known], [*others[449:], others[449]], [*others, known]]
    offset = 0
    for events in batches:
        await member.consume(
            seeks, [incoming(partition, offset + n, event) for n, event in enumerate(events)]
        )
        offset += len(events)
    assert await scalar(streams, "SELECT count(*) FROM inbox") == 500
    assert await scalar(streams, "SELECT count(DISTINCT event_id) FROM applied") == 500
    assert await scalar(streams, APPLIED) == 500
    assert await scalar(streams, POSITIONS) == offset


async def test_a_poison_event_is_parked_and_the_rest_of_its_batch_applied(
    streams: Streams, bus: KafkaBus
) -> None:
    poison = registered(streams, role="POISON")
    behind = registered(streams, user_id=UUID(poison.subject))
    others = [registered(streams) for _ in range(20)]
    await bus.publish([message(event) for event in [*others[:10], poison, behind, *others[10:]]])
    async with running(consumer(streams, bus).run()):
        await until(22, POSITIONS, streams)
        later = registered(streams, user_id=UUID(poison.subject))
        await bus.publish([message(later)])
        await until(23, POSITIONS, streams)
    async with streams.database.read() as connection:
        parked = await connection.fetch("SELECT event_id, reason FROM parked ORDER BY sequence")
        outgoing = await connection.fetch("SELECT topic, headers FROM outbox ORDER BY order_number")
    assert await scalar(streams, APPLIED) == 20
    assert [(row["event_id"], row["reason"]) for row in parked] == [
        (poison.id, "conflict"),
        (behind.id, "behind"),
        (later.id, "behind"),
    ]
    assert [row["topic"] for row in outgoing] == ["daygen.identity.dlq", "daygen.operations"] * 3
    assert '"daygen-reason": "conflict"' in outgoing[0]["headers"]


async def test_what_cannot_be_read_is_parked_with_its_reason(
    streams: Streams, bus: KafkaBus
) -> None:
    good = registered(streams)
    encoded = encode(good)
    nul = encoded.replace(b'"subject":"', rb'"subject":"\u0000')
    strange = {
        "malformed": b'{"specversion": "1.0"',
        "unknown_type": encode(registered(streams)).replace(b".registered", b".teleported"),
        "newer_version": encode(registered(streams)).replace(
            b'"eventversion":1', b'"eventversion":9'
        ),
        "invalid_data": encode(registered(streams)).replace(
            b'"signup_credits":1', b'"signup_credits":"1"'
        ),
    }
    topic = Topic.IDENTITY.value
    await bus.publish(
        [
            OutgoingMessage(topic, key_of(value or b""), value)
            for value in (*strange.values(), None, nul, encoded)
        ]
    )
    with capture_logs() as lines:
        async with running(consumer(streams, bus).run()):
            await until(7, POSITIONS, streams)
    async with streams.database.read() as connection:
        reasons = [row["reason"] for row in await connection.fetch("SELECT reason FROM parked")]
    assert sorted(reasons) == sorted([*strange, "malformed", "malformed"])
    told = [line["reason"] for line in lines if line["event"] == "message_parked"]
    assert sorted(told) == sorted(reasons)
    assert await scalar(streams, APPLIED) == 1


async def test_a_poison_signal_is_parked_and_its_copy_blocks_no_outbox(
    streams: Streams, bus: KafkaBus
) -> None:
    member = Consumer(
        name="test",
        topics=[Topic.PROGRESS],
        types=[EventType.GENERATION_STARTED],
        handler=record,
        database=streams.database,
        bus=bus,
        clock=streams.clock,
        ids=streams.ids,
        random=streams.random,
        metrics=streams.metrics,
    )
    signal = Partition(Topic.PROGRESS.value, uuid4(), 0)
    await member.place({signal: range(1)})
    await member.consume(_Seeks(), [IncomingMessage(signal, 0, b"k", b"no event")])
    async with streams.database.read() as connection:
        outgoing = await connection.fetch("SELECT topic FROM outbox ORDER BY order_number")
    assert await scalar(streams, PARKED) == 1
    assert [row["topic"] for row in outgoing] == ["daygen.operations"]
    relay = streams.relay(bus)
    await relay.hold_shares()
    assert await relay.publish_pending() == 1


async def test_a_fault_that_passes_is_retried_and_leaves_no_trace(
    streams: Streams, bus: KafkaBus
) -> None:
    faults = [ConnectionResetError("gone"), TimeoutError("slow"), OSError("disk")]

    async def unlucky(transaction: Transaction, events: Sequence[Event[Payload]]) -> None:
        await record(transaction, events)
        if faults:
            raise faults.pop()

    await bus.publish([message(registered(streams)) for _ in range(5)])
    async with running(consumer(streams, bus, unlucky).run()):
        await until(5, POSITIONS, streams)
    assert await scalar(streams, APPLIED) == 5
    assert await scalar(streams, PARKED) == 0
    assert not faults


async def test_a_consumer_that_dies_between_handler_and_commit_loses_nothing(
    streams: Streams, bus: KafkaBus
) -> None:
    reached = asyncio.Event()

    async def stuck(transaction: Transaction, events: Sequence[Event[Payload]]) -> None:
        await record(transaction, events)
        reached.set()
        await asyncio.Event().wait()

    await bus.publish([message(registered(streams)) for _ in range(5)])
    async with running(consumer(streams, bus, stuck).run()):
        await asyncio.wait_for(reached.wait(), DEADLINE_SECONDS)
    assert await scalar(streams, APPLIED) == 0
    async with running(consumer(streams, bus).run()):
        await until(5, POSITIONS, streams)
    assert await scalar(streams, APPLIED) == 5


async def test_a_new_consumer_goes_on_where_the_position_in_postgres_stands(
    streams: Streams, bus: KafkaBus
) -> None:
    """Kafka's own group offset is never asked: it was never committed by this test's consumers."""
    await bus.publish([message(registered(streams)) for _ in range(4)])
    async with running(consumer(streams, bus).run()):
        await until(4, POSITIONS, streams)
    async with streams.database.read() as connection:
        await connection.execute("TRUNCATE inbox")
    await bus.publish([message(registered(streams))])
    async with running(consumer(streams, bus).run()):
        await until(5, POSITIONS, streams)
    assert await scalar(streams, APPLIED) == 5


class _Seeks:
    """A subscription that only remembers where it was sent."""

    def __init__(self) -> None:
        self.seeks: dict[Partition, int] = {}

    async def fetch(self, *, records_max: int, timeout_seconds: float) -> Sequence[IncomingMessage]:
        return []

    def seek(self, partition: Partition, offset: int) -> None:
        self.seeks[partition] = offset

    async def report(self, next_offsets: Mapping[Partition, int]) -> None: ...

    async def close(self) -> None: ...


async def test_a_zombie_with_fetched_messages_is_fenced_and_sent_to_the_true_position(
    streams: Streams, bus: KafkaBus
) -> None:
    partition = Partition(Topic.IDENTITY.value, uuid4(), 0)
    batch = [incoming(partition, offset, registered(streams)) for offset in range(3)]
    zombie, successor, seeks = consumer(streams, bus), consumer(streams, bus), _Seeks()
    for member in (zombie, successor):
        await member.place({partition: range(4)})
    await successor.consume(seeks, batch)
    async with streams.database.read() as connection:
        await connection.execute("TRUNCATE inbox")  # so that only the fence can stop the zombie
    await zombie.consume(seeks, batch)
    assert await scalar(streams, APPLIED) == 3
    assert seeks.seeks == {partition: 3}


async def test_a_position_beyond_the_log_stops_that_partition_and_no_other(
    streams: Streams, bus: KafkaBus
) -> None:
    topic_id = uuid4()
    beyond, sound = (Partition(Topic.IDENTITY.value, topic_id, number) for number in (0, 1))
    member = consumer(streams, bus)
    await member.place({beyond: range(11), sound: range(11)})
    async with streams.database.read() as connection:
        await connection.execute("UPDATE position SET next_offset = 50 WHERE partition = 0")
    assert await member.place({beyond: range(11), sound: range(11)}) == {sound: 0}


async def test_a_topic_made_anew_is_read_from_its_start(streams: Streams, bus: KafkaBus) -> None:
    member = consumer(streams, bus)
    old, new = (Partition(Topic.IDENTITY.value, uuid4(), 0) for _ in range(2))
    await member.place({old: range(3)})
    await member.consume(_Seeks(), [incoming(old, 0, registered(streams))])
    assert await member.place({new: range(3)}) == {new: 0}


async def test_an_expired_signal_is_skipped_and_expired_history_is_an_alarm(
    streams: Streams, bus: KafkaBus
) -> None:
    member = Consumer(
        name="test",
        topics=[Topic.IDENTITY, Topic.PROGRESS],
        types=[],
        handler=record,
        database=streams.database,
        bus=bus,
        clock=streams.clock,
        ids=streams.ids,
        random=streams.random,
        metrics=streams.metrics,
    )
    signal = Partition(Topic.PROGRESS.value, uuid4(), 0)
    history = Partition(Topic.IDENTITY.value, uuid4(), 0)
    assert await member.place({signal: range(7, 9), history: range(7, 9)}) == {signal: 7}
