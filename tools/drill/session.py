"""One drill from its load to its verdict."""

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from random import Random

from infra.local import state
from infra.local.home import Home
from tools.drill import report as names
from tools.drill.faults import Faults
from tools.drill.load import Load
from tools.drill.plan import Fault
from tools.drill.report import Recovery, Report, judge
from tools.drill.watch import Watch, superuser, until_quiet
from tools.invariants import what_is_wrong

WARM_UP_SECONDS = 3.0
READY_SECONDS_MAX = 90.0
NEXT_JOB_SECONDS_MAX = 90.0
QUIET_SECONDS_MAX = 240.0
LOOK_SECONDS = 0.1

Say = Callable[[str], None]


class Drill:
    """A drill on the system of one home, which must be up."""

    def __init__(self, home: Home, now: state.State, *, seed: int, say: Say) -> None:
        random = Random(seed)  # noqa: S311  # to be repeated, not a secret
        self._dsn: str = now["postgres"]["dsn"]
        self._urls = [service["url"] for service in now["services"].values()]
        self._seed = seed
        self._say = say
        self._load = Load(now["gateway_url"], random)
        self._watch = Watch(self._dsn, self._load)
        self._faults = Faults(home, random)

    async def run(self, faults: Sequence[Fault], rounds: int) -> Report:
        """Make the faults one after the other under load, wait for the end of all, and judge."""
        began = time.monotonic()
        watching = asyncio.create_task(self._watch.run())
        loading = asyncio.create_task(self._load.run())
        try:
            await asyncio.sleep(WARM_UP_SECONDS)
            recoveries = await self._make(faults)
            self._load.stop()
            await loading
            self._say("All faults are made; waiting until everything has ended.")
            is_quiet = await until_quiet(self._dsn, self._urls, seconds=QUIET_SECONDS_MAX)
            broken = await self._look(recoveries, is_quiet=is_quiet)
        finally:
            for task in (loading, watching):
                task.cancel()
            await asyncio.gather(loading, watching, return_exceptions=True)
            await self._load.close()
        return judge(
            broken,
            seed=self._seed,
            rounds=rounds,
            seconds=time.monotonic() - began,
            accepted=len(self._load.asked),
            statuses=self._watch.status.values(),
            recoveries=recoveries,
        )

    async def _make(self, faults: Sequence[Fault]) -> list[Recovery]:
        following: list[asyncio.Task[Recovery]] = []
        for number, fault in enumerate(faults, start=1):
            await asyncio.sleep(fault.pause_seconds)
            self._say(f"{number:>3} of {len(faults)}  {fault.kind} {fault.part}")
            # Whatever a fault needs (a process to kill, a stream to publish to) must be there.
            await self._whole(fault)
            at = time.monotonic()
            await self._faults.make(fault)
            task = asyncio.create_task(self._recovery(fault, at))
            following.append(task)
            if not fault.is_hurried:
                await asyncio.wait({task})
        return [await task for task in following]

    async def _whole(self, fault: Fault) -> None:
        """Wait for the parts that the making of a fault itself needs."""
        async with asyncio.timeout(READY_SECONDS_MAX):
            for part in dict.fromkeys((fault.part, "postgres", "kafka")):
                await self._faults.until_ready(part)

    async def _recovery(self, fault: Fault, at: float) -> Recovery:
        ready: float | None = None
        with suppress(TimeoutError):
            async with asyncio.timeout(READY_SECONDS_MAX):
                await self._faults.until_ready(fault.part)
                ready = time.monotonic() - at
        job: float | None = None
        with suppress(TimeoutError):
            async with asyncio.timeout(NEXT_JOB_SECONDS_MAX):
                while (seen := self._watch.first_completed_after(at)) is None:  # noqa: ASYNC110
                    await asyncio.sleep(LOOK_SECONDS)
                job = seen - at
        return Recovery(fault=fault, ready_seconds=_tenths(ready), next_job_seconds=_tenths(job))

    async def _look(self, recoveries: Sequence[Recovery], *, is_quiet: bool) -> dict[str, int]:
        """Everything that is wrong, by name."""
        asked = {each.job_id for each in self._load.asked}
        async with superuser(self._dsn) as connection:
            broken = await what_is_wrong(connection)
            rows = await connection.fetch(
                "SELECT job_id FROM gateway.job WHERE user_id = ANY($1::uuid[])", self._load.users
            )
        known = {row["job_id"] for row in rows}
        completed = {job for job, status in self._watch.status.items() if status == "COMPLETED"}
        seen = {
            names.UNKNOWN_JOBS: len(asked - known),
            names.UNANSWERED: self._load.unanswered,
            # A request without an answer may have become a job all the same.
            names.EXTRA_JOBS: max(0, len(known - asked) - self._load.unanswered),
            names.REPEATS: self._load.repeats_with_another_job,
            names.MISSING_PICTURES: await self._load.pictures_missing(completed),
            names.NOT_QUIET: int(not is_quiet),
            names.NOT_RECOVERED: sum(
                None in {each.ready_seconds, each.next_job_seconds} for each in recoveries
            ),
        }
        return broken | {name: count for name, count in seen.items() if count}


def _tenths(value: float | None) -> float | None:
    return None if value is None else round(value, 1)
