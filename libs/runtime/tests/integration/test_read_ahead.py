"""The consumer behind its logs: batches are read ahead, and still applied once and in order."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from uuid import UUID, uuid4

from libs.events.bus import KafkaBus
from libs.events.envelope import Event, encode
from libs.events.identity import UserRegistered
from libs.events.names import EventType, Topic
from libs.events.payload import Payload
from libs.events.transport import Assigned, Bus, IncomingMessage, OutgoingMessage, Partition
from libs.runtime.consumer import Consumer, Handler
from libs.runtime.db import Transaction
from libs.runtime.testing import Streams
from libs.runtime.tests.support import RecordingBus, running

DEADLINE_SECONDS = 60.0
BATCH = 3
TOPIC = Topic.IDENTITY.value
PARTITION = Partition(TOPIC, UUID(int=1), 0)


def registered(streams: Streams, user_id: UUID | None = None) -> Event[Payload]:
    user_id = user_id or uuid4()
    return streams.emitter.event(
        UserRegistered(user_id=user_id, account_id=user_id, role="USER", signup_credits=1, grace=0)
    )


async def nothing() -> None: ...


class LogBus(RecordingBus):
    """One partition as a log that is read from where it was sought, with all that waits in it."""

    def __init__(self, events: Sequence[Event[Payload]]) -> None:
        super().__init__()
        self.messages_held = [
            IncomingMessage(PARTITION, offset, event.key.encode(), encode(event))
            for offset, event in enumerate(events)
        ]
        self.at = 0
        self.fetches = 0
        self.before_fetch: dict[int, Callable[[], Awaitable[object]]] = {}
        self.sizes: dict[int, int] = {}  # of single fetches, where they are not full
        self.assigned: Assigned | None = None

    async def subscribe(
        self, *, group: str, topics: Iterable[str], assigned: Assigned, pace_seconds: float = 0.0
    ) -> "LogBus":
        self.assigned = assigned
        await self.rebalance()
        return self

    async def rebalance(self) -> None:
        """The partition is given to the member, once more if it had it before."""
        assert self.assigned is not None
        starts = await self.assigned({PARTITION: range(len(self.messages_held) + 1)})
        self.at = starts[PARTITION]

    async def fetch(self, *, records_max: int, timeout_seconds: float) -> Sequence[IncomingMessage]:
        self.fetches += 1
        await self.before_fetch.pop(self.fetches, nothing)()
        size = self.sizes.pop(self.fetches, records_max)
        found = self.messages_held[self.at : self.at + size]
        self.at += len(found)
        if not found:
            await asyncio.sleep(0.01)
        return found

    def seek(self, partition: Partition, offset: int) -> None:
        self.at = offset

    async def report(self, next_offsets: Mapping[Partition, int]) -> None: ...

    def known_ends(self) -> Mapping[Partition, int]:
        return {}

    async def ends(self) -> Mapping[Partition, int]:
        return {}


def consumer(streams: Streams, bus: Bus, handler: Handler, *, records_max: int = BATCH) -> Consumer:
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
        records_max=records_max,
    )


async def record(transaction: Transaction, events: Sequence[Event[Payload]]) -> None:
    """Write what was applied; the inbox forgets it, so that only the positions stop a repeat."""
    await transaction.connection.execute("DELETE FROM inbox")
    await transaction.connection.execute(
        "INSERT INTO applied (event_id, user_id)"
        " SELECT event_id, user_id FROM unnest($1::uuid[], $2::uuid[]) WITH ORDINALITY"
        " AS row (event_id, user_id, place) ORDER BY place",
        [event.id for event in events],
        [UUID(event.subject) for event in events],
    )


async def applied(streams: Streams) -> list[UUID]:
    async with streams.database.read() as connection:
        rows = await connection.fetch("SELECT event_id FROM applied ORDER BY place")
    return [row["event_id"] for row in rows]


async def position(streams: Streams) -> int:
    async with streams.database.read() as connection:
        return int(await connection.fetchval("SELECT sum(next_offset) FROM position") or 0)


async def until_position(streams: Streams, count: int) -> None:
    async with asyncio.timeout(DEADLINE_SECONDS):
        while await position(streams) < count:
            await asyncio.sleep(0.01)


class Gate:
    """A handler that stands still in its first batch until it is let through."""

    def __init__(self) -> None:
        self.reached, self.open = asyncio.Event(), asyncio.Event()

    async def __call__(self, transaction: Transaction, events: Sequence[Event[Payload]]) -> None:
        await record(transaction, events)
        self.reached.set()
        await self.open.wait()


async def until_fetched(bus: LogBus, offset: int) -> None:
    async with asyncio.timeout(DEADLINE_SECONDS):
        while bus.at < offset:
            await asyncio.sleep(0.001)


async def test_the_next_batch_is_fetched_during_the_commit_and_no_further_one(
    streams: Streams,
) -> None:
    bus, gate = LogBus([registered(streams) for _ in range(4 * BATCH)]), Gate()
    async with running(consumer(streams, bus, gate).run()):
        await asyncio.wait_for(gate.reached.wait(), DEADLINE_SECONDS)
        await until_fetched(bus, 2 * BATCH)
        await asyncio.sleep(0.1)
        assert bus.at == 2 * BATCH
        assert await applied(streams) == []
        gate.open.set()
        await until_position(streams, 4 * BATCH)


async def test_a_batch_that_is_not_full_is_applied_before_anything_else_is_fetched(
    streams: Streams,
) -> None:
    bus, gate = LogBus([registered(streams) for _ in range(BATCH - 1)]), Gate()
    async with running(consumer(streams, bus, gate).run()):
        await asyncio.wait_for(gate.reached.wait(), DEADLINE_SECONDS)
        await asyncio.sleep(0.1)
        assert bus.fetches == 1


async def test_what_was_read_ahead_of_a_fenced_batch_opens_no_gap(streams: Streams) -> None:
    """The other member stood further back: what is between its position and ours comes again."""
    events = [registered(streams) for _ in range(3 * BATCH)]
    bus = LogBus(events)

    async def another_member_moves() -> None:
        async with streams.database.read() as connection:
            await connection.execute("UPDATE position SET next_offset = 1")

    bus.before_fetch[1] = another_member_moves
    async with running(consumer(streams, bus, record).run()):
        await until_position(streams, 3 * BATCH)
    assert await applied(streams) == [event.id for event in events[1:]]


async def test_a_rebalance_during_a_commit_applies_nothing_twice_and_loses_nothing(
    streams: Streams,
) -> None:
    """The partition comes back at the position before the commit; the batch read ahead is whole."""
    events = [registered(streams) for _ in range(4 * BATCH)]
    bus, gate = LogBus(events), Gate()
    async with running(consumer(streams, bus, gate).run()):
        await asyncio.wait_for(gate.reached.wait(), DEADLINE_SECONDS)
        await until_fetched(bus, 2 * BATCH)
        await bus.rebalance()
        assert bus.at == 0
        bus.sizes[bus.fetches + 1] = BATCH - 1  # so that what comes again overlaps in other places
        gate.open.set()
        await until_position(streams, 4 * BATCH)
        await asyncio.sleep(0.1)
    assert await applied(streams) == [event.id for event in events]
    assert await position(streams) == 4 * BATCH


async def test_a_partition_that_was_read_ahead_and_taken_away_is_left_to_its_owner(
    streams: Streams,
) -> None:
    events = [registered(streams) for _ in range(4 * BATCH)]
    bus, gate = LogBus(events), Gate()
    member = consumer(streams, bus, gate)
    async with running(member.run()):
        await asyncio.wait_for(gate.reached.wait(), DEADLINE_SECONDS)
        await until_fetched(bus, 2 * BATCH)
        await member.place({})
        gate.open.set()
        await until_position(streams, BATCH)
        await until_fetched(bus, 4 * BATCH)
        await asyncio.sleep(0.1)
    assert await applied(streams) == [event.id for event in events[:BATCH]]


async def test_a_consumer_that_dies_with_a_batch_read_ahead_loses_nothing(
    streams: Streams,
) -> None:
    events = [registered(streams) for _ in range(4 * BATCH)]
    bus, gate = LogBus(events), Gate()
    async with running(consumer(streams, bus, gate).run()):
        await asyncio.wait_for(gate.reached.wait(), DEADLINE_SECONDS)
        await until_fetched(bus, 2 * BATCH)
    assert await applied(streams) == []
    async with running(consumer(streams, LogBus(events), record).run()):
        await until_position(streams, 4 * BATCH)
    assert await applied(streams) == [event.id for event in events]


async def test_a_consumer_that_ends_while_it_fetches_ends_its_commit_too(streams: Streams) -> None:
    """Else that would hold the positions, and whoever comes next would wait for it."""
    events = [registered(streams) for _ in range(2 * BATCH)]
    bus, gate = LogBus(events), Gate()
    bus.before_fetch[2] = asyncio.Event().wait
    async with running(consumer(streams, bus, gate).run()):
        await asyncio.wait_for(gate.reached.wait(), DEADLINE_SECONDS)
    async with running(consumer(streams, LogBus(events), record).run()):
        await until_position(streams, 2 * BATCH)
    gate.open.set()
    await asyncio.sleep(0.1)
    assert await applied(streams) == [event.id for event in events]


async def test_a_backlog_is_applied_once_and_in_order_while_members_come_and_go(
    streams: Streams, bus: KafkaBus
) -> None:
    users = [uuid4() for _ in range(30)]
    events = [registered(streams, users[number % 30]) for number in range(3_000)]
    await bus.publish(
        [OutgoingMessage(TOPIC, event.key.encode(), encode(event)) for event in events]
    )
    async with running(consumer(streams, bus, record, records_max=50).run()):
        await until_position(streams, 300)
        second = consumer(streams, bus, record, records_max=50)
        async with running(second.run()):
            async with asyncio.timeout(DEADLINE_SECONDS):
                while not second.progress():
                    await asyncio.sleep(0.01)
            await until_position(streams, 1_000)
        await until_position(streams, 2_000)
    async with running(consumer(streams, bus, record, records_max=50).run()):
        await until_position(streams, 3_000)
    async with streams.database.read() as connection:
        rows = await connection.fetch("SELECT user_id, event_id FROM applied ORDER BY place")
    found: dict[UUID, list[UUID]] = {user: [] for user in users}
    for row in rows:
        found[row["user_id"]].append(row["event_id"])
    assert found == {
        user: [event.id for event in events if event.subject == str(user)] for user in users
    }
