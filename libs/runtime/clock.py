"""Time as an argument: nothing else in the system reads the wall clock or sleeps by itself."""

import asyncio
import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """What a simulator replaces to run days in a second."""

    def now(self) -> datetime:
        """The wall clock as an aware UTC time: for stamps and expiries, never for ordering."""
        ...

    def monotonic(self) -> float:
        """Seconds from an arbitrary start, never going back: for measuring and for deadlines."""
        ...

    async def sleep(self, seconds: float) -> None: ...


class SystemClock(Clock):
    """The machine's own clock."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
