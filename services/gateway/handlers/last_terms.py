"""What the database would say of time and prices: so a request can be priced on its way there."""

from datetime import datetime, timedelta

from msgspec import Struct

from libs.runtime.clock import Clock
from services.gateway.domain.admission import BookInForce


class Terms(Struct, frozen=True, kw_only=True):
    """An instant of the database's clock, and the price book that is in force at it."""

    now: datetime
    book: BookInForce


class LastTerms:
    """What the database said last, and the time since: it may be late, and is never ahead.

    Nothing is decided by it. Whoever writes what was priced by it looks whether it was right.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._said: Terms | None = None
        self._heard_seconds = 0.0

    def hear(self, now: datetime, book: BookInForce | None) -> None:
        """Note what the database has just said."""
        self._said = None if book is None else Terms(now=now, book=book)
        self._heard_seconds = self._clock.monotonic()

    def terms(self) -> Terms | None:
        """What it would say now; nothing, as long as it has not said anything."""
        if self._said is None:
            return None
        since = timedelta(seconds=self._clock.monotonic() - self._heard_seconds)
        return Terms(now=self._said.now + since, book=self._said.book)
