"""What administrators do with parked messages: look at them, have them handled again, discard them.

Locks are taken as a consumer takes them: the key's open rows by number, then what handlers lock.
"""

from collections.abc import Awaitable, Callable, Collection, Sequence
from datetime import datetime
from uuid import UUID

import asyncpg
from msgspec import Struct
from msgspec.structs import replace

from libs.events.envelope import Envelope, Event
from libs.events.names import EventType
from libs.events.operations import MessageDiscarded, MessageRedriven, RedriveOutcome
from libs.events.payload import Payload
from libs.events.registry import REGISTRY, Registry, UndecodableEventError
from libs.runtime.clock import Clock
from libs.runtime.consumer import Handler
from libs.runtime.db import Database, Transaction
from libs.runtime.errors import BadRequest, Conflict, NotFound
from libs.runtime.faults import is_deterministic
from libs.runtime.intake import FUTURE_MAX
from libs.runtime.parked import DETAIL_CHARACTERS_MAX

DEADLOCK_TRIES = 3

COLUMNS = """parked_id, sequence, consumer, topic, partition, next_offset, event_id, event_type,
             order_key, encoded, reason, detail, parked_at, resolved_at, resolution, resolved_by,
             note, coalesce((
                 SELECT ahead.parked_id FROM parked AS ahead
                  WHERE ahead.consumer = parked.consumer AND ahead.order_key = parked.order_key
                    AND ahead.resolved_at IS NULL ORDER BY ahead.sequence LIMIT 1
             ), parked_id) AS head_id"""
LIST = f"""
    SELECT {COLUMNS} FROM parked
     WHERE resolved_at IS NULL AND sequence > $1
       AND ($2::text IS NULL OR event_type = $2) AND ($3::text IS NULL OR reason = $3)
       AND ($4::timestamptz IS NULL OR parked_at >= $4)
       AND ($5::timestamptz IS NULL OR parked_at < $5)
     ORDER BY sequence LIMIT $6
"""  # noqa: S608  # its own column list
FIND = f"SELECT {COLUMNS} FROM parked WHERE parked_id = $1"  # noqa: S608  # its own column list

# The first statement waits for whoever works on the key; only the second, with a snapshot of its
# own, sees what they have left.
LOCK_CHAIN = """
    SELECT FROM parked
     WHERE resolved_at IS NULL AND (parked_id = $1 OR (consumer, order_key) = (
         SELECT consumer, order_key FROM parked WHERE parked_id = $1))
     ORDER BY sequence FOR UPDATE
"""
READ_CHAIN = f"""
    SELECT {COLUMNS} FROM parked
     WHERE resolved_at IS NULL AND (parked_id = $1 OR (consumer, order_key) = (
         SELECT consumer, order_key FROM parked WHERE parked_id = $1))
     ORDER BY sequence
"""  # noqa: S608  # its own column list
RESOLVE = """
    UPDATE parked SET resolved_at = $2, resolution = $3, resolved_by = $4, note = $5
     WHERE parked_id = $1
"""
KEEP = "UPDATE parked SET reason = $2, detail = $3 WHERE parked_id = $1"
IDENTIFY = """
    UPDATE parked SET event_id = $2, event_type = $3, order_key = $4 WHERE parked_id = $1
"""
ADMIT = "INSERT INTO inbox (consumer, event_id) VALUES ($1, $2) ON CONFLICT DO NOTHING RETURNING 1"


class ParkedRow(Struct, frozen=True, kw_only=True):
    """A message that was set aside; `head_id` is the first open row of its order key."""

    parked_id: UUID
    sequence: int
    consumer: str
    topic: str
    partition: int | None
    next_offset: int | None
    event_id: UUID | None
    event_type: str | None
    order_key: str | None
    encoded: bytes | None
    reason: str
    detail: str
    parked_at: datetime
    resolved_at: datetime | None
    resolution: str | None
    resolved_by: UUID | None
    note: str | None
    head_id: UUID


class Filter(Struct, frozen=True, kw_only=True):
    """Which open rows; None asks for all."""

    event_type: str | None = None
    reason: str | None = None
    since: datetime | None = None
    until: datetime | None = None


class Step(Struct, frozen=True, kw_only=True):
    """What became, or would become, of one row."""

    parked_id: UUID
    event_type: str | None
    outcome: str
    reason: str = ""
    detail: str = ""


class Discarded(Struct, frozen=True, kw_only=True):
    """A row that is about to be discarded, with what waits behind it."""

    row: ParkedRow
    envelope: Envelope | None  # None: it cannot be read
    followers: Sequence[ParkedRow]

    @property
    def subject_id(self) -> UUID | None:
        """What the message is about, if it can be read and that is something of ours."""
        if self.envelope is None:
            return None
        try:
            return UUID(self.envelope.subject)
        except ValueError:
            return None


Settle = Callable[[Transaction, Discarded], Awaitable[None]]
"""Finishes what a discarded message was about, or raises a DomainError that says what to do."""


class ParkedNotFoundError(NotFound):
    code = "parked_message_not_found"


class ParkedResolvedError(Conflict):
    code = "parked_message_resolved"


class ParkedBehindError(Conflict):
    code = "parked_message_behind"


class ReasonMissingError(BadRequest):
    code = "reason_missing"


class DiscardRefusedError(Conflict):
    code = "discard_refused"


class _DryRunError(Exception):
    """Rolls back what was only tried."""


class DeadLetters:
    """The parked messages of one service's consumer."""

    def __init__(
        self,
        *,
        types: Collection[EventType],
        handler: Handler,
        settle: Settle,
        database: Database,
        clock: Clock,
        registry: Registry = REGISTRY,
    ) -> None:
        self._types = frozenset(types)
        self._handler = handler
        self._settle = settle
        self._database = database
        self._clock = clock
        self._registry = registry

    async def find(self, wanted: Filter, *, after: int, limit: int) -> Sequence[ParkedRow]:
        """Open rows, the oldest first."""
        async with self._database.read() as connection:
            rows = await connection.fetch(
                LIST, after, wanted.event_type, wanted.reason, wanted.since, wanted.until, limit
            )
        return [ParkedRow(**row) for row in rows]

    async def get(self, parked_id: UUID) -> ParkedRow:
        """One row, open or resolved.

        Raises:
            ParkedNotFoundError: there is none.
        """
        async with self._database.read() as connection:
            row = await connection.fetchrow(FIND, parked_id)
        if row is None:
            raise _not_found(parked_id)
        return ParkedRow(**row)

    async def redrive(self, parked_id: UUID, *, actor: UUID, is_dry_run: bool) -> Sequence[Step]:
        """Handle a row and, in order, those behind it, up to the first that is refused again.

        All in one transaction. A dry run does the same and then takes it back.

        Raises:
            ParkedNotFoundError, ParkedResolvedError, ParkedBehindError: not to be redriven.
        """

        async def work(transaction: Transaction) -> list[Step]:
            chain = await self._lock(transaction, parked_id)
            return await self._redrive(transaction, chain, actor)

        return await self._run(work, is_dry_run=is_dry_run)

    async def discard(
        self, parked_id: UUID, *, actor: UUID, reason: str, is_dry_run: bool
    ) -> Sequence[Step]:
        """Resolve a row unhandled, finish what it was about, and handle those behind it.

        Raises:
            ParkedNotFoundError, ParkedResolvedError, ParkedBehindError: not to be discarded.
            ReasonMissingError: nobody would know why.
            DomainError: the service cannot do without this message.
        """
        reason = reason.strip()
        if not reason:
            raise ReasonMissingError("Give a reason: it is all that remains of the message.")

        async def work(transaction: Transaction) -> list[Step]:
            chain = await self._lock(transaction, parked_id)
            row, envelope = chain[0], self._envelope(chain[0])
            await self._settle(
                transaction, Discarded(row=row, envelope=envelope, followers=chain[1:])
            )
            await self._resolve(transaction, row, "discarded", actor, reason)
            transaction.publish(
                MessageDiscarded(
                    consumer=row.consumer,
                    parked_id=row.parked_id,
                    event_id=row.event_id,
                    actor=actor,
                    reason=reason,
                ),
                correlation_id=None if envelope is None else envelope.correlationid,
                causation_id=row.event_id,
            )
            first = Step(parked_id=row.parked_id, event_type=row.event_type, outcome="discarded")
            return [first, *await self._redrive(transaction, chain[1:], actor)]

        return await self._run(work, is_dry_run=is_dry_run)

    async def _run(
        self, work: Callable[[Transaction], Awaitable[list[Step]]], *, is_dry_run: bool
    ) -> list[Step]:
        """In a transaction, again after a deadlock: the consumer does the same."""
        for tries_left in reversed(range(DEADLOCK_TRIES)):
            steps: list[Step] = []
            try:
                async with self._database.transaction() as transaction:
                    steps = await work(transaction)
                    if is_dry_run:
                        raise _DryRunError  # noqa: TRY301  # the way to roll back
            except _DryRunError:
                return steps
            except asyncpg.DeadlockDetectedError:
                if not tries_left:
                    raise
            else:
                return steps
        raise AssertionError("the last try returns or raises")

    async def _lock(self, transaction: Transaction, parked_id: UUID) -> list[ParkedRow]:
        connection = transaction.connection
        await connection.execute(LOCK_CHAIN, parked_id)
        chain = [ParkedRow(**row) for row in await connection.fetch(READ_CHAIN, parked_id)]
        if all(row.parked_id != parked_id for row in chain):
            found = await connection.fetchrow(FIND, parked_id)
            if found is None:
                raise _not_found(parked_id)
            raise ParkedResolvedError(
                f"Message {parked_id} was {found['resolution']} at "
                f"{found['resolved_at'].isoformat()}: nothing is left to do."
            )
        if chain[0].parked_id != parked_id:
            raise ParkedBehindError(
                f"Message {parked_id} is parked behind {chain[0].parked_id}: begin with that one."
            )
        return chain

    async def _redrive(
        self, transaction: Transaction, chain: Sequence[ParkedRow], actor: UUID
    ) -> list[Step]:
        steps: list[Step] = []
        for row in chain:
            step, correlation_id = await self._attempt(transaction, row)
            steps.append(step)
            transaction.publish(
                MessageRedriven(
                    consumer=row.consumer,
                    parked_id=row.parked_id,
                    event_id=row.event_id,
                    actor=actor,
                    outcome=RedriveOutcome(step.outcome),
                    reason=step.reason,
                    detail=step.detail,
                ),
                correlation_id=correlation_id,
                causation_id=row.event_id,
            )
            if step.outcome == RedriveOutcome.STILL_PARKED:
                await transaction.connection.execute(KEEP, row.parked_id, step.reason, step.detail)
                break
            await self._resolve(transaction, row, "redriven", actor, step.outcome)
        return steps

    async def _attempt(self, transaction: Transaction, row: ParkedRow) -> tuple[Step, UUID | None]:
        """Run the handler on one row, in a savepoint; with the event's correlation id."""
        step = Step(
            parked_id=row.parked_id, event_type=row.event_type, outcome=RedriveOutcome.APPLIED
        )
        try:
            latest = self._clock.now() + FUTURE_MAX
            event = self._registry.decode(row.encoded or b"", latest=latest)
        except UndecodableEventError as fault:
            return _refused(step, fault.reason, fault.detail), None
        step = replace(step, event_type=event.data.event_type.value)
        if row.event_id is None and not await self._admit(transaction, row, event):
            return replace(step, outcome=RedriveOutcome.REPEATED), event.correlation_id
        if event.data.event_type not in self._types:
            return replace(step, outcome=RedriveOutcome.SKIPPED), event.correlation_id
        try:
            async with transaction.savepoint():
                await self._handler(transaction, [event])
        except Exception as error:
            if not is_deterministic(error):
                raise
            code = str(getattr(error, "code", None) or type(error).__name__)
            return _refused(step, code, str(error)), event.correlation_id
        return step, event.correlation_id

    async def _admit(self, transaction: Transaction, row: ParkedRow, event: Event[Payload]) -> bool:
        """What could not be read when it was parked is not in the inbox yet."""
        connection = transaction.connection
        is_new = await connection.fetchval(ADMIT, row.consumer, event.id)
        order_key = row.order_key or event.subject
        await connection.execute(
            IDENTIFY, row.parked_id, event.id, event.data.event_type.value, order_key
        )
        return is_new is not None

    async def _resolve(
        self, transaction: Transaction, row: ParkedRow, resolution: str, actor: UUID, note: str
    ) -> None:
        await transaction.connection.execute(
            RESOLVE, row.parked_id, self._clock.now(), resolution, actor, note
        )

    def _envelope(self, row: ParkedRow) -> Envelope | None:
        try:
            return self._registry.read_envelope(row.encoded or b"")
        except UndecodableEventError:
            return None


def refuse(sentences: dict[EventType, str]) -> Settle:
    """A service that cannot do without some types of messages, and has nothing to finish."""

    async def settle(_transaction: Transaction, discarded: Discarded) -> None:
        for event_type, sentence in sentences.items():
            if discarded.row.event_type == event_type.value:
                raise DiscardRefusedError(sentence)

    return settle


def _refused(step: Step, reason: str, detail: str) -> Step:
    detail = detail.replace("\0", "\N{REPLACEMENT CHARACTER}")[:DETAIL_CHARACTERS_MAX]
    return replace(step, outcome=RedriveOutcome.STILL_PARKED, reason=reason, detail=detail)


def _not_found(parked_id: UUID) -> ParkedNotFoundError:
    return ParkedNotFoundError(f"No parked message {parked_id} is known here: list them first.")
