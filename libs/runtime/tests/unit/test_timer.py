"""The timer: on time, woken early, patient after an outage."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from uuid import uuid4

from libs.runtime.clock import SystemClock
from libs.runtime.timer import Timer
from libs.runtime.wakeups import Wakeups

CLOCK = SystemClock()


class Work:
    """Due at one time; notes when it was done."""

    def __init__(self, due_at: datetime | None) -> None:
        self.due_at = due_at
        self.done_at: list[datetime] = []
        self.looked = 0
        self.faults = 0
        self.failed_at: list[datetime] = []
        self.stands_still_seconds = 0.0

    async def next_at(self) -> datetime | None:
        self.looked += 1
        await CLOCK.sleep(self.stands_still_seconds)
        self.stands_still_seconds = 0.0
        if self.faults:
            self.faults -= 1
            self.failed_at.append(CLOCK.now())
            raise ConnectionError("the database is away")
        return self.due_at

    async def work(self) -> None:
        self.done_at.append(CLOCK.now())
        self.due_at = None


@asynccontextmanager
async def timing(work: Work, horizon_seconds: float) -> AsyncIterator[Wakeups]:
    wakeups = Wakeups("", schema="generation", process_id=uuid4(), clock=CLOCK)
    timer = Timer(
        channel="due", work=work, wakeups=wakeups, clock=CLOCK, horizon_seconds=horizon_seconds
    )
    task = asyncio.create_task(timer.run())
    try:
        yield wakeups
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.005)


async def test_work_is_done_when_it_is_due_and_without_looking_meanwhile() -> None:
    due_at = CLOCK.now() + timedelta(seconds=0.2)
    work = Work(due_at)
    async with timing(work, 60):
        await until(lambda: work.done_at)
    assert timedelta(0) <= work.done_at[0] - due_at < timedelta(seconds=20)
    assert work.looked <= 3


async def test_what_becomes_due_sooner_is_done_after_a_wake_up() -> None:
    work = Work(None)
    async with timing(work, 60) as wakeups:
        await until(lambda: work.looked)
        work.due_at = CLOCK.now()
        wakeups.wake("due")
        await until(lambda: work.done_at)


async def test_what_nobody_told_of_is_seen_within_a_horizon() -> None:
    work = Work(None)
    async with timing(work, 0.05):
        await until(lambda: work.looked)
        work.due_at = CLOCK.now()
        await until(lambda: work.done_at)


async def test_after_an_outage_others_get_time_to_renew_their_leases() -> None:
    work = Work(CLOCK.now())
    work.faults = 2
    async with timing(work, 0.3):
        await until(lambda: work.done_at)
    assert work.done_at[0] - work.failed_at[-1] >= timedelta(seconds=0.3)


async def test_after_a_database_that_stood_still_the_work_waits_a_horizon_as_well() -> None:
    started = CLOCK.now()
    work = Work(started)
    work.stands_still_seconds = 0.2
    async with timing(work, 0.3):
        await until(lambda: work.done_at)
    assert work.done_at[0] - started >= timedelta(seconds=0.5)
