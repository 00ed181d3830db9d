"""A service's streams on real parts for integration tests: database, bus, what lies between."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from random import Random
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import asyncpg
from prometheus_client import CollectorRegistry

from libs.events.bus import KafkaBus
from libs.events.envelope import Event
from libs.events.names import EventType, Service, Topic
from libs.events.payload import Payload
from libs.events.transport import Bus
from libs.runtime.clock import Clock, SystemClock
from libs.runtime.consumer import Consumer
from libs.runtime.db import Database, Transaction
from libs.runtime.emitter import Emitter
from libs.runtime.ids import Ids, SystemIds
from libs.runtime.metrics import StreamMetrics
from libs.runtime.migrate import RUNTIME_MIGRATIONS, migrate
from libs.runtime.rebuild.engine import Outcome, Rebuild
from libs.runtime.rebuild.projection import Projection
from libs.runtime.relay import Relay
from libs.runtime.wakeups import Wakeups

DEADLINE_SECONDS = 30.0


class Streams:
    """What `Runtime` joins for a process, each part to be started, stopped and broken alone."""

    def __init__(
        self,
        dsn: str,
        service: Service,
        migrations: Sequence[Path] = (),
        *,
        clock: Clock | None = None,
    ) -> None:
        self.dsn = dsn
        self.service = service
        self.migrations = migrations
        self.clock = clock or SystemClock()
        self.random = Random()  # noqa: S311  # jitter, not secrets
        self.ids: Ids = SystemIds(self.clock, self.random)
        self.metrics = StreamMetrics(CollectorRegistry())
        self.wakeups = Wakeups(
            dsn, schema=service.value, process_id=self.ids.new(), clock=self.clock
        )
        self.emitter = Emitter(service.source, self.clock, self.ids)
        self.database = Database(
            dsn, schema=service.value, pool_size=8, emitter=self.emitter, wakeups=self.wakeups
        )

    def relay(self, bus: Bus, replica: str = "one") -> Relay:
        """A relay of this service."""
        return Relay(
            replica=replica,
            database=self.database,
            bus=bus,
            wakeups=self.wakeups,
            clock=self.clock,
            random=self.random,
            metrics=self.metrics,
        )

    async def published(self) -> list[tuple[UUID | None, bytes]]:
        """(event id, encoded event) of every outbox row, in order."""
        async with self.database.read() as connection:
            rows = await connection.fetch(
                "SELECT event_id, encoded FROM outbox ORDER BY order_number"
            )
        return [(row["event_id"], row["encoded"]) for row in rows]

    async def heard(self, bus: Bus, topic: Topic) -> list[Event[Payload]]:
        """What a new reader with an inbox of its own gets of a topic, from its beginning on.

        Everything that the outbox has for the topic must come, and then there must be no more.
        """
        heard: list[Event[Payload]] = []

        async def hear(_transaction: Transaction, events: Sequence[Event[Payload]]) -> None:
            heard.extend(events)

        async with self.database.read() as connection:
            query = "SELECT count(*) FROM outbox WHERE topic = $1"
            count = int(await connection.fetchval(query, topic.value))
        reader = Consumer(
            name=f"reader-{self.ids.new()}",
            topics=[topic],
            types=list(EventType),
            handler=hear,
            database=self.database,
            bus=bus,
            clock=self.clock,
            ids=self.ids,
            random=self.random,
            metrics=self.metrics,
        )
        reading = asyncio.create_task(reader.run())
        try:
            async with asyncio.timeout(DEADLINE_SECONDS):
                while len(heard) < count or await reader.is_behind():  # noqa: ASYNC110  # test
                    await asyncio.sleep(0.05)
        finally:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)
        return heard


@asynccontextmanager
async def open_streams(
    dsn: str, service: Service, migrations: Sequence[Path] = (), *, clock: Clock | None = None
) -> AsyncIterator[Streams]:
    """A service's migrated schema and an open pool on it; `dsn` is of the service's own role."""
    connection = await asyncpg.connect(dsn)
    try:
        await migrate(connection, service.value, [RUNTIME_MIGRATIONS, *migrations])
    finally:
        await connection.close()
    streams = Streams(dsn, service, migrations, clock=clock)
    await streams.database.open()
    try:
        yield streams
    finally:
        await streams.database.close()


class Passage:
    """A way to a real Postgres that can be closed, for what its absence does to one service."""

    def __init__(self, dsn: str) -> None:
        self._to = urlsplit(dsn)
        self._port = 0
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()

    @property
    def dsn(self) -> str:
        """The same database, by this way."""
        host = f"{self._to.username}:{self._to.password}@127.0.0.1:{self._port}"
        return self._to._replace(netloc=host).geturl()

    async def open(self) -> None:
        """Let connections through, at the same port as before."""
        self._server = await asyncio.start_server(self._join, "127.0.0.1", self._port)
        self._port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        """Cut all connections and refuse new ones."""
        if self._server is not None:
            self._server.close()
            for writer in list(self._open):
                writer.transport.abort()
            await self._server.wait_closed()

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        answers, calls = await asyncio.open_connection(self._to.hostname, self._to.port)
        self._open |= {writer, calls}
        with suppress(OSError):
            await asyncio.gather(_pipe(reader, calls), _pipe(answers, writer))
        for each in (writer, calls):
            each.transport.abort()
        self._open -= {writer, calls}


async def _pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while chunk := await reader.read(65_536):
        writer.write(chunk)
        await writer.drain()
    writer.close()


async def rebuilt(projection: Projection, dsn: str, bus: KafkaBus, **options: Any) -> Outcome:
    """A rebuild from end to end, with the options of `Rebuild.run`."""
    async with bus.log() as log, Rebuild.open(projection, dsn=dsn, log=log) as rebuild:
        return await rebuild.run(**options)
