"""One instant of the live tables: what they hold, and how far the streams have gone into it.

A service that folds others' events commits rows and positions together, so a snapshot of both is
such an instant by itself. One that folds its own is asked while nobody can write: what it has
decided is in its outbox, and once the relay has sent that, the log's end says the same.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from uuid import UUID

import asyncpg

from libs.events.transport import Log, Partition
from libs.runtime.db import Connection
from libs.runtime.rebuild.fold import Aside, Targets
from libs.runtime.rebuild.projection import Projection, Reach, RebuildError
from libs.runtime.rebuild.shadow import quoted

# Shorter than the second after which Postgres looks for deadlocks: we yield, never a consumer.
LOCK_TIMEOUT_MS = 800
LOCK_TRIES = 40
LOCK_PAUSE_SECONDS = 0.5
DRAIN_SECONDS = 0.8  # as long as for a lock
DRAIN_POLL_SECONDS = 0.01

POSITIONS = """
    SELECT topic, topic_id, partition, next_offset FROM position
     WHERE consumer = $1 AND topic = ANY($2::text[])
"""
# A batch begins with its positions: whoever holds them keeps the consumer before its first step, so
# that it waits with no lock of a table in its hands.
LOCK_POSITIONS = """
    SELECT FROM position WHERE consumer = $1 ORDER BY topic, topic_id, partition FOR UPDATE
"""
ASIDE = """
    SELECT topic, topic_id, partition, next_offset AS place, event_id FROM parked
     WHERE consumer = $1 AND resolution IS DISTINCT FROM 'redriven'
"""
ERASED = "SELECT account_id FROM erased_account"
REDRIVEN = """
    SELECT event_id, encoded FROM parked
     WHERE consumer = $1 AND resolution = 'redriven' AND event_id = ANY($2::uuid[])
     ORDER BY sequence
"""
TAKE_SNAPSHOT = "SELECT 1"  # the first statement that needs one decides what is seen
PENDING = """
    SELECT count(*) FROM outbox_pending JOIN outbox USING (order_number)
     WHERE topic = ANY($1::text[])
"""


class _NotDrainedError(Exception):
    """Writers have said what is not published yet."""

    def __init__(self, pending: int) -> None:
        super().__init__(f"{pending} events wait to be published")
        self.pending = pending


class Instant:
    """Answers for the transaction that its connection is in."""

    def __init__(self, projection: Projection, connection: Connection, log: Log) -> None:
        self.connection = connection
        self._consumer = projection.consumer
        self._log = log
        self._positions: dict[Partition, int] = {}
        self._extents: dict[str, Mapping[Partition, range]] = {}

    async def look(self, topics: Sequence[str]) -> None:
        """Remember where the service's positions stand, and then where the logs end.

        Raises:
            RebuildError: the beginning of a log is gone.
        """
        rows = await self.connection.fetch(POSITIONS, self._consumer, list(topics))
        self._positions = {
            Partition(row["topic"], row["topic_id"], row["partition"]): row["next_offset"]
            for row in rows
        }
        for topic in topics:
            extents = await self._log.extents([topic])
            for partition, held in extents.items():
                if held.start:
                    raise RebuildError(
                        f"{topic}/{partition.partition} begins at {held.start} and not at 0: bring "
                        "the whole log back before anything is rebuilt from it."
                    )
            self._extents[topic] = extents

    def targets(self, reach: Reach, topics: Sequence[str]) -> Targets:
        """Up to where each partition has gone into the tables.

        Raises:
            RebuildError: the tables have seen more than the log holds.
        """
        ends = {
            partition: held.stop
            for topic in topics
            for partition, held in self._extents[topic].items()
        }
        if reach is not Reach.POSITION:
            return ends
        targets = {partition: self._positions.get(partition, 0) for partition in ends}
        for partition, position in targets.items():
            if position > ends[partition]:
                raise RebuildError(
                    f"{partition.topic}/{partition.partition} ends at {ends[partition]}, and the "
                    f"service has read up to {position}: bring the rest of the log back."
                )
        return targets

    async def aside(self) -> Aside:
        """What the live consumer has set aside or given up."""
        rows = await self.connection.fetch(ASIDE, self._consumer)
        return Aside(
            frozenset(
                (Partition(row["topic"], row["topic_id"], row["partition"]), row["place"])
                for row in rows
                if row["topic_id"] is not None
            ),
            frozenset(row["event_id"] for row in rows if row["event_id"] is not None),
        )

    async def erased(self) -> frozenset[UUID]:
        """Accounts whose person was erased."""
        rows = await self.connection.fetch(ERASED)
        return frozenset(row["account_id"] for row in rows)

    async def redriven(self, before: Aside) -> list[bytes]:
        """Messages that were set aside then, and have been applied since, in order."""
        rows = await self.connection.fetch(REDRIVEN, self._consumer, list(before.event_ids))
        return [row["encoded"] for row in rows]


@asynccontextmanager
async def snapshot(
    projection: Projection, connection: Connection, guard: Connection, log: Log
) -> AsyncIterator[Instant]:
    """An instant that stays for as long as the block lasts, and holds nobody up.

    Writers of a service that folds its own events wait, by `guard`, only until the relay has sent
    what they had decided and the snapshot stands.
    """
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        instant = Instant(projection, connection, log)
        if projection.own_topics:
            async with _locked(projection, guard, [_lock(projection, "SHARE")]):
                await connection.fetchval(TAKE_SNAPSHOT)
                await instant.look(projection.topics)
        else:
            await instant.look(projection.topics)
        yield instant


@asynccontextmanager
async def standstill(
    projection: Projection, connection: Connection, log: Log
) -> AsyncIterator[Instant]:
    """A transaction on live tables that nobody writes until its end; committed if all goes well.

    Where tables are to be swapped, nobody reads them either.
    """
    locks = []
    if projection.own_topics:
        # Whoever locks rows waits outside too: none of them is in the way of the last lock.
        locks.append(_lock(projection, "EXCLUSIVE"))
    if projection.adopt is None:
        locks.append(_lock(projection, "ACCESS EXCLUSIVE"))
    async with _locked(projection, connection, locks, with_positions=True):
        instant = Instant(projection, connection, log)
        await instant.look(projection.topics)
        yield instant


@asynccontextmanager
async def _locked(
    projection: Projection,
    connection: Connection,
    locks: Sequence[str],
    *,
    with_positions: bool = False,
) -> AsyncIterator[None]:
    """A transaction under locks, each waited for briefly, and asked for again after a pause.

    The first of them keeps writers away; what they have said is published before the next. If that
    takes long, those who wait for the lock may have the connections that the relay needs.
    """
    pending = 0
    for _ in range(LOCK_TRIES):
        transaction = connection.transaction()
        await transaction.start()
        try:
            await connection.execute(f"SET LOCAL lock_timeout = {LOCK_TIMEOUT_MS}")
            if with_positions:
                await connection.execute(LOCK_POSITIONS, projection.consumer)
            for number, lock in enumerate(locks):
                await connection.execute(lock)
                if number == 0 and projection.own_topics:
                    await _drain(projection, connection)
        except (asyncpg.LockNotAvailableError, _NotDrainedError) as error:
            pending = error.pending if isinstance(error, _NotDrainedError) else 0
            await transaction.rollback()
            await asyncio.sleep(LOCK_PAUSE_SECONDS)
            continue
        except BaseException:
            await transaction.rollback()
            raise
        try:
            yield
        except BaseException:
            await transaction.rollback()
            raise
        await transaction.commit()
        return
    if pending:
        raise RebuildError(
            f"{pending} events of {projection.service.value} wait to be published: see that the "
            "service and Kafka run, and try again."
        )
    raise RebuildError(
        f"The tables of {projection.service.value} are never free for a moment: try again when "
        "less is going on."
    )


async def _drain(projection: Projection, connection: Connection) -> None:
    """Wait a moment for the relay to send what writers have said.

    Raises:
        _NotDrainedError: it has not sent all.
    """
    deadline = asyncio.get_running_loop().time() + DRAIN_SECONDS
    while pending := await connection.fetchval(PENDING, list(projection.own_topics)):
        if asyncio.get_running_loop().time() > deadline:
            raise _NotDrainedError(pending)
        await asyncio.sleep(DRAIN_POLL_SECONDS)


def _lock(projection: Projection, mode: str) -> str:
    names = ", ".join(quoted(each.name) for each in projection.tables)
    return f"LOCK TABLE {names} IN {mode} MODE"
