"""Timed work: sleeps exactly until the next thing is due, or until told that it is due sooner."""

from datetime import datetime
from typing import Protocol

import structlog

from libs.runtime.clock import Clock
from libs.runtime.faults import Backoff
from libs.runtime.wakeups import Wakeups

logger = structlog.get_logger(__name__)


class TimedWork(Protocol):
    """Work whose times stand in the database."""

    async def next_at(self) -> datetime | None:
        """When it is due next."""
        ...

    async def work(self) -> None:
        """Do all of it that is due now."""
        ...


class Timer:
    """Does one kind of work when it is due.

    What becomes due sooner than `horizon_seconds` from now comes with a wake-up; the rest is seen
    in time by looking once in each horizon. That is all the looking there is.
    """

    def __init__(
        self,
        *,
        channel: str,
        work: TimedWork,
        wakeups: Wakeups,
        clock: Clock,
        horizon_seconds: float,
    ) -> None:
        self._channel = channel
        self._work = work
        self._wakeups = wakeups
        self._clock = clock
        self._horizon_seconds = horizon_seconds

    async def run(self) -> None:
        """Work until cancelled."""
        backoff = Backoff()
        was_away = False
        with self._wakeups.listen(self._channel) as wakeup:
            while True:
                try:
                    asked_at = self._clock.monotonic()
                    due_at = await self._work.next_at()
                    waited_seconds = self._clock.monotonic() - asked_at
                    if was_away or waited_seconds > self._horizon_seconds / 3:
                        # While the database was away, or stood still, nobody could renew a lease:
                        # give them time.
                        was_away = False
                        await self._clock.sleep(self._horizon_seconds)
                    elif due_at is not None and due_at <= self._clock.now():
                        await self._work.work()
                    else:
                        await wakeup.wait(self._seconds_until(due_at))
                    backoff.reset()
                except Exception as error:  # noqa: BLE001  # an outage: what is due stays due
                    logger.warning("timed_work_waits", channel=self._channel, error=repr(error))
                    was_away = True
                    await self._clock.sleep(backoff.next_seconds(0.5))

    def _seconds_until(self, due_at: datetime | None) -> float:
        if due_at is None:
            return self._horizon_seconds
        return min(self._horizon_seconds, (due_at - self._clock.now()).total_seconds())
