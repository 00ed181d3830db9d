"""Finds a consumer that has stopped for good, so that the process can be started again.

A new process helps against what is wrong inside the old one: a member that never gets its
messages, a task that waits for what never comes. It helps against nothing else, and many processes
that end at the same moment only make an outage longer. So it is no verdict

- that nothing comes: an idle stream leaves nothing to read;
- that Postgres or Kafka does not answer: waiting is all that anybody can do;
- that a partition is stopped because its position lies outside of its log: it would be again;
- that this process itself stood still (a paused machine): time counts in looks, not by the clock.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol

import structlog

from libs.events.transport import Partition
from libs.runtime.clock import Clock

LOOKS = 6  # within the time after which a consumer counts as stuck
LOOK_SECONDS_MAX = 10.0
ANSWER_SECONDS = 5.0

logger = structlog.get_logger(__name__)


class Watched(Protocol):
    """What the watchdog sees of a consumer."""

    @property
    def name(self) -> str: ...

    def progress(self) -> Mapping[Partition, int]: ...

    async def is_behind(self) -> bool: ...


class Watchdog:
    """Looks at one consumer now and then; whoever asks for its verdict waits for nothing."""

    def __init__(
        self,
        consumer: Watched,
        *,
        is_database_ready: Callable[[], Awaitable[None]],
        clock: Clock,
        stuck_seconds: float,
    ) -> None:
        self._consumer = consumer
        self._is_database_ready = is_database_ready
        self._clock = clock
        self._stuck_seconds = stuck_seconds
        self._look_seconds = min(LOOK_SECONDS_MAX, stuck_seconds / LOOKS)
        self._still_seconds = 0.0
        self._seen: Mapping[Partition, int] = {}

    @property
    def verdict(self) -> str | None:
        """Why the process should be started again; it is taken back once something moves."""
        if self._still_seconds < self._stuck_seconds:
            return None
        return (
            f"Consumer {self._consumer.name} has had messages to read and read none for "
            f"{self._still_seconds:.0f} s: start this process again."
        )

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            await self._clock.sleep(self._look_seconds)
            await self.look()

    async def look(self) -> None:
        """Count the time since the last look if nothing has moved that could have."""
        was_stuck = self.verdict is not None
        progress = self._consumer.progress()
        if progress != self._seen or not await self._could_move():
            self._still_seconds = 0.0
        else:
            self._still_seconds += self._look_seconds
        self._seen = progress
        if self.verdict and not was_stuck:
            logger.critical("consumer_stuck", consumer=self._consumer.name, reason=self.verdict)

    async def _could_move(self) -> bool:
        """Whether there is something to read, and everybody is there whom reading needs."""
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                await self._is_database_ready()
                return await self._consumer.is_behind()
        except Exception as error:  # noqa: BLE001  # whatever it is, they do not answer
            logger.debug("consumer_not_judged", consumer=self._consumer.name, error=repr(error))
            return False
