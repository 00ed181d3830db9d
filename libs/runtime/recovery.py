"""Remembers from Kafka what a service has said, before it says or hears anything again.

A schema without the `recovery` row is new, was lost, or comes from a backup. What its service has
published stands on Kafka all the same. So first the service reads its own events: they fill its
outbox again, and tell which inputs it has answered, so that none of them is answered once more
under another id. Only then do its consumers begin, at the beginning of their topics.

Each batch is one transaction with its positions: whatever dies in the middle, it goes on from
there. The replicas of a service wait for the one that does it.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from contextlib import asynccontextmanager
from random import Random
from uuid import UUID

import asyncpg
import structlog
from msgspec import Struct

from libs.events.envelope import Event
from libs.events.erasure import without_text
from libs.events.identity import AccountErased
from libs.events.names import EventType, Service, Topic, kept_topics
from libs.events.payload import Payload
from libs.events.registry import REGISTRY, UndecodableEventError
from libs.events.transport import Bus, IncomingMessage, Log, Partition
from libs.runtime import erasure, inbox, positions
from libs.runtime.clock import Clock
from libs.runtime.db import Database, Transaction
from libs.runtime.faults import Backoff

Fold = Callable[[Transaction, Sequence[Event[Payload]]], Awaitable[None]]
"""Writes the rows that follow from recorded events. It decides nothing and publishes nothing."""

RECORDS_MAX = 2_000
PROGRESS_SECONDS = 5.0

IS_DONE = "SELECT EXISTS (SELECT FROM recovery)"
# What the outbox holds already (a backup's, or that of a recovery that died) is not taken in again.
REMEMBER_OUTBOX = """
    INSERT INTO inbox (consumer, event_id)
    SELECT $1, event_id FROM outbox WHERE event_id IS NOT NULL
    ON CONFLICT DO NOTHING
"""
REFILL = "SELECT refill_outbox($1::uuid[], $2::text[], $3::bytea[], $4::bytea[])"
# Kafka has it: a row that a backup shows as not yet published was published after the backup.
PUBLISHED = """
    DELETE FROM outbox_pending USING outbox
     WHERE outbox.order_number = outbox_pending.order_number AND event_id = ANY($1::uuid[])
"""
MARK = """
    INSERT INTO inbox (consumer, event_id)
    SELECT $1, event_id FROM unnest($2::uuid[]) AS event_id ORDER BY event_id
    ON CONFLICT DO NOTHING RETURNING event_id
"""
ANSWERED = "SELECT event_id FROM inbox WHERE consumer = $1 AND event_id = ANY($2::uuid[])"
WAITING = "SELECT needed_key FROM waiting WHERE starts_with(needed_key, $1) LIMIT 1"
FORGET_INBOX = "DELETE FROM inbox WHERE consumer = ANY($1::text[])"
FORGET_POSITIONS = "DELETE FROM position WHERE consumer = ANY($1::text[])"
NOTE_TOPICS = "SELECT note_topics($1::text[], $2::uuid[])"
# Rows that were published and are not on this Kafka: it is another one, or was emptied.
IS_MISSING = """
    SELECT EXISTS (
        SELECT FROM outbox
         WHERE event_id IS NOT NULL
           AND NOT EXISTS (SELECT FROM inbox
                            WHERE consumer = $1 AND inbox.event_id = outbox.event_id)
           AND NOT EXISTS (SELECT FROM outbox_pending
                            WHERE outbox_pending.order_number = outbox.order_number))
"""
FORGET_TOPICS = "DELETE FROM published_topic"
DONE = "INSERT INTO recovery (is_done, events) VALUES (true, $1) ON CONFLICT DO NOTHING"

HISTORY_KEY = "history:"
"""Under keys that begin so, a fold keeps what came before its predecessor."""

logger = structlog.get_logger(__name__)


class History(Struct, frozen=True, kw_only=True):
    """What a service remembers, and how.

    `own` and `fold` are for its own events, topic after topic. Each of them answers the event that
    caused it; `inputs` are the topics of those. An answered input is folded by `fold_input` and
    counts as handled: its effects are the rows, its answer stands already. Without inputs, `fold`
    has written all that follows from them.
    """

    own: Sequence[Topic]
    answers: Collection[EventType] = ()
    fold: Fold | None = None
    inputs: Sequence[Topic] = ()
    fold_input: Fold | None = None


class _Read(Struct, frozen=True, gc=False):
    """A message with the event in it."""

    message: IncomingMessage
    event: Event[Payload]


_Take = Callable[[Transaction, inbox.Entered, Sequence[_Read]], Awaitable[None]]


class HistoryIncompleteError(Exception):
    """Kafka does not hold all that the service has published, or in a version not known here."""


class Recovery:
    """Does it once, before anything else of the service runs."""

    def __init__(
        self,
        *,
        service: Service,
        history: History,
        dsn: str,
        database: Database,
        bus: Bus,
        clock: Clock,
        random: Random,
    ) -> None:
        self._service = service
        self._history = history
        self._dsn = dsn
        self._database = database
        self._bus = bus
        self._clock = clock
        self._random = random
        group = service.consumer_group
        self._group = group
        self._erasures, self._own, self._seen, self._answered, self._inputs = (
            f"{group}.erasures",
            f"{group}.own",
            f"{group}.seen",
            f"{group}.answered",
            f"{group}.inputs",
        )
        self._events = 0
        self._told_at = 0.0
        self.trouble: str | None = None

    async def run(self) -> None:
        """Return once the service knows what it has said; tried again until it does."""
        backoff = Backoff()
        while True:
            try:
                if await self._is_done():
                    return
                async with self._alone():
                    if not await self._is_done():
                        await self._recover()
            except Exception as error:  # noqa: BLE001  # nothing can go on without: this waits
                self.trouble = str(error)
                logger.warning("recovery_failed", error=repr(error))
                await self._clock.sleep(backoff.next_seconds(self._random.random()))

    async def _recover(self) -> None:
        async with self._database.read() as connection:
            await connection.execute(REMEMBER_OUTBOX, self._own, timeout=None)
        async with self._bus.log() as log:
            await self._read(log, self._erasures, Topic.IDENTITY, self._take_erasures)
            for topic in (*self._history.own, Topic.OPERATIONS):
                await self._read(log, self._own, topic, self._take_own)
            async with self._database.read() as connection:
                if gap := await connection.fetchval(WAITING, HISTORY_KEY):
                    raise HistoryIncompleteError(
                        f"What comes before {gap} is missing on Kafka: bring its log back."
                    )
            for topic in self._history.inputs:
                await self._read(log, self._inputs, topic, self._take_input)
        await self._finish()

    async def _finish(self) -> None:
        ids = await self._bus.topic_ids(kept_topics())
        async with self._database.transaction() as transaction:
            connection = transaction.connection
            names = [self._erasures, self._own, self._seen, self._answered, self._inputs]
            # A backup may know topics that were made anew and filled again since.
            if not await connection.fetchval(IS_MISSING, self._seen, timeout=None):
                await connection.execute(FORGET_TOPICS)
            await connection.execute(FORGET_INBOX, names, timeout=None)
            await connection.execute(FORGET_POSITIONS, names)
            await connection.execute(NOTE_TOPICS, list(ids), list(ids.values()))
            await connection.execute(DONE, self._events)
        logger.info("recovered", service=self._service.value, events=self._events)

    async def _read(
        self,
        log: Log,
        name: str,
        topic: Topic,
        take: _Take,
    ) -> None:
        """Everything that the topic holds now, from where an earlier try has stopped."""
        extents = await log.extents([topic.value])
        async with self._database.read() as connection:
            starts = await positions.load(connection, name, list(extents))
        for partition, extent in extents.items():
            rest = range(max(starts[partition], extent.start), extent.stop)
            expected = {partition: starts[partition]}
            async for messages in log.read(partition, rest, records_max=RECORDS_MAX):
                following = {partition: messages[-1].offset + 1}
                await self._take(name, messages, expected, following, take)
                expected = following
                self._tell(partition, messages[-1].offset, extent.stop)

    async def _take(
        self,
        name: str,
        messages: Sequence[IncomingMessage],
        expected: dict[Partition, int],
        following: dict[Partition, int],
        take: _Take,
    ) -> None:
        read = [found for each in messages if (found := _read(each)) is not None]
        async with self._database.transaction() as transaction:
            entered = await inbox.enter(
                transaction,
                name,
                expected=expected,
                following=following,
                event_ids=[each.event.id for each in read] if name == self._own else [],
                order_keys=[],
            )
            await take(transaction, entered, read)

    async def _take_erasures(
        self, transaction: Transaction, _: inbox.Entered, read: Sequence[_Read]
    ) -> None:
        """Who is gone, before anything that could tell of them."""
        gone = [each.event for each in read if isinstance(each.event.data, AccountErased)]
        await erasure.erased(transaction, gone)

    async def _take_own(
        self, transaction: Transaction, entered: inbox.Entered, read: Sequence[_Read]
    ) -> None:
        """Keep what is ours, fold it, and note which inputs it answers."""
        own = [each for each in read if each.event.source == self._service.source]
        fresh = list({e.event.id: e for e in own if entered.is_fresh(e.event.id)}.values())
        events = [each.event for each in fresh]
        erased = await erasure.erased(transaction, events)
        connection = transaction.connection
        ids = [each.event.id for each in own]
        await connection.execute(PUBLISHED, ids)
        await self._mark(transaction, self._seen, ids)
        if fresh:
            await connection.execute(
                REFILL,
                [each.event.id for each in fresh],
                [each.message.partition.topic for each in fresh],
                [each.message.key for each in fresh],
                [
                    erasure.forget_encoded(each.message.value, erased)
                    if erased
                    else each.message.value
                    for each in fresh
                ],
            )
        events = erasure.forget(events, erased, without_text)
        if self._history.fold is not None:
            await self._history.fold(transaction, events)
        causes = [
            each.causation_id
            for each in events
            if each.causation_id is not None and each.data.event_type in self._history.answers
        ]
        await self._mark(transaction, self._answered if self._history.inputs else None, causes)
        self._events += len(events)

    async def _take_input(
        self, transaction: Transaction, _: inbox.Entered, read: Sequence[_Read]
    ) -> None:
        """Fold the inputs that were answered; the consumers see to the others."""
        ids = [each.event.id for each in read]
        connection = transaction.connection
        rows = await connection.fetch(ANSWERED, self._answered, ids)
        answered = await self._mark(transaction, None, [row["event_id"] for row in rows])
        events = {each.event.id: each.event for each in read if each.event.id in answered}
        if events and self._history.fold_input is not None:
            erased = await erasure.erased(transaction, list(events.values()))
            await self._history.fold_input(
                transaction, erasure.forget(list(events.values()), erased, without_text)
            )

    async def _mark(
        self, transaction: Transaction, name: str | None, event_ids: Sequence[UUID]
    ) -> frozenset[UUID]:
        """Note ids as handled, by the consumer itself if no other name is given."""
        if not event_ids:
            return frozenset()
        rows = await transaction.connection.fetch(MARK, name or self._group, event_ids)
        return frozenset(row["event_id"] for row in rows)

    async def _is_done(self) -> bool:
        async with self._database.read() as connection:
            return bool(await connection.fetchval(IS_DONE))

    @asynccontextmanager
    async def _alone(self) -> AsyncIterator[None]:
        """Hold the schema's lock on a connection of its own: a process that dies lets go of it."""
        key = f"daygen.recovery.{self._service.value}"
        connection = await asyncpg.connect(self._dsn, timeout=10)
        try:
            statement = "SELECT pg_advisory_lock(hashtextextended($1, 0))"
            await connection.execute(statement, key, timeout=None)
            yield
        finally:
            await connection.close()

    def _tell(self, partition: Partition, offset: int, end: int) -> None:
        """Long work shows how far it is."""
        if self._clock.monotonic() < self._told_at + PROGRESS_SECONDS:
            return
        self._told_at = self._clock.monotonic()
        place = f"{partition.topic}[{partition.partition}]"
        self.trouble = None
        logger.info("recovering", place=place, offset=offset, end=end, own_events=self._events)


def _read(message: IncomingMessage) -> _Read | None:
    """The event in a message; none in what nobody can read, which the consumers park.

    Raises:
        HistoryIncompleteError: a newer release has written it.
    """
    try:
        return _Read(message, REGISTRY.decode(message.value or b""))
    except UndecodableEventError as error:
        if error.reason == "newer_version":
            raise HistoryIncompleteError(f"{error}: start the release that knows it.") from error
        return None
