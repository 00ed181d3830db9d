"""Starts programs in the order of their needs, starts again what dies, ends all of them."""

import asyncio
import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from infra.local.problem import Problem
from infra.local.process import (
    Program,
    describe,
    end_leftovers,
    last_output,
    spawn,
    stop,
    telling_line,
)

READY_POLL_SECONDS = 0.05
BACKOFF_SECONDS = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
HEALTHY_AFTER_SECONDS = 30.0

Report = Callable[[str], None]


class Phase(StrEnum):
    """Where a program is in its life."""

    WAITING = "waiting"
    STARTING = "starting"
    READY = "ready"
    CRASHED = "crashed"
    STOPPED = "stopped"


@dataclass(slots=True, eq=False)
class Unit:
    """A program and its present process."""

    program: Program
    phase: Phase = Phase.WAITING
    process: asyncio.subprocess.Process | None = None
    restarts: int = 0
    first_ready: asyncio.Event = field(default_factory=asyncio.Event)
    watcher: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int | None:
        running = self.process is not None and self.process.returncode is None
        return self.process.pid if running and self.process else None


class Supervisor:
    """Owns a set of processes from their start to their end."""

    def __init__(
        self,
        programs: Sequence[Program],
        *,
        report: Report,
        on_change: Callable[[], None] = lambda: None,
    ) -> None:
        self.units = {program.name: Unit(program) for program in programs}
        self._report = report
        self._on_change = on_change
        self._stopping = False

    async def start(self) -> None:
        """Start everything; a program that does not come up ends the start with its problem."""
        tasks = [asyncio.create_task(self._start(unit)) for unit in self.units.values()]
        try:
            await asyncio.gather(*tasks)
        except BaseException:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self.stop()
            raise

    async def _start(self, unit: Unit) -> None:
        program = unit.program
        await asyncio.gather(*(self.units[need].first_ready.wait() for need in program.needs))
        began = asyncio.get_running_loop().time()
        await end_leftovers(program)
        await program.prepare()
        await self._spawn(unit)
        await self._first_readiness(unit)
        await program.settle()
        self._enter(unit, Phase.READY)
        unit.first_ready.set()
        unit.watcher = asyncio.create_task(self._watch(unit))
        seconds = asyncio.get_running_loop().time() - began
        self._report(f"{program.name:<11} ready in {seconds:.1f} s")

    async def _first_readiness(self, unit: Unit) -> None:
        program = unit.program
        deadline = asyncio.get_running_loop().time() + program.start_timeout_seconds
        if await self._becomes_ready(unit, deadline):
            return
        assert unit.process is not None  # noqa: S101 - it was spawned by the caller
        code = unit.process.returncode
        what = (
            f"was not ready after {program.start_timeout_seconds:.0f} s"
            if code is None
            else f"ended at its start ({describe(code)})"
        )
        tail = telling_line(last_output(program.log))
        raise Problem(f"{program.name} {what}; its log {program.log} says: {tail}")

    async def _spawn(self, unit: Unit) -> None:
        unit.process = await spawn(unit.program)
        self._enter(unit, Phase.STARTING)

    async def _becomes_ready(self, unit: Unit, deadline: float = math.inf) -> bool:
        """Poll until the program answers, ends or runs out of time."""
        assert unit.process is not None  # noqa: S101 - it was spawned by the caller
        loop = asyncio.get_running_loop()
        while loop.time() < deadline and unit.process.returncode is None:
            if await self._is_ready(unit):
                return True
            await asyncio.sleep(READY_POLL_SECONDS)
        return False

    @staticmethod
    async def _is_ready(unit: Unit) -> bool:
        try:
            return await unit.program.ready()
        except Exception:  # noqa: BLE001 - a half-started program may answer anything
            return False

    async def _watch(self, unit: Unit) -> None:
        """Start the program again whenever it ends by itself."""
        loop = asyncio.get_running_loop()
        crashes = itertools.count()
        while True:
            began = loop.time()
            assert unit.process is not None  # noqa: S101 - a watcher starts after the process
            code = await unit.process.wait()
            if self._stopping:
                return
            if loop.time() - began > HEALTHY_AFTER_SECONDS:
                crashes = itertools.count()
            delay = BACKOFF_SECONDS[min(next(crashes), len(BACKOFF_SECONDS) - 1)]
            unit.restarts += 1
            self._enter(unit, Phase.CRASHED)
            name = unit.program.name
            self._report(f"{name} ended ({describe(code)}): starting it again in {delay:.1f} s")
            await asyncio.sleep(delay)
            await self._start_again(unit)

    async def _start_again(self, unit: Unit) -> None:
        began = asyncio.get_running_loop().time()
        try:
            await end_leftovers(unit.program)
            await self._spawn(unit)
        except (Problem, OSError) as problem:
            self._report(str(problem))  # the watcher comes back to it, later each time
            return
        if await self._becomes_ready(unit):
            self._enter(unit, Phase.READY)
            seconds = asyncio.get_running_loop().time() - began
            self._report(f"{unit.program.name} is back after {seconds:.1f} s")

    def _enter(self, unit: Unit, phase: Phase) -> None:
        unit.phase = phase
        try:
            self._on_change()
        except OSError as error:  # a full disk: watching goes on, and the next change tells it
            self._report(f"The state of {unit.program.name} could not be told: {error}")

    async def stop(self) -> None:
        """End everything, what needs others first."""
        self._stopping = True
        remaining = dict(self.units)
        while remaining:
            needed = {need for unit in remaining.values() for need in unit.program.needs}
            wave = [unit for name, unit in remaining.items() if name not in needed]
            await asyncio.gather(*(self._end(unit) for unit in wave))
            for unit in wave:
                del remaining[unit.program.name]

    async def _end(self, unit: Unit) -> None:
        if unit.watcher is not None:
            unit.watcher.cancel()
            await asyncio.gather(unit.watcher, return_exceptions=True)
        if unit.process is not None:
            await stop(unit.process, unit.program)
        self._enter(unit, Phase.STOPPED)
