"""The whole embedded system as processes, driven through the command line and the public API."""

import asyncio
import json
import os
import secrets
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Mapping
from contextlib import asynccontextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import asyncpg

from tools.api_client import ApiClient, Json
from tools.places import ROOT

PASSWORD = "correct horse battery"
UP_SECONDS = 180
READY_SECONDS = 90.0
TERMINAL = frozenset({"COMPLETED", "FAILED", "CANCELLED"})


class System:
    """A running home."""

    def __init__(self, home: Path, environment: Mapping[str, str]) -> None:
        self.home = home
        self._environment = {**os.environ, **environment}

    def command(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """`./daygen ARGUMENTS --home HOME`, with the interpreter that runs the tests."""
        return subprocess.run(
            [sys.executable, "-m", "tools.cli", *arguments, "--home", str(self.home)],
            cwd=ROOT,
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=UP_SECONDS,
            check=check,
        )

    def status(self) -> Json:
        """What `status --json` says."""
        status: Json = json.loads(self.command("status", "--json", check=False).stdout)
        return status

    @cached_property
    def _dsn(self) -> str:
        """The same as long as the system runs; asking for it takes a process."""
        dsn: str = self.status()["postgres"]["dsn"]
        return dsn

    def pid(self, part: str) -> int | None:
        """Process id of a service or part, None while it is down."""
        status = self.status()
        found = status["services"].get(part) or status[part]
        pid: int | None = found["pid"]
        return pid

    def kill(self, part: str) -> None:
        """End a part's process as a crash would."""
        pid = self.pid(part)
        assert pid is not None, f"{part} does not run"
        os.kill(pid, signal.SIGKILL)

    @asynccontextmanager
    async def stopped(self, parts: Iterable[str]) -> AsyncIterator[None]:
        """Freeze processes for a while: they neither die nor answer."""
        pids = [pid for part in parts if (pid := self.pid(part)) is not None]
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            for pid in pids:
                os.kill(pid, signal.SIGCONT)

    async def until_ready(self) -> None:
        """Wait until every part runs and answers again."""
        async with asyncio.timeout(READY_SECONDS):
            while not (await asyncio.to_thread(self.status))["ready"]:
                await asyncio.sleep(0.3)

    @asynccontextmanager
    async def database(self) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
        """The superuser's connection, to look at every service's tables at once."""
        connection = await asyncpg.connect(self._dsn)
        try:
            yield connection
        finally:
            await connection.close()

    async def scalar(self, query: str, *arguments: Any) -> Any:
        """The one value that a query answers."""
        async with self.database() as connection:
            return await connection.fetchval(query, *arguments)

    @asynccontextmanager
    async def person(self, gateway_url: str | None = None) -> AsyncIterator[ApiClient]:
        """A new user, signed in."""
        url = gateway_url or self.status()["gateway_url"]
        async with ApiClient(url, connections_max=1_000) as client:
            await client.sign_up(f"{secrets.token_hex(8)}@example.com", PASSWORD)
            yield client


async def until(condition: Callable[[], Coroutine[Any, Any, bool]], *, seconds: float) -> None:
    """Wait for a condition with a deadline."""
    async with asyncio.timeout(seconds):
        while not await condition():
            await asyncio.sleep(0.2)
