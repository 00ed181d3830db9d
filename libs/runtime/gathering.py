"""How a consumer comes by its next batch: what was fetched, read, and what may wait for company.

A transaction costs about the same for one event as for ten. An event that nobody waits for is held
until one comes that somebody waits for, and shares that one's transaction; or until it has waited
long enough. Nothing is remembered of what is held: whoever dies meanwhile reads it again.
"""

from collections.abc import Sequence

from msgspec import Struct

from libs.events.names import EventType
from libs.events.transport import Subscription
from libs.runtime.clock import Clock
from libs.runtime.intake import Part, Reader

FETCH_SECONDS = 1.0


class Patience(Struct, frozen=True, kw_only=True):
    """Which events may wait for others, and for how long."""

    types: frozenset[EventType]
    seconds: float


AT_ONCE = Patience(types=frozenset(), seconds=0.0)


class Gathering:
    """Fetches and reads for one consumer."""

    def __init__(self, reader: Reader, clock: Clock, records_max: int, patience: Patience) -> None:
        self._reader = reader
        self._clock = clock
        self._records_max = records_max
        self._patience = patience

    async def next(self, subscription: Subscription) -> tuple[list[Part], bool]:
        """The next messages, read; and whether they are as many as there may be at once.

        Raises:
            BusError: the bus cannot be reached; what was held is fetched again.
        """
        parts, room = await self._fetch(subscription, self._records_max, FETCH_SECONDS)
        until = self._clock.monotonic() + self._patience.seconds
        while room > 0 and self._may_wait(parts):
            left = until - self._clock.monotonic()
            if left <= 0:
                break
            more, room = await self._fetch(subscription, room, left)
            parts += more
        return parts, room <= 0

    def _may_wait(self, parts: Sequence[Part]) -> bool:
        """Whether there is something to do, and nobody waits for it."""
        intakes = [intake for part in parts for intake in part.intakes]
        types = self._patience.types
        return bool(intakes) and all(
            each.event is not None and each.event_type in types for each in intakes
        )

    async def _fetch(
        self, subscription: Subscription, size: int, seconds: float
    ) -> tuple[list[Part], int]:
        """What comes, read; and how many messages more the batch may have."""
        messages = await subscription.fetch(records_max=size, timeout_seconds=seconds)
        parts = list(self._reader.parts(messages))
        await self._reader.read(parts)
        return parts, size - len(messages)
