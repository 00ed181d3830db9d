"""Kafka to tables by the real consumer and the real projections, beside a COPY of the same rows."""

import asyncio
import time
from collections.abc import Sequence
from contextlib import suppress
from functools import partial

from libs.events.bus import KafkaBus
from libs.events.envelope import Event
from libs.events.payload import Payload
from libs.runtime.consumer import Consumer, Handler
from libs.runtime.db import Transaction
from libs.runtime.testing import Streams
from tools.bench.figures import Outcome, Spread
from tools.bench.findings import Figure, Finding
from tools.bench.streams import tables
from tools.bench.streams.projections import (
    PROJECTIONS,
    Projection,
    answers,
    consumer_of,
    publish,
)
from tools.bench.streams.stand import Stand

REPLAY_TARGET = 40.0
LIVE_TARGET = 20.0
READ_TABLES = ("position", "inbox")
SENT_TABLES = ("outbox", "outbox_pending")
SECONDS_MAX = 300.0


async def replay(stand: Stand, events: int, rounds: int) -> list[Finding]:
    """History through the projections, their answers muted."""
    return [await _measure(stand, each, events, rounds, is_live=False) for each in PROJECTIONS]


async def live(stand: Stand, events: int, rounds: int) -> list[Finding]:
    """The same with everything that the service does: inbox and answers in the outbox."""
    return [await _measure(stand, each, events, rounds, is_live=True) for each in PROJECTIONS]


async def _measure(
    stand: Stand, projection: Projection, events: int, rounds: int, *, is_live: bool
) -> Finding:
    name = f"{'live' if is_live else 'replay'}, {projection.service}"
    written = (*projection.tables, *READ_TABLES[1:], *SENT_TABLES) if is_live else projection.tables
    async with stand.streams(projection.service) as streams, stand.bus() as (bus, _):
        stand.report(f"{name}: publishing {events:,} events")
        await publish(bus, answers(events, streams.ids))
        run = Run(streams, bus, projection, projection.live if is_live else projection.fold, events)
        everything = (*projection.tables, *READ_TABLES, *SENT_TABLES)
        await run.seconds()  # warms up, and leaves the rows that the floor copies
        rows = await tables.rows_of(streams, written)
        floors, ours = [], []
        for number in range(1, rounds + 1):
            stand.report(f"{name}: round {number} of {rounds}")
            await tables.empty(streams, everything)
            await stand.checkpoint()
            floors.append(events / await tables.copy(streams, rows))
            await tables.empty(streams, everything)
            await stand.checkpoint()
            ours.append(events / await run.seconds())
    percent = [100 * mine / floor for mine, floor in zip(ours, floors, strict=True)]
    target = LIVE_TARGET if is_live else REPLAY_TARGET
    return Finding(
        bench=name,
        what=f"{events:,} distinct events from 12 partitions into {', '.join(written)}",
        figures=(
            Figure("floor: COPY of the same rows", "events/s", Spread.of(floors)),
            Figure("ours: Kafka to committed rows", "events/s", Spread.of(ours)),
        ),
        outcomes=(Outcome("ours of the floor", "%", Spread.of(percent), target, is_least=True),),
    )


class Run:
    """One consumption of everything on the bus."""

    def __init__(
        self,
        streams: Streams,
        bus: KafkaBus,
        projection: Projection,
        handler: Handler,
        events: int,
    ) -> None:
        self._streams = streams
        self._bus = bus
        self._projection = projection
        self._handler = handler
        self._events = events
        self._left = 0
        self._done = asyncio.Event()

    async def seconds(self) -> float:
        """From the first assigned partition to the last commit."""
        self._left = self._events
        self._done.clear()
        consumer = consumer_of(self._streams, self._bus, self._projection, self._apply)
        task = asyncio.create_task(consumer.run())
        try:
            async with asyncio.timeout(SECONDS_MAX):
                await _assigned(consumer)
                began = time.monotonic()
                await self._done.wait()
                return time.monotonic() - began
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def _apply(self, transaction: Transaction, events: Sequence[Event[Payload]]) -> None:
        await self._handler(transaction, events)
        transaction.after_commit(partial(self._count, len(events)))

    def _count(self, applied: int) -> None:
        self._left -= applied
        if not self._left:
            self._done.set()


async def _assigned(consumer: Consumer) -> None:
    while not consumer.progress():  # noqa: ASYNC110  # nobody tells, and a millisecond is nothing
        await asyncio.sleep(0.001)
