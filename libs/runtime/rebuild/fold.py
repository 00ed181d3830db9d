"""Streams into the shadow: rows by COPY while it is empty, the live projection from then on."""

import asyncio
import gc
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from uuid import UUID

from msgspec import Struct, field

from libs.events.envelope import Event
from libs.events.payload import Payload
from libs.events.registry import UndecodableEventError
from libs.events.transport import IncomingMessage, Log, Partition
from libs.runtime.db import Connection
from libs.runtime.erasure import forget
from libs.runtime.rebuild.projection import Pass, Projection, Reach, RebuildError, Rows

RECORDS_MAX = 5_000
GC_THRESHOLDS = (100_000, 50, 100)

Targets = Mapping[Partition, int]
"""Up to which offset, not included, each partition is to be folded."""

Pause = Callable[[], Awaitable[None]]
"""Awaited after each batch: for work that must not be in anybody's way."""

Heard = Callable[[int], None]
"""Told how many messages have been read."""


class Aside(Struct, frozen=True):
    """Messages that the live consumer has not applied: parked still, or discarded."""

    places: frozenset[tuple[Partition, int]] = frozenset()
    event_ids: frozenset[UUID] = frozenset()


class Cut(Struct):
    """Leaves out, of each key, everything from its first event on that is later than a time."""

    moment: datetime
    keys: set[bytes | None] = field(default_factory=set)

    def leaves_out(self, key: bytes | None, time: datetime) -> bool:
        if time > self.moment:
            self.keys.add(key)
        return key in self.keys


class Fold:
    """One projection's way from the log into the shadow, and how far it has come."""

    def __init__(
        self,
        projection: Projection,
        log: Log,
        *,
        heard: Heard = lambda _: None,
        pause: Pause | None = None,
        records_max: int = RECORDS_MAX,
    ) -> None:
        self._projection = projection
        self._log = log
        self._heard = heard
        self._pause = pause
        self._records_max = records_max
        self._registry = projection.registry
        self._models = {model.event_type.value for model in self._registry.models.values()}
        self.aside = Aside()
        self.erased: frozenset[UUID] = frozenset()  # accounts: of them only the books are folded
        self.cut: Cut | None = None
        self.folded: list[dict[Partition, int]] = [{} for _ in projection.passes]

    async def load(self, connection: Connection, number: int, targets: Targets) -> None:
        """Fill tables that are empty and bare with a pass's rows, by COPY."""
        one = self._projection.passes[number]
        if one.loader is None:
            raise RebuildError(f"Pass {number} of {self._projection.service} has no loader.")
        writing: asyncio.Task[None] | None = None
        try:
            for partition, stop in sorted(targets.items()):
                loader = one.loader()
                async for messages in self._batches(number, partition, stop):
                    rows = loader.add(self._events(one, messages))
                    writing = await self._write(connection, rows, writing)
                    self._note(number, messages)
                writing = await self._write(connection, loader.rest(), writing)
                self.folded[number][partition] = stop
            if writing is not None:
                await writing
        finally:
            if writing is not None:
                writing.cancel()
                await asyncio.gather(writing, return_exceptions=True)

    async def apply(self, connection: Connection, number: int, targets: Targets) -> int:
        """Go on with the live projection up to the targets; answers how many messages those were.

        A transaction for each batch: what was applied before is known by its natural key.
        """
        one = self._projection.passes[number]
        count = 0
        for partition, stop in sorted(targets.items()):
            async for messages in self._batches(number, partition, stop):
                events = self._events(one, messages)
                if events:
                    async with connection.transaction():
                        await one.apply(connection, events)
                count += len(messages)
                self._note(number, messages)
            self.folded[number][partition] = max(stop, self.folded[number].get(partition, 0))
        return count

    def unfolded(self, number: int, targets: Targets) -> int:
        """Messages between what a pass has folded and the targets."""
        done = self.folded[number]
        return sum(max(0, stop - done.get(partition, 0)) for partition, stop in targets.items())

    async def _batches(
        self, number: int, partition: Partition, stop: int
    ) -> AsyncIterator[Sequence[IncomingMessage]]:
        offsets = range(self.folded[number].get(partition, 0), stop)
        async for messages in self._log.read(partition, offsets, records_max=self._records_max):
            yield messages
            if self._pause is not None:
                await self._pause()

    def _note(self, number: int, messages: Sequence[IncomingMessage]) -> None:
        last = messages[-1]
        self.folded[number][last.partition] = last.offset + 1
        self._heard(len(messages))

    async def _write(
        self, connection: Connection, rows: Rows, writing: asyncio.Task[None] | None
    ) -> asyncio.Task[None]:
        """Begin to write, once what was begun before is done: meanwhile the next is decoded."""
        if writing is not None:
            await writing
        return asyncio.create_task(self._copy(connection, rows))

    async def _copy(self, connection: Connection, rows: Rows) -> None:
        for table in self._projection.tables:
            records = rows.get(table.name)
            if records:
                await connection.copy_records_to_table(
                    table.name, records=records, columns=table.loaded
                )

    def _events(self, one: Pass, messages: Sequence[IncomingMessage]) -> list[Event[Payload]]:
        decoded = list(self._decoded(one, messages))
        return forget(decoded, self.erased, self._projection.forget)

    def _decoded(self, one: Pass, messages: Sequence[IncomingMessage]) -> Iterator[Event[Payload]]:
        read, open_ = self._registry.read_envelope, self._registry.open
        types = {event_type.value for event_type in one.types}
        aside, cut = self.aside, self.cut
        source = self._projection.service.source if one.reach is Reach.SAID else None
        for message in messages:
            try:
                envelope = read(message.value or b"")
                if envelope.type not in types and envelope.type in self._models:
                    continue
                if envelope.id in aside.event_ids or source not in {None, envelope.source}:
                    continue
                if cut is not None and cut.leaves_out(message.key, envelope.time):
                    continue
                yield open_(envelope)
            except UndecodableEventError as fault:
                # Only of what the live consumer has read do we know that it had to be readable.
                is_known = (message.partition, message.offset) in aside.places
                must_be_known = one.reach is Reach.POSITION and not self._projection.passes_over
                if must_be_known and not is_known:
                    raise RebuildError(_unreadable(message, fault)) from fault


def _unreadable(message: IncomingMessage, fault: UndecodableEventError) -> str:
    where = f"{message.partition.topic}/{message.partition.partition}:{message.offset}"
    return (
        f"The message at {where} cannot be read ({fault.reason}) and is not parked: start the "
        "release that knows it, or have the live consumer park it first."
    )


@contextmanager
def tuned_garbage_collector() -> Iterator[None]:
    """Events come and go in thousands: the default thresholds would search them all the time."""
    before = gc.get_threshold()
    if before == GC_THRESHOLDS:
        yield  # a service has tuned it for itself
        return
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()
