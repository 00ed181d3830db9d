"""The consumer when partitions move, or its subscription breaks, in the middle of a batch."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from uuid import UUID, uuid4

from libs.events.bus import KafkaBus
from libs.events.envelope import Event, encode
from libs.events.identity import UserRegistered
from libs.events.names import EventType, Topic
from libs.events.payload import Payload
from libs.events.subscription import KafkaSubscription
from libs.events.transport import (
    Assigned,
    Bus,
    BusError,
    IncomingMessage,
    OutgoingMessage,
    Partition,
)
from libs.runtime.clock import SystemClock
from libs.runtime.consumer import Consumer
from libs.runtime.db import Transaction
from libs.runtime.testing import Streams
from libs.runtime.tests.support import RecordingBus, running

DEADLINE_SECONDS = 60.0
TOPIC = Topic.IDENTITY.value
KEPT, LOST = (Partition(TOPIC, UUID(int=1), number) for number in (0, 1))


def registered(streams: Streams) -> Event[Payload]:
    user_id = uuid4()
    return streams.emitter.event(
        UserRegistered(user_id=user_id, account_id=user_id, role="USER", signup_credits=1, grace=0)
    )


def incoming(partition: Partition, offset: int, event: Event[Payload]) -> IncomingMessage:
    return IncomingMessage(partition, offset, event.key.encode(), encode(event))


def batch(streams: Streams, partition: Partition, offsets: Iterable[int]) -> list[IncomingMessage]:
    return [incoming(partition, offset, registered(streams)) for offset in offsets]


class Member(SystemClock):
    """A consumer whose first try fails; before its second, something else happens."""

    def __init__(self, streams: Streams, bus: Bus | None = None) -> None:
        self.meanwhile: list[Callable[[], Awaitable[object]]] = []
        self.applied: list[UUID] = []
        self.consumer = Consumer(
            name="test",
            topics=[Topic.IDENTITY],
            types=[EventType.USER_REGISTERED],
            handler=self._handle,
            database=streams.database,
            bus=bus or RecordingBus(),
            clock=self,
            ids=streams.ids,
            random=streams.random,
            metrics=streams.metrics,
        )

    async def _handle(self, _transaction: Transaction, events: Sequence[Event[Payload]]) -> None:
        if self.meanwhile:
            raise ConnectionResetError
        self.applied += [event.id for event in events]

    async def sleep(self, seconds: float) -> None:
        """The pause between two tries."""
        if self.meanwhile:
            await self.meanwhile.pop()()
        await super().sleep(seconds)

    async def consume(self, messages: Sequence[IncomingMessage]) -> "Seeks":
        seeks = Seeks()
        async with asyncio.timeout(DEADLINE_SECONDS):
            await self.consumer.consume(seeks, messages)
        return seeks


class Seeks:
    """A subscription that only remembers where it was sent."""

    def __init__(self) -> None:
        self.at: dict[Partition, int] = {}

    async def fetch(self, *, records_max: int, timeout_seconds: float) -> Sequence[IncomingMessage]:
        raise BusError("broken for good")

    def seek(self, partition: Partition, offset: int) -> None:
        self.at[partition] = offset

    async def report(self, next_offsets: Mapping[Partition, int]) -> None: ...

    def known_ends(self) -> Mapping[Partition, int]:
        return {}

    async def ends(self) -> Mapping[Partition, int]:
        return {}

    async def close(self) -> None: ...


async def position(streams: Streams, partition: Partition) -> int:
    async with streams.database.read() as connection:
        return int(
            await connection.fetchval(
                "SELECT next_offset FROM position WHERE partition = $1", partition.partition
            )
        )


async def test_a_batch_goes_on_although_a_partition_of_it_was_taken_away(streams: Streams) -> None:
    member = Member(streams)
    await member.consumer.place({KEPT: range(9), LOST: range(9)})
    member.meanwhile.append(lambda: member.consumer.place({KEPT: range(9)}))
    await member.consume(batch(streams, KEPT, range(3)) + batch(streams, LOST, range(3)))
    assert len(member.applied) == 6
    assert [await position(streams, each) for each in (KEPT, LOST)] == [3, 3]
    assert member.consumer.progress() == {KEPT: 3}  # the other one is its new owner's to follow
    await member.consume(batch(streams, KEPT, range(3, 5)))
    assert await position(streams, KEPT) == 5


async def test_messages_of_a_partition_that_is_not_ours_are_left_to_its_owner(
    streams: Streams,
) -> None:
    member = Member(streams)
    await member.consumer.place({KEPT: range(9), LOST: range(9)})
    await member.consumer.place({KEPT: range(9)})
    await member.consume(batch(streams, KEPT, range(3)) + batch(streams, LOST, range(3)))
    assert len(member.applied) == 3
    assert await position(streams, LOST) == 0


async def test_a_batch_is_fenced_although_its_partition_has_come_back_meanwhile(
    streams: Streams,
) -> None:
    """The other owner's position is the newer truth: it must not be moved back."""
    member, other = Member(streams), Member(streams)
    messages = batch(streams, KEPT, range(6))
    await member.consumer.place({KEPT: range(9)})
    await other.consumer.place({KEPT: range(9)})

    async def away_and_back() -> None:
        async with streams.database.read() as connection:
            await connection.execute("UPDATE position SET next_offset = 6")
        await member.consumer.place({KEPT: range(9)})

    member.meanwhile.append(away_and_back)
    seeks = await member.consume(messages[:3])
    assert member.applied == []
    assert await position(streams, KEPT) == 6
    assert seeks.at == {KEPT: 6}


class Replacing(RecordingBus):
    """Its first subscription is broken for good."""

    def __init__(self) -> None:
        super().__init__()
        self.subscribed = 0

    async def subscribe(
        self, *, group: str, topics: Iterable[str], assigned: Assigned, pace_seconds: float = 0.0
    ) -> Seeks:
        self.subscribed += 1
        return Seeks()


async def test_a_subscription_that_cannot_be_read_is_replaced(streams: Streams) -> None:
    bus = Replacing()
    async with running(Member(streams, bus).consumer.run()):
        async with asyncio.timeout(DEADLINE_SECONDS):
            while bus.subscribed < 2:
                await asyncio.sleep(0.01)


class Watching(KafkaBus):
    """Lets a test reach into the subscription of its consumer."""

    subscription: KafkaSubscription

    async def subscribe(
        self, *, group: str, topics: Iterable[str], assigned: Assigned, pace_seconds: float = 0.0
    ) -> KafkaSubscription:
        self.subscription = await super().subscribe(
            group=group, topics=topics, assigned=assigned, pace_seconds=pace_seconds
        )
        return self.subscription


async def test_a_batch_that_takes_very_long_does_not_end_the_reading(
    streams: Streams, bus: KafkaBus
) -> None:
    """A database that is away for minutes: the group must not give up a member that cannot fetch.

    It would be taken back only once it fetches, which it does only once it has been taken back.
    """
    watching = Watching(bus._bootstrap, client_id="test", prefix=bus._prefix)
    member = Member(streams, watching)

    async def outage() -> None:
        state = watching.subscription._consumer._subscription
        state._last_fetch_ended -= 3_600.0
        await asyncio.sleep(5.0)  # two heartbeats

    def message() -> OutgoingMessage:
        event = registered(streams)
        return OutgoingMessage(TOPIC, event.key.encode(), encode(event))

    member.meanwhile.append(outage)
    async with running(member.consumer.run()):
        await bus.publish([message()])
        async with asyncio.timeout(DEADLINE_SECONDS):
            while len(member.applied) < 1:
                await asyncio.sleep(0.02)
            await bus.publish([message() for _ in range(10)])
            while len(member.applied) < 11:
                await asyncio.sleep(0.02)
    await watching.close()
