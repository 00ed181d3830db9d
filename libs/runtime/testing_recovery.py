"""A service on real Kafka that loses its database and remembers: for tests of recoveries."""

import asyncio
from collections.abc import AsyncIterator, Collection, Iterable
from contextlib import asynccontextmanager, suppress
from typing import Any

from msgspec import Struct

from libs.events.bus import KafkaBus
from libs.events.envelope import Event, encode
from libs.events.names import EventType, Topic
from libs.events.payload import Payload
from libs.events.registry import REGISTRY
from libs.events.testing import completed, event, failed, request_facts
from libs.events.transport import OutgoingMessage
from libs.runtime.consumer import Consumer, Handler
from libs.runtime.db import Database, Transaction
from libs.runtime.recovery import History, Recovery
from libs.runtime.testing import Streams

DEADLINE_SECONDS = 40.0
# How far each service is, and what it is doing just now: not what it knows.
MACHINERY = frozenset(
    {"migrations", "position", "relay_replica", "relay_share", "published_topic", "recovery"}
)

Tables = dict[str, list[str]]


class Habits(Struct, frozen=True, kw_only=True):
    """What a service reads, and what it does with it."""

    history: History
    topics: Collection[Topic]
    types: Collection[EventType]
    handler: Handler


class DiedError(BaseException):
    """The process ended here."""


class Mortal:
    """A database whose process dies at one of its transactions: before its commit, or after it."""

    def __init__(self, database: Database, *, at: int, after_commit: bool) -> None:
        self._database = database
        self._left = at
        self._after_commit = after_commit

    def __getattr__(self, name: str) -> Any:
        return getattr(self._database, name)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Transaction]:
        """One transaction nearer to death."""
        async with self._database.transaction() as transaction:
            yield transaction
            self._left -= 1
            if not self._left and not self._after_commit:
                raise DiedError
        if not self._left and self._after_commit:
            raise DiedError


def recovery(streams: Streams, bus: KafkaBus, history: History, database: Any = None) -> Recovery:
    """The recovery of this service."""
    return Recovery(
        service=streams.service,
        history=history,
        dsn=streams.dsn,
        database=database or streams.database,
        bus=bus,
        clock=streams.clock,
        random=streams.random,
    )


async def recover_dying(streams: Streams, bus: KafkaBus, history: History) -> int:
    """Recover with deaths everywhere: at the first transaction, then at the second one, ...

    Answers how many times it died.
    """
    deaths = 0
    while True:
        mortal = Mortal(streams.database, at=1 + deaths % 3, after_commit=bool(deaths % 2))
        try:
            await recovery(streams, bus, history, mortal).run()
        except DiedError:
            deaths += 1
        else:
            return deaths


async def live(streams: Streams, bus: KafkaBus, habits: Habits) -> None:
    """Recover, read all that the topics hold, and publish all that follows from it."""
    await recovery(streams, bus, habits.history).run()
    consumer = Consumer(
        name=streams.service.consumer_group,
        topics=habits.topics,
        types=habits.types,
        handler=habits.handler,
        database=streams.database,
        bus=bus,
        clock=streams.clock,
        ids=streams.ids,
        random=streams.random,
        metrics=streams.metrics,
    )
    ends = await extents(bus, habits.topics)
    tasks = [
        asyncio.create_task(consumer.run()),
        asyncio.create_task(streams.relay(bus).run()),
    ]
    async with asyncio.timeout(DEADLINE_SECONDS):
        while not await _is_through(streams, consumer, ends):  # noqa: ASYNC110  # as tests wait
            await asyncio.sleep(0.05)
    for task in tasks:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def tell(bus: KafkaBus, events: Iterable[Event[Payload]]) -> None:
    """Publish events, one after the other."""
    for each in events:
        message = OutgoingMessage(each.data.topic.value, each.key.encode(), encode(each))
        (error,) = await bus.publish([message])
        if error is not None:
            raise error


async def _is_through(streams: Streams, consumer: Consumer, ends: dict[Any, range]) -> bool:
    progress = consumer.progress()
    if any(progress.get(each, -1) < extent.stop for each, extent in ends.items()):
        return False
    async with streams.database.read() as connection:
        return not await connection.fetchval("SELECT count(*) FROM outbox_pending")


async def extents(bus: KafkaBus, topics: Collection[Topic]) -> dict[Any, range]:
    """What each partition holds."""
    async with bus.log() as log:
        return dict(await log.extents([each.value for each in topics]))


async def tables(streams: Streams, *, without: Collection[str] = ()) -> Tables:
    """Every row of every table, as text, in an order that says nothing.

    Of the outbox: what was published, key by key, in order. Rows of accounts that are only there
    to be locked say nothing.
    """
    async with streams.database.read() as connection:
        names = await connection.fetch(
            "SELECT relname AS name FROM pg_class WHERE relnamespace = $1::regnamespace"
            " AND relkind IN ('r', 'p') AND NOT relispartition",
            streams.service.value,
        )
        wanted = {row["name"] for row in names} - MACHINERY - set(without) - {"outbox"}
        found: Tables = {}
        for name in sorted(wanted):
            statement = f'SELECT row::text AS line FROM "{name}" AS row'  # noqa: S608  # our names
            rows = await connection.fetch(statement)
            found[name] = sorted(row["line"] for row in rows)
        rows = await connection.fetch(
            "SELECT (topic, key, string_agg(event_id::text || encode(encoded, 'escape'), ','"
            " ORDER BY order_number))::text AS line FROM outbox"
            " WHERE event_id IS NOT NULL GROUP BY topic, key"
        )
        found["outbox"] = sorted(row["line"] for row in rows)
    return found


def answers(count: int) -> list[Event[Payload]]:
    """Jobs of several people, one in three failed; some are told again under another id."""
    jobs = [completed(request_facts(units=1 + n % 3)) if n % 3 else failed() for n in range(count)]
    return [event(each) for each in (*jobs, *jobs[::4])]


async def assert_comes_back(
    streams: Streams, emptied: Streams, bus: KafkaBus, habits: Habits
) -> None:
    """What the answers made is there again, through many deaths, and is not told again."""
    await tell(bus, answers(20))
    await live(streams, bus, habits)
    said = await extents(bus, habits.history.own)
    assert await recover_dying(emptied, bus, habits.history) > 5
    await live(emptied, bus, habits)
    assert await tables(emptied) == await tables(streams)
    assert await extents(bus, habits.history.own) == said


async def assert_confirms_once(
    streams: Streams, emptied: Streams, bus: KafkaBus, habits: Habits, *, jobs: int
) -> None:
    """Answers that came while the service was away are confirmed, those from before are not."""
    await tell(bus, answers(6))
    await live(streams, bus, habits)
    await tell(bus, answers(6))
    await live(emptied, bus, habits)
    published = await emptied.published()
    assert {each for each, _ in await streams.published()} < {each for each, _ in published}
    causes = [REGISTRY.decode(encoded).causation_id for each, encoded in published if each]
    assert len(causes) == len(set(causes)) == jobs
