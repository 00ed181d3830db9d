"""The transactional consumer: a batch, its effects, its events and its position commit together.

Kafka keeps no position of ours. The position in Postgres moves only from where this consumer
expected it, so a zombie that still holds fetched messages after a rebalance changes nothing. While
more waits than a batch may have, the next one is fetched and read during the commit of the last.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from random import Random

import structlog
from msgspec.structs import replace

from libs.events.envelope import Event
from libs.events.erasure import without_person
from libs.events.names import EventType, Topic
from libs.events.payload import Payload
from libs.events.registry import REGISTRY, Registry, UndecodableEventError
from libs.events.transport import (
    Bus,
    BusError,
    IncomingMessage,
    OpenSubscription,
    Partition,
    Subscription,
)
from libs.runtime import erasure, inbox, parked, positions
from libs.runtime.clock import Clock
from libs.runtime.db import Database, Transaction
from libs.runtime.faults import Backoff, is_deterministic
from libs.runtime.gathering import AT_ONCE, Gathering, Patience
from libs.runtime.ids import Ids
from libs.runtime.intake import Intake, Part, Reader
from libs.runtime.metrics import StreamMetrics
from libs.runtime.parked import Parking

Handler = Callable[[Transaction, Sequence[Event[Payload]]], Awaitable[None]]
"""Applies a batch: order kept per account and topic, several accounts, topics and types mixed.

Set-based: a few statements per batch, never one per event. Repeats under one event id are gone;
natural keys must make repeats under a new id harmless.
"""

# How many records a batch may have: the larger, the longer it holds the locks of its rows.
RECORDS_MAX = 500
HISTORY_RECORDS_MAX = 5_000  # for consumers whose rows nobody else waits for
REPORT_SECONDS = 1.0

logger = structlog.get_logger(__name__)


class Consumer:
    """Reads topics as one member of a group and applies them to the service's own tables."""

    def __init__(
        self,
        *,
        name: str,
        topics: Collection[Topic],
        types: Collection[EventType],
        handler: Handler,
        database: Database,
        bus: Bus,
        clock: Clock,
        ids: Ids,
        random: Random,
        metrics: StreamMetrics,
        registry: Registry = REGISTRY,
        reader: type[Reader] = Reader,
        records_max: int = RECORDS_MAX,
        pace_seconds: float = 0.0,
        patience: Patience = AT_ONCE,
        forget: erasure.Forget = without_person,
    ) -> None:
        self._name = name
        self._topics = tuple(topic.value for topic in topics)
        self._kept_topics = {topic.value for topic in topics if topic.is_kept}
        self._handler = handler
        self._database = database
        self._bus = bus
        self._clock = clock
        self._ids = ids
        self._random = random
        self._metrics = metrics
        self._pace_seconds = pace_seconds
        self._forget = forget
        self._reader = reader(registry, types, clock)
        self._gathering = Gathering(self._reader, clock, records_max, patience)
        self._expected: dict[Partition, int] = {}
        self._passed_over: dict[Partition, int] = {}  # read, and not yet stored
        self._stopped: frozenset[Partition] = frozenset()
        self._subscription: OpenSubscription | None = None
        self._committed_at = clock.monotonic()
        metrics.watch(name, self)

    @property
    def name(self) -> str:
        """The consumer's name, which is its group's."""
        return self._name

    def progress(self) -> Mapping[Partition, int]:
        """How far each partition that is ours to read has been read."""
        places = {**self._expected, **self._passed_over}
        return {each: place for each, place in places.items() if each not in self._stopped}

    def unread(self) -> Mapping[str, int]:
        """Messages per topic between where we are and the logs' ends as last heard of."""
        ends = {} if self._subscription is None else self._subscription.known_ends()
        unread: dict[str, int] = {}
        for partition, place in self.progress().items():
            behind = max(0, ends.get(partition, 0) - place)
            unread[partition.topic] = unread.get(partition.topic, 0) + behind
        return unread

    def since_commit_seconds(self) -> float:
        """Time since the last batch was committed; before the first, since the start."""
        return self._clock.monotonic() - self._committed_at

    async def is_behind(self) -> bool:
        """Whether there is anything to read, as Kafka says when asked now.

        Raises:
            BusError: it cannot be asked.
        """
        if self._subscription is None:
            return False
        ends = await self._subscription.ends()
        return any(ends.get(each, 0) > place for each, place in self.progress().items())

    async def run(self) -> None:
        """Consume until cancelled; whatever fails and may pass is tried again without end."""
        backoff = Backoff()
        while True:
            try:
                subscription = await self._bus.subscribe(
                    group=self._name,
                    topics=self._topics,
                    assigned=self.place,
                    pace_seconds=self._pace_seconds,
                )
            except BusError as error:
                logger.warning("consumer_cannot_subscribe", consumer=self._name, error=str(error))
                await self._pause(backoff)
                continue
            self._subscription = subscription
            try:
                await self._read(subscription, backoff)
            except BusError as error:
                # What broke may be the subscription itself, and stay so: read on from a new one.
                logger.warning("consumer_cannot_fetch", consumer=self._name, error=str(error))
            finally:
                self._subscription = None
                await subscription.close()
            await self._pause(backoff)

    async def _read(self, subscription: OpenSubscription, backoff: Backoff) -> None:
        report_at = 0.0
        committing: asyncio.Task[None] | None = None
        try:
            while True:
                parts, is_full = await self._gathering.next(subscription)
                backoff.reset()
                if committing is not None:
                    await committing
                    committing = None
                if not parts:
                    continue
                if is_full:
                    committing = asyncio.create_task(self._apply(subscription, parts))
                    await asyncio.sleep(0)  # it begins before the next batch is read
                else:
                    await self._apply(subscription, parts)
                if self._clock.monotonic() >= report_at:
                    await subscription.report({**self._expected, **self._passed_over})
                    report_at = self._clock.monotonic() + REPORT_SECONDS
        finally:
            if committing is not None:
                committing.cancel()
                await asyncio.gather(committing, return_exceptions=True)

    async def consume(
        self, subscription: Subscription, messages: Sequence[IncomingMessage]
    ) -> None:
        """Apply fetched messages exactly once, or find that another consumer already has."""
        parts = list(self._reader.parts(messages))
        await self._reader.read(parts)
        await self._apply(subscription, parts)

    def _due(self, parts: Sequence[Part]) -> list[Intake]:
        """What is to be applied from where we stand; passes over it, and over what is not ours."""
        intakes: list[Intake] = []
        skipped = 0
        for part in parts:
            place = self._passed_over.get(part.partition, self._expected.get(part.partition))
            if place is None or not part.start <= place < part.stop:
                continue  # moved, or moved away, since this was fetched: it is fetched again there
            due = part.after(place)
            intakes += due
            skipped += sum(each.offset >= place for each in part.messages) - len(due)
            self._passed_over[part.partition] = part.stop
        self._metrics.consumed.labels(self._name, "skipped").inc(skipped)
        return intakes

    async def _apply(self, subscription: Subscription, parts: Sequence[Part]) -> None:
        intakes = self._due(parts)
        if not intakes:
            return  # nothing to write: the next batch moves the positions over these too
        following, self._passed_over = self._passed_over, {}
        # A rebalance in the middle of the batch puts other positions in their place: not for it.
        expected = {partition: self._expected[partition] for partition in following}
        backoff = Backoff()
        is_isolating = False
        while True:
            try:
                with self._metrics.batch_seconds.labels(self._name).time():
                    await self._commit(intakes, expected, following, is_isolating=is_isolating)
            except positions.FencedError:
                self._metrics.fenced.labels(self._name).inc()
                logger.warning("consumer_fenced", consumer=self._name)
                await self._reposition(subscription, list(following))
                return
            except Exception as error:  # noqa: BLE001  # faults.py decides which of them pass
                if is_deterministic(error) and not is_isolating:
                    is_isolating = True
                    continue
                self._metrics.retries.labels(self._name).inc()
                logger.warning("consumer_retries", consumer=self._name, error=repr(error))
                await self._pause(backoff)
            else:
                self._committed_at = self._clock.monotonic()
                self._move(expected, following)
                return

    def _move(self, expected: Mapping[Partition, int], following: Mapping[Partition, int]) -> None:
        """Expect what was committed, save where a rebalance has meanwhile said otherwise."""
        for partition, offset in following.items():
            if self._expected.get(partition) == expected[partition]:
                self._expected[partition] = offset

    async def _commit(
        self,
        intakes: Sequence[Intake],
        expected: Mapping[Partition, int],
        following: Mapping[Partition, int],
        *,
        is_isolating: bool,
    ) -> None:
        async with self._database.transaction() as transaction:
            batch = await inbox.enter(
                transaction,
                self._name,
                expected=expected,
                following=following,
                event_ids=[each.event.id for each in intakes if each.event is not None],
                order_keys=[each.order_key for each in intakes if each.order_key is not None],
            )
            ready, parkings = self._sort(intakes, batch)
            repeated = len(intakes) - len(ready) - len(parkings)
            if erased := await erasure.erased(transaction, _events(ready)):
                events = erasure.forget(_events(ready), erased, self._forget)
                ready = [replace(each, event=new) for each, new in zip(ready, events, strict=True)]
            if is_isolating:
                parkings += await self._apply_one_by_one(transaction, ready)
            elif ready:
                await self._handler(transaction, _events(ready))
            parkings.sort(key=lambda each: (each.message.partition, each.message.offset))
            await parked.park(transaction, self._name, parkings, now=self._clock.now())
        consumed = self._metrics.consumed
        consumed.labels(self._name, "repeated").inc(repeated)
        consumed.labels(self._name, "parked").inc(len(parkings))
        consumed.labels(self._name, "applied").inc(len(intakes) - repeated - len(parkings))

    def _sort(
        self, intakes: Sequence[Intake], entered: inbox.Entered
    ) -> tuple[Sequence[Intake], list[Parking]]:
        """Split a batch into what to apply and what to set aside; repeats fall out."""
        parkings: list[Parking] = []
        blocked = set(entered.blocked)
        fresh = None if entered.fresh is None else set(entered.fresh)
        if fresh is None and not blocked and all(each.fault is None for each in intakes):
            return intakes, parkings
        ready: list[Intake] = []
        for intake in intakes:
            event = intake.event
            if event is None:
                fault = intake.fault or UndecodableEventError("malformed", "not an event")
                parkings.append(self._parking(intake, fault.reason, fault.detail))
                blocked.update([intake.order_key] if intake.order_key else ())
                continue
            if fresh is not None:
                if event.id not in fresh:
                    continue
                fresh.discard(event.id)  # a second copy in the same batch is a repeat too
            if intake.order_key in blocked:
                parkings.append(self._behind(intake))
            else:
                ready.append(intake)
        return ready, parkings

    async def _apply_one_by_one(
        self, transaction: Transaction, ready: Sequence[Intake]
    ) -> list[Parking]:
        """Find the poison in a batch that failed as a whole; the rest of it is applied."""
        parkings: list[Parking] = []
        blocked: set[str | None] = set()
        for intake in ready:
            if intake.order_key in blocked:
                parkings.append(self._behind(intake))
                continue
            try:
                async with transaction.savepoint():
                    await self._handler(transaction, _events([intake]))
            except Exception as error:
                if not is_deterministic(error):
                    raise
                event_id = intake.event and str(intake.event.id)
                logger.exception("event_parked", consumer=self._name, event_id=event_id)
                code = getattr(error, "code", None) or type(error).__name__
                parkings.append(self._parking(intake, str(code), str(error)))
                blocked.add(intake.order_key)
        return parkings

    def _behind(self, intake: Intake) -> Parking:
        detail = f"an earlier message of {intake.order_key} is parked"
        return self._parking(intake, parked.REASON_BEHIND, detail)

    def _parking(self, intake: Intake, reason: str, detail: str) -> Parking:
        return Parking(
            parked_id=self._ids.new(),
            message=intake.message,
            event_id=None if intake.event is None else intake.event.id,
            event_type=intake.event_type,
            order_key=intake.order_key,
            reason=reason,
            detail=detail.replace("\0", "\N{REPLACEMENT CHARACTER}"),  # no text column takes it
        )

    async def place(self, logs: Mapping[Partition, range]) -> Mapping[Partition, int]:
        """Where to start reading; a partition whose position makes no sense is not read at all."""
        stored = await self._stored_positions(list(logs))
        self._expected, self._passed_over = dict(stored), {}
        self._reader.start_at(stored)
        starts: dict[Partition, int] = {}
        stopped: set[Partition] = set()
        for partition, log in logs.items():
            position = stored[partition]
            if position < log.start and partition.topic not in self._kept_topics:
                starts[partition] = log.start  # a passing signal may have expired unread
            elif position in log:
                starts[partition] = position
            else:
                stopped.add(partition)
                logger.critical(
                    "partition_stopped",
                    consumer=self._name,
                    topic=partition.topic,
                    partition=partition.partition,
                    position=position,
                    log_start=log.start,
                    log_end=log.stop - 1,
                )
        self._stopped = frozenset(stopped)
        self._metrics.stopped_partitions.labels(self._name).set(len(stopped))
        return starts

    async def _reposition(
        self, subscription: Subscription, partitions: Sequence[Partition]
    ) -> None:
        """Go to where the other consumer has left the positions."""
        for partition, offset in (await self._stored_positions(partitions)).items():
            if partition in self._expected:
                self._expected[partition] = offset
                self._reader.go_to(partition, offset)
                subscription.seek(partition, offset)

    async def _stored_positions(self, partitions: Sequence[Partition]) -> dict[Partition, int]:
        backoff = Backoff()
        while True:
            try:
                async with self._database.read() as connection:
                    return await positions.load(connection, self._name, partitions)
            except Exception as error:  # noqa: BLE001  # nothing can go on without: this waits
                logger.warning("positions_not_read", consumer=self._name, error=repr(error))
                await self._pause(backoff)

    async def _pause(self, backoff: Backoff) -> None:
        await self._clock.sleep(backoff.next_seconds(self._random.random()))


def _events(intakes: Sequence[Intake]) -> list[Event[Payload]]:
    return [each.event for each in intakes if each.event is not None]
