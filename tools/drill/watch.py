"""Sees when jobs end and when nothing is under way any more, from outside of the services."""

import asyncio
import re
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from uuid import UUID

import aiohttp
import asyncpg

from libs.events.names import Service
from tools.drill.load import AWAY, Load
from tools.invariants import TERMINAL

LOOK_SECONDS = 0.2
QUIET_LOOKS = 8
CONNECT_SECONDS = 5.0

ENDED = f"""
    SELECT job_id, status FROM gateway.job
     WHERE user_id = ANY($1::uuid[]) AND {TERMINAL} AND NOT job_id = ANY($2::uuid[])
"""  # noqa: S608 - our own constant
PENDING = " + ".join(
    f"(SELECT count(*) FROM {service}.outbox_pending)"  # noqa: S608 - names of our own
    for service in Service
)
UNDER_WAY = f"""
    SELECT {PENDING} + (SELECT count(*) FROM gateway.job WHERE NOT {TERMINAL})
"""  # noqa: S608 - our own constants
LAG = re.compile(r"^daygen_consumer_lag_messages\{[^}]*\} (\S+)$", re.MULTILINE)

NOT_NOW = (*AWAY, asyncpg.PostgresError, asyncpg.InterfaceError)


@asynccontextmanager
async def superuser(dsn: str) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    """A connection that sees every service's tables."""
    connection = await asyncpg.connect(dsn, timeout=CONNECT_SECONDS, command_timeout=30)
    try:
        yield connection
    finally:
        connection.terminate()


class Watch:
    """Looks at the jobs of a load a few times a second, whatever is down meanwhile."""

    def __init__(self, dsn: str, load: Load) -> None:
        self._dsn = dsn
        self._load = load
        self.status: dict[UUID, str] = {}
        self.ended_at: dict[UUID, float] = {}

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            try:
                async with superuser(self._dsn) as connection:
                    while True:
                        await self._look(connection)
                        await asyncio.sleep(LOOK_SECONDS)
            except NOT_NOW:
                await asyncio.sleep(LOOK_SECONDS)

    async def _look(self, connection: "asyncpg.Connection[asyncpg.Record]") -> None:
        rows = await connection.fetch(ENDED, self._load.users, list(self.status))
        now = time.monotonic()
        for row in rows:
            self.status[row["job_id"]] = row["status"]
            self.ended_at[row["job_id"]] = now

    def first_completed_after(self, moment: float) -> float | None:
        """When the first of the jobs that were asked for after a moment was seen completed."""
        ends = [
            self.ended_at[asked.job_id]
            for asked in self._load.asked
            if asked.at >= moment and self.status.get(asked.job_id) == "COMPLETED"
        ]
        return min(ends, default=None)


async def until_quiet(dsn: str, service_urls: Sequence[str], *, seconds: float) -> bool:
    """Wait until no job, outbox row or unread message is under way, and stays so for a while."""
    deadline, quiet = time.monotonic() + seconds, 0
    while time.monotonic() < deadline:
        try:
            async with superuser(dsn) as connection:
                under_way = await connection.fetchval(UNDER_WAY)
            quiet = quiet + 1 if under_way == 0 and await _unread(service_urls) == 0 else 0
        except NOT_NOW:
            quiet = 0
        if quiet >= QUIET_LOOKS:
            return True
        await asyncio.sleep(LOOK_SECONDS)
    return False


async def _unread(service_urls: Sequence[str]) -> float:
    """Messages that the services' consumers have still to read, as their metrics say."""
    unread = 0.0
    timeout = aiohttp.ClientTimeout(CONNECT_SECONDS)
    async with aiohttp.ClientSession(timeout=timeout, raise_for_status=True) as session:
        for url in service_urls:
            async with session.get(f"{url}/metrics") as response:
                lags = LAG.findall(await response.text())
            # No figure is no news: the consumer has not been given its partitions yet.
            unread += sum(map(float, lags)) if lags else 1.0
    return unread
