"""The ledger's sealer at work beside its consumer, for the bench of the ledger.

Kafka is left out there: what the outbox holds counts as published, and is read from it.
"""

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from typing import cast
from uuid import UUID

from prometheus_client import CollectorRegistry

from libs.events.names import Service, Topic
from libs.events.transport import Bus, IncomingMessage, Partition
from libs.runtime.clock import Clock
from libs.runtime.db import Database
from libs.runtime.wakeups import Wakeups
from services.ledger.handlers.log_metrics import LogMetrics
from services.ledger.handlers.sealing import Sealer

END = "SELECT coalesce(max(order_number), 0) + 1 FROM outbox"
READ = """
    SELECT order_number, key, encoded FROM outbox
     WHERE order_number >= $1 AND order_number < $2 AND topic = $3 ORDER BY order_number
"""
SEALED = "SELECT coalesce(max(size), 0) FROM seal"


class OutboxLog:
    """The outbox as one partition of Kafka: an order number is an offset."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._partition = Partition(Topic.CREDITS.value, UUID(int=1), 0)

    async def extents(self, topics: Collection[str]) -> Mapping[Partition, range]:
        """What has been committed; see `Log.extents`."""
        async with self._database.read() as connection:
            end = await connection.fetchval(END)
        return {self._partition: range(end)} if self._partition.topic in topics else {}

    async def read(
        self, partition: Partition, offsets: range, *, records_max: int
    ) -> AsyncIterator[Sequence[IncomingMessage]]:
        """See `Log.read`."""
        for start in range(offsets.start, offsets.stop, records_max):
            stop = min(start + records_max, offsets.stop)
            async with self._database.read() as connection:
                rows = await connection.fetch(READ, start, stop, partition.topic)
            yield [
                IncomingMessage(partition, row["order_number"], row["key"], row["encoded"])
                for row in rows
            ]

    @asynccontextmanager
    async def log(self) -> AsyncIterator["OutboxLog"]:
        """Itself, as a bus opens it."""
        yield self


@asynccontextmanager
async def sealing(database: Database, clock: Clock) -> AsyncIterator[None]:
    """Seal as the service does, for as long as the block lasts."""
    bus = cast("Bus", OutboxLog(database))
    # Never woken, and never in need of it: nothing here leaves the outbox.
    wakeups = Wakeups("", schema=Service.LEDGER.value, process_id=UUID(int=1), clock=clock)
    metrics = LogMetrics(CollectorRegistry(), clock)
    sealer = Sealer(
        database=database, bus=bus, wakeups=wakeups, clock=clock, keys=None, metrics=metrics
    )
    task = asyncio.create_task(sealer.run())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def sealed(database: Database) -> int:
    """How many bookings have been sealed."""
    async with database.read() as connection:
        return int(await connection.fetchval(SEALED))
