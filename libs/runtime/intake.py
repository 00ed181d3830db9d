"""What a consumer has fetched, in parts that know which piece of their log they cover.

A part may be read while the batch before it is still being committed. Whatever becomes of that
batch, a part is applied only where the consumer stands inside of the piece: so a batch that was
fenced, or a partition that came back at another place, can never open a gap.
"""

import asyncio
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import groupby
from operator import attrgetter

from msgspec import Struct

from libs.events.envelope import Event
from libs.events.names import EventType
from libs.events.payload import Payload
from libs.events.quick import QuickReader
from libs.events.registry import Registry, UndecodableEventError
from libs.events.transport import IncomingMessage, Partition
from libs.runtime.clock import Clock

READ_AT_ONCE = 250  # messages, about a millisecond: what else the process does goes on in between
# An event from further ahead than clocks differ is of a sender that cannot be trusted with time:
# its rows would stand before all others, and stay there.
FUTURE_MAX = timedelta(days=1)


class Intake(Struct, frozen=True, kw_only=True, gc=False):
    """A message as far as it could be read: an event to handle, or the reason why it cannot be."""

    message: IncomingMessage
    event: Event[Payload] | None = None
    fault: UndecodableEventError | None = None
    event_type: str | None = None
    order_key: str | None = None


class Part(Struct, gc=False):
    """Consecutive messages of one partition; nothing of ours lies between `start` and `stop`."""

    partition: Partition
    start: int
    stop: int
    messages: Sequence[IncomingMessage]
    intakes: Sequence[Intake] = ()  # of the messages that concern this consumer

    def after(self, place: int) -> Sequence[Intake]:
        """What is still to be done for a consumer that stands at a place of this part."""
        if place <= self.start:
            return self.intakes
        return [each for each in self.intakes if each.message.offset >= place]


class Reader:
    """Reads what is fetched, ahead of what is committed."""

    def __init__(self, registry: Registry, types: Collection[EventType], clock: Clock) -> None:
        self._registry = registry
        self._quick = QuickReader(registry, types)
        self._clock = clock
        self._types = frozenset(event_type.value for event_type in types)
        self._others = frozenset(each.value for each in registry.models) - self._types
        self._places: dict[Partition, int] = {}

    def start_at(self, places: Mapping[Partition, int]) -> None:
        """Read these partitions from here on, and no others."""
        self._places = dict(places)

    def go_to(self, partition: Partition, place: int) -> None:
        """Read one partition from here on."""
        self._places[partition] = place

    def parts(self, messages: Sequence[IncomingMessage]) -> Iterator[Part]:
        """Fetched messages by their place, still unread; what is not ours to read falls out."""
        for partition, run in groupby(messages, attrgetter("partition")):
            start = self._places.get(partition)
            if start is None:
                continue
            new = [each for each in run if each.offset >= start]
            if new:
                self._places[partition] = stop = new[-1].offset + 1
                yield Part(partition, start, stop, new)

    async def read(self, parts: Sequence[Part]) -> None:
        """Find what concerns this consumer: events of its types, and what cannot be read."""
        latest = self._clock.now() + FUTURE_MAX
        for part in parts:
            intakes: list[Intake] = []
            for first in range(0, len(part.messages), READ_AT_ONCE):
                if first:
                    await asyncio.sleep(0)
                some = part.messages[first : first + READ_AT_ONCE]
                intakes += [
                    intake for each in some if (intake := self._read(each, latest)) is not None
                ]
            part.intakes = intakes

    def _read(self, message: IncomingMessage, latest: datetime) -> Intake | None:
        quick = self._quick.read(message.value or b"")
        if quick is None or quick.time > latest:
            return self._read_closely(message, latest)
        if not quick.is_wanted:
            return None
        return _intake(message, quick.event(), quick.subject)

    def _read_closely(self, message: IncomingMessage, latest: datetime) -> Intake | None:
        """With the registry, which lifts old versions and says what is wrong."""
        try:
            envelope = self._registry.read_envelope(message.value or b"")
        except UndecodableEventError as fault:
            return Intake(message=message, fault=fault)
        if envelope.type in self._others:
            return None
        try:
            event = self._registry.open(envelope, latest=latest)
        except UndecodableEventError as fault:
            return Intake(
                message=message, fault=fault, event_type=envelope.type, order_key=envelope.subject
            )
        return _intake(message, event, envelope.subject)


class Gatherer(Reader):
    """Takes every event, of whatever type; what is none at all is left to those it concerns.

    They set it aside, and say so in an event. A second row of the same could be dealt with only by
    them, too.
    """

    def _read(self, message: IncomingMessage, latest: datetime) -> Intake | None:
        try:
            event = self._registry.decode(message.value or b"", latest=latest)
        except UndecodableEventError:
            return None
        return Intake(message=message, event=event)


def _intake(message: IncomingMessage, event: Event[Payload], order_key: str) -> Intake:
    """The event, if it may stand where it was found: under another key it has no order."""
    event_type = event.data.event_type.value
    if event.has_key(message.key):
        return Intake(message=message, event=event, event_type=event_type, order_key=order_key)
    found = "no key" if message.key is None else f"the key {message.key[:50]!r}"
    fault = UndecodableEventError("wrong_key", f"it has {found}, not {event.key}")
    return Intake(message=message, fault=fault, event_type=event_type, order_key=order_key)
