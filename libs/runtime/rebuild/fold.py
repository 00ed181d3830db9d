"""Streams into the shadow: rows by COPY while it is empty, the live projection from then on."""

import gc
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from uuid import UUID

from msgspec import Struct, field

from libs.events.envelope import Event
from libs.events.payload import Payload
from libs.events.quick import QuickReader, Views
from libs.events.registry import UndecodableEventError
from libs.events.transport import IncomingMessage, Log, Partition
from libs.runtime.db import Connection
from libs.runtime.erasure import forget
from libs.runtime.rebuild.filling import Filling
from libs.runtime.rebuild.projection import Pass, Projection, Reach, RebuildError

RECORDS_MAX = 5_000
READ_AT_ONCE = 250  # few enough that a message is still in the processor's cache when it is used
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
        self.aside = Aside()
        self.erased: frozenset[UUID] = frozenset()  # accounts: of them only the books are folded
        self.cut: Cut | None = None
        self.folded: list[dict[Partition, int]] = [{} for _ in projection.passes]

    async def load(self, connection: Connection, number: int, targets: Targets) -> None:
        """Fill tables that are empty and bare with a pass's rows, by COPY."""
        one = self._projection.passes[number]
        if one.loader is None:
            raise RebuildError(f"Pass {number} of {self._projection.service} has no loader.")
        quick, at_once = self._reader(one, one.views), min(READ_AT_ONCE, self._records_max)
        async with Filling(connection, self._projection.tables) as tables:
            for partition, stop in sorted(targets.items()):
                loader = one.loader()
                async for messages in self._batches(number, partition, stop, at_once):
                    await tables.add(loader.add(self._events(one, quick, messages)))
                    self._note(number, messages)
                await tables.add(loader.rest())
                self.folded[number][partition] = stop

    async def apply(self, connection: Connection, number: int, targets: Targets) -> int:
        """Go on with the live projection up to the targets; answers how many messages those were.

        A transaction for each batch: what was applied before is known by its natural key.
        """
        one = self._projection.passes[number]
        count, quick = 0, self._reader(one)
        for partition, stop in sorted(targets.items()):
            async for messages in self._batches(number, partition, stop, self._records_max):
                events = self._events(one, quick, messages)
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
        self, number: int, partition: Partition, stop: int, records_max: int
    ) -> AsyncIterator[Sequence[IncomingMessage]]:
        offsets = range(self.folded[number].get(partition, 0), stop)
        async for messages in self._log.read(partition, offsets, records_max=records_max):
            yield messages
            if self._pause is not None:
                await self._pause()

    def _note(self, number: int, messages: Sequence[IncomingMessage]) -> None:
        last = messages[-1]
        self.folded[number][last.partition] = last.offset + 1
        self._heard(len(messages))

    def _reader(self, one: Pass, views: Views | None = None) -> QuickReader:
        return QuickReader(self._registry, one.types, views)

    def _events(
        self, one: Pass, quick: QuickReader, messages: Sequence[IncomingMessage]
    ) -> list[Event[Payload]]:
        events = list(self._read(one, quick, messages))
        if not self.erased:
            return events
        return forget(events, self.erased, self._projection.forget)

    def _read(
        self, one: Pass, quick: QuickReader, messages: Sequence[IncomingMessage]
    ) -> Iterator[Event[Payload]]:
        """What is to be folded: of the pass's types and writers, not set aside, not cut off."""
        aside, cut = self.aside, self.cut
        source = self._projection.service.source if one.reach is Reach.SAID else None
        for message in messages:
            if aside.places and (message.partition, message.offset) in aside.places:
                continue
            event = self._event(one, quick, message)
            if event is None or event.id in aside.event_ids or source not in {None, event.source}:
                continue
            if cut is not None and cut.leaves_out(message.key, event.time):
                continue
            yield event

    def _event(
        self, one: Pass, quick: QuickReader, message: IncomingMessage
    ) -> Event[Payload] | None:
        read = quick.read(message.value or b"")
        if read is None:
            return self._read_closely(one, message)
        if not read.is_wanted:
            return None
        if self.erased and read.data.account in self.erased:
            return self._read_closely(one, message)  # a view could not be told what to forget
        return read.event()

    def _read_closely(self, one: Pass, message: IncomingMessage) -> Event[Payload] | None:
        """With the registry, which lifts old versions and says what is wrong."""
        try:
            envelope = self._registry.read_envelope(message.value or b"")
            if envelope.type not in one.types and envelope.type in self._registry.models:
                return None
            if self.cut is not None and self.cut.leaves_out(message.key, envelope.time):
                return None
            return self._registry.open(envelope)
        except UndecodableEventError as fault:
            # Only of what the live consumer has read do we know that it had to be readable.
            if one.reach is Reach.POSITION and not self._projection.passes_over:
                raise RebuildError(_unreadable(message, fault)) from fault
            return None


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
