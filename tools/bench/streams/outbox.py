"""The way out: rows of the outbox to Kafka, in bulk and one at a time."""

import asyncio
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, suppress
from random import Random
from uuid import UUID

from libs.events.bus import KafkaBus
from libs.events.envelope import decode_envelope
from libs.events.names import Service
from libs.events.payload import Payload
from libs.events.transport import Assigned, Log, OpenSubscription, OutgoingMessage
from libs.runtime.testing import Streams
from tools.bench.figures import Outcome, Spread, percentile
from tools.bench.findings import Figure, Finding
from tools.bench.load import arrivals
from tools.bench.streams.projections import answers, message
from tools.bench.streams.stand import Stand

RATE_TARGET = 5_000.0
WAKE_TARGET_MS = 5.0
WRITTEN_AT_ONCE = 1_000
SECONDS_MAX = 120.0
WAKES_PER_SECOND = 50.0
WAKE_SECONDS = 4.0
PENDING = "SELECT EXISTS (SELECT 1 FROM outbox_pending)"


async def relay(stand: Stand, events: int, rounds: int) -> list[Finding]:
    """The relay of one process, beside publishing the same messages from memory."""
    rates: list[float] = []
    rates_floor: list[float] = []
    wakes: list[float] = []
    wakes_floor: list[float] = []
    async with stand.streams(Service.GENERATION) as streams, stand.bus() as (real, _):
        bus = Watched(real)
        data = [event.data for event in answers(events, streams.ids)]
        for number in range(rounds + 1):  # the first one warms up
            stand.report(f"relay: round {number} of {rounds}" if number else "relay: warming up")
            messages = await _fill(streams, data)
            await stand.checkpoint()
            rates_floor.append(events / await _publish(real, messages))
            rates.append(events / await _drain(streams, bus, events))
            random = Random(number)  # noqa: S311  # no secret
            one_by_one = await _one_by_one(streams, bus, data, random)
            wakes.append(percentile(one_by_one, 50))
            wakes_floor.append(percentile(await _publish_singly(real, messages), 50))
    return [
        Finding(
            bench="relay",
            what=f"{events:,} rows in bulk; then {WAKES_PER_SECOND:g} commits a second, one by one",
            figures=(
                Figure("floor: the producer alone", "events/s", Spread.of(rates_floor[1:])),
                Figure("floor: one message, acks=all, p50", "ms", Spread.of(wakes_floor[1:])),
            ),
            outcomes=(
                Outcome(
                    "rows to Kafka", "events/s", Spread.of(rates[1:]), RATE_TARGET, is_least=True
                ),
                Outcome(
                    "commit to stored by Kafka, p50", "ms", Spread.of(wakes[1:]), WAKE_TARGET_MS
                ),
            ),
        )
    ]


class Watched:
    """The real bus, noting when each event is stored."""

    def __init__(self, bus: KafkaBus) -> None:
        self._bus = bus
        self.stored: dict[UUID, float] = {}
        self._left = 0
        self._done = asyncio.Event()

    def expect(self, count: int) -> None:
        self.stored.clear()
        self._left = count
        self._done.clear()

    async def complete(self) -> None:
        async with asyncio.timeout(SECONDS_MAX):
            await self._done.wait()

    async def publish(self, messages: Sequence[OutgoingMessage]) -> Sequence[BaseException | None]:
        outcomes = await self._bus.publish(messages)
        now = time.monotonic()
        self._left -= len(messages)
        if len(messages) < WRITTEN_AT_ONCE:
            for each in messages:
                self.stored[decode_envelope(each.value or b"").id] = now
        if self._left <= 0:
            self._done.set()
        return outcomes

    async def subscribe(
        self, *, group: str, topics: Iterable[str], assigned: Assigned, pace_seconds: float = 0.0
    ) -> OpenSubscription:
        return await self._bus.subscribe(
            group=group, topics=topics, assigned=assigned, pace_seconds=pace_seconds
        )

    async def topic_ids(self, topics: Iterable[str]) -> Mapping[str, UUID]:
        return await self._bus.topic_ids(topics)

    def log(self) -> AbstractAsyncContextManager[Log]:
        return self._bus.log()

    async def close(self) -> None:
        await self._bus.close()


async def _fill(streams: Streams, data: Sequence[Payload]) -> list[OutgoingMessage]:
    """Write the events to the outbox as a service does, while no relay is at work."""
    messages = []
    for first in range(0, len(data), WRITTEN_AT_ONCE):
        async with streams.database.transaction() as transaction:
            some = [transaction.publish(each) for each in data[first : first + WRITTEN_AT_ONCE]]
        messages += [message(each) for each in some]
    return messages


async def _publish(bus: KafkaBus, messages: Sequence[OutgoingMessage]) -> float:
    began = time.monotonic()
    for first in range(0, len(messages), WRITTEN_AT_ONCE):
        await bus.publish(messages[first : first + WRITTEN_AT_ONCE])
    return time.monotonic() - began


async def _publish_singly(bus: KafkaBus, messages: Sequence[OutgoingMessage]) -> list[float]:
    taken = []
    for each in messages[:100]:
        await asyncio.sleep(1 / WAKES_PER_SECOND)
        began = time.monotonic()
        await bus.publish([each])
        taken.append((time.monotonic() - began) * 1000)
    return taken


async def _drain(streams: Streams, bus: Watched, count: int) -> float:
    """Seconds from the start of a relay until Kafka has everything."""
    bus.expect(count)
    began = time.monotonic()
    task = asyncio.create_task(streams.relay(bus).run())
    try:
        await bus.complete()
        taken = time.monotonic() - began
        await _until_marked(streams)
    finally:
        await _end(task)
    return taken


async def _one_by_one(
    streams: Streams, bus: Watched, data: Sequence[Payload], random: Random
) -> list[float]:
    """Milliseconds from the commit of single events until Kafka has stored each."""
    times = arrivals(WAKES_PER_SECOND, WAKE_SECONDS, random)
    task = asyncio.create_task(streams.relay(bus).run())
    committed: dict[UUID, float] = {}
    try:
        await asyncio.sleep(0.2)  # it has looked through the outbox, and waits
        bus.expect(len(times))
        began = time.monotonic()
        for at, each in zip(times, data, strict=False):
            await asyncio.sleep(max(0.0, began + at - time.monotonic()))
            async with streams.database.transaction() as transaction:
                event = transaction.publish(each)
            committed[event.id] = time.monotonic()
        await bus.complete()
    finally:
        await _end(task)
    return [(bus.stored[each] - at) * 1000 for each, at in committed.items()]


async def _until_marked(streams: Streams) -> None:
    async with asyncio.timeout(SECONDS_MAX), streams.database.read() as connection:
        while await connection.fetchval(PENDING):  # noqa: ASYNC110  # nobody tells
            await asyncio.sleep(0.01)


async def _end(task: asyncio.Task[None]) -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
