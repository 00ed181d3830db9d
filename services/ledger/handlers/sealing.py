"""Seals the ledger's events into its Merkle log, after they have reached Kafka.

Booking knows nothing of it: one of the replicas reads what was published, a pace behind, and
appends it. Positions, leaves, tiles and the event that tells of them are one transaction under a
lock that ends with it. So whoever dies, stands still or comes second leaves no second order.
"""

import asyncio
from collections.abc import Sequence
from typing import Final, cast
from uuid import UUID

import structlog
from msgspec import Struct

from libs.events.envelope import Event
from libs.events.generation import GenerationCompleted, GenerationFailed
from libs.events.names import LOG_GROUP, EventType, Service, Topic
from libs.events.payload import Payload
from libs.events.registry import REGISTRY, UndecodableEventError
from libs.events.transport import Bus, IncomingMessage, Log, Partition
from libs.proofs.canonical import NotCanonicalError
from libs.proofs.leaves import leaf_of
from libs.runtime import erasure, inbox, positions
from libs.runtime.clock import Clock
from libs.runtime.db import Connection, Database, Transaction
from libs.runtime.faults import Backoff
from libs.runtime.outbox import RELAY_CHANNEL
from libs.runtime.wakeups import Wakeups
from services.ledger.domain.log import Leaf, grow
from services.ledger.domain.receipts import answered_job
from services.ledger.handlers.log_metrics import LogMetrics
from services.ledger.ports import Keys
from services.ledger.store import answered
from services.ledger.store import log as store

FACTS: Final = (Topic.GENERATION, Topic.IDENTITY)  # read only once there are keys
RECORDS_MAX: Final = 4_000  # a seal names its leaves: so many fit into one event
HASHED_AT_ONCE: Final = 100  # about a millisecond: what else the process does goes on in between
PACE_SECONDS: Final = 1.0  # what comes meanwhile is sealed at once
DUTY: Final = 0.07  # the share of the time that it works, behind a backlog
SAFETY_SECONDS: Final = 30.0

_OF_JOBS: Final = frozenset(
    {
        EventType.CREDITS_RESERVED.value,
        EventType.CREDITS_CAPTURED.value,
        EventType.CREDITS_RELEASED.value,
    }
)
_ANSWERS: Final = frozenset(
    {EventType.GENERATION_COMPLETED.value, EventType.GENERATION_FAILED.value}
)

logger = structlog.get_logger(__name__)


class Pass(Struct, frozen=True):
    """What one look at Kafka has brought, and whether more is there or on its way."""

    messages: int
    is_behind: bool


class _Read(Struct):
    """What some messages hold for the log."""

    leaves: dict[UUID, Leaf]
    of_jobs: list[tuple[UUID, bytes]]
    others: list[Event[Payload]]  # answers of generation, and persons who are erased


class Sealer:
    """The sealing of one process; of several replicas one at a time does it."""

    def __init__(
        self,
        *,
        database: Database,
        bus: Bus,
        wakeups: Wakeups,
        clock: Clock,
        keys: Keys | None,
        metrics: LogMetrics,
    ) -> None:
        self._database = database
        self._bus = bus
        self._wakeups = wakeups
        self._clock = clock
        self._keys = keys
        self._metrics = metrics
        self._topics = [Topic.CREDITS.value, *(each.value for each in FACTS if keys)]

    async def run(self) -> None:
        """Seal until cancelled; whatever fails and may pass is tried again without end."""
        backoff = Backoff()
        with self._wakeups.listen(RELAY_CHANNEL) as wakeup:
            while True:
                try:
                    async with self._bus.log() as log:
                        while True:
                            began = self._clock.monotonic()
                            one = await self.seal(log)
                            took = self._clock.monotonic() - began
                            backoff.reset()
                            if not one.is_behind:
                                await wakeup.wait(SAFETY_SECONDS)
                            await self._clock.sleep(max(PACE_SECONDS, took / DUTY))
                except Exception as error:  # noqa: BLE001  # an outage: what is unsealed stays so
                    logger.warning("sealing_waits", error=repr(error))
                    await self._clock.sleep(backoff.next_seconds(0.5))

    async def seal(self, log: Log) -> Pass:
        """Append what Kafka holds and the log does not, or as much as one seal may name.

        Raises:
            BusError, OSError, asyncpg.PostgresError: something is away; nothing has changed.
        """
        async with self._database.transaction() as transaction:
            connection = transaction.connection
            if not await store.try_alone(connection):
                return Pass(messages=0, is_behind=False)  # another replica is at it
            is_pending = await store.has_pending(connection)  # asked before Kafka is
            messages, following = await self._fetch(connection, log)
            size = None
            if messages:
                await inbox.enter(
                    transaction,
                    LOG_GROUP,
                    expected={each: place for each, (place, _) in following.items()},
                    following={each: place for each, (_, place) in following.items()},
                    event_ids=[],
                    order_keys=[],
                )
                size = await self._take(transaction, await _read(messages))
        self._metrics.looked(size)
        return Pass(messages=len(messages), is_behind=is_pending or len(messages) >= RECORDS_MAX)

    async def _fetch(
        self, connection: Connection, log: Log
    ) -> tuple[list[IncomingMessage], dict[Partition, tuple[int, int]]]:
        """The next messages, and of each partition of theirs from where and up to where."""
        extents = await log.extents(self._topics)
        stored = await positions.load(connection, LOG_GROUP, list(extents))
        messages: list[IncomingMessage] = []
        following: dict[Partition, tuple[int, int]] = {}
        for partition, extent in extents.items():
            place = stored[partition]
            if place not in range(extent.start, extent.stop + 1):
                where = f"{partition.topic}/{partition.partition}"
                logger.critical("log_stopped", partition=where, position=place, end=extent.stop)
                continue
            stop = min(extent.stop, place + RECORDS_MAX - len(messages))
            if place == stop:
                continue
            async for batch in log.read(partition, range(place, stop), records_max=RECORDS_MAX):
                messages += batch
            following[partition] = place, stop
        return messages, following

    async def _take(self, transaction: Transaction, read: _Read) -> int | None:
        """Write down what was read; answers the log's size if it has grown."""
        connection = transaction.connection
        await self._note_answers(transaction, read.others)
        await store.keep(connection, read.of_jobs)
        sealed = await store.positions(connection, read.leaves)
        leaves = [leaf for event_id, leaf in read.leaves.items() if event_id not in sealed]
        if not leaves:
            return None
        head = await store.head(connection)
        size = 0 if head is None else head.size
        growth = grow(size, await store.edge(connection, size), leaves)
        event = transaction.publish(growth.seal())
        await store.write(connection, growth, event.id, event.time)
        logger.info("log_sealed", position=growth.position, size=growth.size)
        return growth.size

    async def _note_answers(
        self, transaction: Transaction, events: Sequence[Event[Payload]]
    ) -> None:
        if self._keys is None or not events:
            return
        prompt_hash = self._keys().prompt_hash
        gone = await erasure.erased(transaction, events)
        answers = [
            answered_job(
                cast("Event[GenerationCompleted | GenerationFailed]", each),
                None if each.data.account in gone else prompt_hash,
            )
            for each in erasure.forget(events, gone)
            if isinstance(each.data, GenerationCompleted | GenerationFailed)
        ]
        await answered.record(transaction.connection, answers)
        await answered.forget(transaction.connection, gone)


async def _read(messages: Sequence[IncomingMessage]) -> _Read:
    """What concerns the log; what nobody can read is parked by those who need it."""
    read = _Read({}, [], [])
    for number, message in enumerate(messages):
        if number % HASHED_AT_ONCE == 0:
            await asyncio.sleep(0)
        encoded = message.value or b""
        try:
            envelope = REGISTRY.read_envelope(encoded)
            if message.partition.topic == Topic.CREDITS:
                if envelope.source != Service.LEDGER.source or envelope.id in read.leaves:
                    continue
                read.leaves[envelope.id] = Leaf(envelope.id, leaf_of(encoded))
                if envelope.type in _OF_JOBS:
                    read.of_jobs.append((envelope.id, encoded))
            elif envelope.type in _ANSWERS or envelope.type == EventType.ACCOUNT_ERASED:
                read.others.append(REGISTRY.open(envelope))
        except (UndecodableEventError, NotCanonicalError) as error:
            logger.warning("log_passes_over", offset=message.offset, error=str(error))
    return read
