"""Wakes whoever waits for a change: here at once, in the service's other processes by NOTIFY.

NOTIFY inside a transaction would hold a lock of the whole cluster until its commit. So it is sent
after the commit, over a connection of its own, and many wake-ups leave as one. A crash between
commit and NOTIFY is covered by the waiters' own slow timeouts.

Each process says every few seconds that it is there. One that has long heard of no other tells
nobody; as soon as it hears of one, it lets that one look at everything.
"""

import asyncio
import math
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any
from uuid import UUID

import asyncpg
import msgspec
import structlog

from libs.runtime.clock import Clock

PAYLOAD_BYTES_MAX = 7_000  # Postgres allows 8,000
RECONNECT_SECONDS = 1.0
GATHER_SECONDS = 0.02  # between notifications: what comes meanwhile leaves as one
HELLO_SECONDS = 3.0  # between two signs of life
COMPANY_SECONDS = 10.0  # so long another process is taken to be there after its last sign

EVERYTHING = ("", "")  # the wake-up of every listener

_LOST = (
    OSError,
    TimeoutError,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # of a connection that ends in the middle of something
)

logger = structlog.get_logger(__name__)


class Wakeup:
    """A waiter's side of a channel. What happens between two waits is remembered."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def fire(self) -> None:
        """Let the waiter go on."""
        self._event.set()

    async def wait(self, timeout_seconds: float | None = None) -> bool:
        """Wait for the next wake-up. False: the time was up first."""
        try:
            async with asyncio.timeout(timeout_seconds):
                await self._event.wait()
        except TimeoutError:
            return False
        self._event.clear()
        return True


class Wakeups:
    """The wake-ups of one process, joined with those of the service's other processes."""

    def __init__(
        self,
        dsn: str,
        *,
        schema: str,
        process_id: UUID,
        clock: Clock,
        hello_seconds: float = HELLO_SECONDS,
        company_seconds: float = COMPANY_SECONDS,
    ) -> None:
        self._dsn = dsn
        self._postgres_channel = f"daygen_{schema}"
        self._process_id = str(process_id)
        self._clock = clock
        self._listeners: defaultdict[tuple[str, str], set[Wakeup]] = defaultdict(set)
        self._unsent: dict[tuple[str, str], None] = {}
        self._work = Wakeup()
        self._hello_seconds = hello_seconds
        self._company_seconds = company_seconds
        self._company_until = math.inf  # who does not listen yet cannot know

    @contextmanager
    def listen(self, channel: str, key: str = "") -> Iterator[Wakeup]:
        """Hear the wake-ups of a key; with no key, all of the channel."""
        wakeup = Wakeup()
        listeners = self._listeners[channel, key]
        listeners.add(wakeup)
        try:
            yield wakeup
        finally:
            listeners.discard(wakeup)
            if not listeners:
                self._listeners.pop((channel, key), None)

    def wake(self, channel: str, key: str = "") -> None:
        """Wake this process's listeners now, the others' soon."""
        self._fire(channel, key)
        if self._is_in_company():
            self._unsent[channel, key] = None
            self._work.fire()

    async def run(self) -> None:
        """Exchange wake-ups with the other processes; a lost connection is made again."""
        while True:
            try:
                await self._exchange()
            except _LOST as error:
                logger.warning("wakeups_disconnected", error=str(error))
            await self._clock.sleep(RECONNECT_SECONDS)

    async def _exchange(self) -> None:
        # A lost notification is covered by slow timeouts, so it need not wait for the disk.
        connection = await asyncpg.connect(
            self._dsn,
            timeout=10,
            command_timeout=30,
            server_settings={
                "synchronous_commit": "off",
                "application_name": f"{self._postgres_channel}_wakeups",
            },
        )
        lost = asyncio.Event()

        def on_termination(_connection: object) -> None:
            lost.set()
            self._work.fire()

        connection.add_termination_listener(on_termination)
        try:
            await connection.add_listener(self._postgres_channel, self._heard)
            self._company_until = self._clock.monotonic() + self._company_seconds
            # Something may have happened while nobody listened here, or while nobody heard of us.
            self._fire_all()
            await self._notify(connection, [EVERYTHING])
            while not lost.is_set():
                is_woken = await self._work.wait(self._hello_seconds)
                while self._unsent:
                    await self._notify(connection, self._next_pairs())
                if not is_woken:
                    await self._notify(connection, [])
                await self._clock.sleep(GATHER_SECONDS)
        finally:
            self._company_until = math.inf
            with suppress(*_LOST):
                await connection.close(timeout=2)

    async def _notify(
        self, connection: "asyncpg.Connection[asyncpg.Record]", pairs: list[tuple[str, str]]
    ) -> None:
        payload = msgspec.json.encode([self._process_id, pairs]).decode()
        try:
            await connection.execute("SELECT pg_notify($1, $2)", self._postgres_channel, payload)
        except BaseException:
            self._unsent.update(dict.fromkeys(pairs))  # told over the next connection
            raise

    def _next_pairs(self) -> list[tuple[str, str]]:
        """As many unsent wake-ups as fit into one notification."""
        pairs: list[tuple[str, str]] = []
        size_bytes = 0
        while self._unsent and size_bytes < PAYLOAD_BYTES_MAX - 200:
            pair = next(iter(self._unsent))
            del self._unsent[pair]
            pairs.append(pair)
            size_bytes += len(pair[0]) + len(pair[1]) + 8
        return pairs

    def _heard(self, _connection: Any, _pid: int, _channel: str, payload: object) -> None:
        sender, pairs = msgspec.json.decode(str(payload), type=tuple[str, list[tuple[str, str]]])
        if sender == self._process_id:
            return
        if not self._is_in_company():
            self._unsent[EVERYTHING] = None  # what it was not told of until now
            self._work.fire()
        self._company_until = self._clock.monotonic() + self._company_seconds
        for channel, key in pairs:
            self._fire(channel, key)

    def _is_in_company(self) -> bool:
        return self._clock.monotonic() < self._company_until

    def _fire(self, channel: str, key: str) -> None:
        if (channel, key) == EVERYTHING:
            self._fire_all()
        for wakeup in self._listeners.get((channel, key), ()):
            wakeup.fire()
        if key:
            for wakeup in self._listeners.get((channel, ""), ()):
                wakeup.fire()

    def _fire_all(self) -> None:
        for wakeups in self._listeners.values():
            for wakeup in wakeups:
                wakeup.fire()
