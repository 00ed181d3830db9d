"""Runs a service as a process that dies where a test says, and again afterwards."""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import httpx2
from msgspec import Struct

from libs.events.names import Service
from libs.runtime.testing_mortal import Point

ROOT = Path(__file__).parents[2]
START_SECONDS = 30.0
DEATH_SECONDS = 20.0


class Mortal(Struct):
    """A running process of a service."""

    process: asyncio.subprocess.Process
    client: httpx2.AsyncClient

    def arm(self) -> None:
        """From now on the process dies at its point."""
        self.process.send_signal(signal.SIGUSR1)

    async def death(self) -> None:
        """Wait for the end, which must be the one that the test has planned."""
        async with asyncio.timeout(DEATH_SECONDS):
            code = await self.process.wait()
        assert code == -signal.SIGKILL, f"it ended with {code}"  # for tests


class Mortals(Struct, frozen=True):
    """Starts processes of one service on one database and one set of topics."""

    factory: str
    service: Service
    prefix: str
    environment: Mapping[str, str]

    @contextlib.asynccontextmanager
    async def process(self, point: Point = Point.NEVER, **changes: str) -> AsyncIterator[Mortal]:
        """A process as long as the block lasts, unless it dies before."""
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "libs.runtime.testing_mortal",
            self.factory,
            self.service.value,
            point.value,
            self.prefix,
            cwd=ROOT,
            env={**os.environ, **self.environment, **changes},
            stdout=asyncio.subprocess.PIPE,
        )
        try:
            async with asyncio.timeout(START_SECONDS):
                url = await self._address(process)
            async with httpx2.AsyncClient(base_url=url, timeout=30) as client:
                await self._ready(client)
                yield Mortal(process, client)
        finally:
            if process.returncode is None:
                process.kill()
            await process.communicate()

    @staticmethod
    async def _ready(client: httpx2.AsyncClient) -> None:
        async with asyncio.timeout(START_SECONDS):
            # It reads its own history first.
            while (await client.get("/health/ready")).is_error:  # noqa: ASYNC110  # another process
                await asyncio.sleep(0.05)

    @staticmethod
    async def _address(process: asyncio.subprocess.Process) -> str:
        """The first line that is an address; others are the service's log."""
        assert process.stdout is not None  # it is piped
        async for line in process.stdout:
            if line.startswith(b"http://"):
                return line.decode().strip()
        raise RuntimeError(f"The process ended while it started, with {await process.wait()}.")
