"""A system of the bench's own: started in a fresh home, timed until it is ready, ended for sure."""

import asyncio
import os
import signal
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from infra.local import jars, ports
from infra.local.home import Home, read_json
from infra.local.problem import Problem
from infra.local.process import Program, last_output, spawn, stop, telling_line
from infra.local.supervisor import Report
from tools.places import ROOT

READY_POLL_SECONDS = 0.02
START_SECONDS_MAX = 180.0
PLENTY = "1000000000"
# A person's limits would end a load after seconds; what they cost a request they still cost.
WITHOUT_LIMITS = {
    "GATEWAY_SIGNUP_CREDITS": PLENTY,
    "GATEWAY_RATE_LIMIT_PER_MINUTE": PLENTY,
    "GATEWAY_PROVIDER_RATE_LIMIT_PER_MINUTE": PLENTY,
    "GATEWAY_CREDITS_PER_DAY": PLENTY,
    "GATEWAY_TOKENS_PER_DAY": PLENTY,
    "GATEWAY_FLOOD_LIMIT_PER_MINUTE": PLENTY,
}


class OwnSystem:
    """`./daygen up` as a child: it goes when the bench goes, even when that is killed."""

    def __init__(
        self, scratch: Path, report: Report, environment: Mapping[str, str] | None = None
    ) -> None:
        self._more = environment or {}
        self.home = Home(scratch / "home")
        self._port = ports.choose(["gateway"])["gateway"]
        self._directory = scratch / "up"
        self._report = report
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> float:
        """Start it and wait until everything is ready; answers the seconds that this took.

        Raises:
            Problem: it does not start.
        """
        # A download would be the network's time.
        await asyncio.to_thread(jars.ensure, jars.read_lock(), jars.cache_directory(), self._report)
        self.home.make()
        program = self._program()
        began = time.monotonic()
        self._process = await spawn(program)
        while not self._is_ready(self._process.pid):
            if self._process.returncode is not None:
                reason = telling_line(last_output(program.log))
                raise Problem(f"The measured system did not start: {reason}")
            if time.monotonic() - began > START_SECONDS_MAX:
                raise Problem(f"The measured system was not ready after {START_SECONDS_MAX:.0f} s.")
            await asyncio.sleep(READY_POLL_SECONDS)
        return time.monotonic() - began

    async def stop(self) -> None:
        if self._process is not None:
            process, self._process = self._process, None
            await stop(process, self._program())

    def _is_ready(self, pid: int) -> bool:
        state = read_json(self.home.state_file)
        return state.get("supervisor", {}).get("pid") == pid and bool(state["ready"])

    def _program(self) -> Program:
        words = ("up", "--home", str(self.home.root), "--port", str(self._port))

        async def never() -> bool:
            return False

        return Program(
            name="up",
            argv=(sys.executable, "-m", "tools.cli", *words),
            directory=self._directory,
            log=self._directory / "output.log",
            ready=never,
            environment=self._environment(),
            stop_timeout_seconds=60.0,
            death_signal=signal.SIGTERM,
        )

    def _environment(self) -> Mapping[str, str]:
        own = WITHOUT_LIMITS | {"PYTHONPATH": str(ROOT)}
        return dict(os.environ) | own | dict(self._more)
