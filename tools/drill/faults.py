"""Makes the faults: to processes by signals, to the database and the streams as a stranger."""

import asyncio
import os
import signal
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from random import Random
from typing import TypeVar
from uuid import uuid4

import aiohttp
import asyncpg
import msgspec
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from infra.local import services, state
from infra.local.home import Home
from infra.local.problem import Problem
from libs.events.envelope import decode_envelope
from libs.events.names import CONTENT_TYPE_CLOUDEVENT, HEADER_CONTENT_TYPE
from tools.drill.plan import SERVICES, Fault, Kind
from tools.drill.watch import CONNECT_SECONDS, superuser

LATEST = 400
LOOK_SECONDS = 0.1
INSISTING_SECONDS = 90.0
HEADERS = ((HEADER_CONTENT_TYPE, CONTENT_TYPE_CLOUDEVENT),)

CUT = """
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
     WHERE usename = $1 AND pid <> pg_backend_pid()
"""
DELAY = """
    UPDATE {service}.relay_share SET owner = 'drill',
           lease_until = clock_timestamp() + make_interval(secs => $1)
"""
STORED = """
    SELECT topic, key, encoded FROM {service}.outbox
     WHERE event_id IS NOT NULL ORDER BY order_number DESC LIMIT $1
"""

Message = tuple[str, bytes | None, bytes]
ResultT = TypeVar("ResultT")


class Faults:
    """Makes faults in one home, and knows when a part is itself again."""

    def __init__(self, home: Home, random: Random) -> None:
        self._home = home
        self._random = random
        self._killed: dict[str, int] = {}

    async def make(self, fault: Fault) -> None:
        """Make a fault; answers when it is over: at once, or when what was frozen goes on."""
        now = await state.load(self._home)
        steps: dict[Kind, Callable[[], Awaitable[None]]] = {
            Kind.KILL: lambda: self._kill(fault, now),
            Kind.FREEZE: lambda: _freeze(pid_of(now, fault.part), fault.seconds),
            Kind.CUT: lambda: self._on_database(now, CUT, fault.part),
            Kind.DELAY: lambda: self._on_database(
                now, DELAY.format(service=fault.part), fault.seconds
            ),
            Kind.REDELIVER: lambda: self._redeliver(fault, now),
        }
        await steps[fault.kind]()

    async def until_ready(self, part: str) -> None:
        """Wait until a part runs and answers, after a kill as another process."""
        while True:
            now = await state.load(self._home)
            found = state.parts_of(now)[part]
            is_new = found["pid"] != self._killed.get(part)
            if found["ready"] and is_new and await answers(part, now):
                return
            await asyncio.sleep(LOOK_SECONDS)

    async def _kill(self, fault: Fault, now: state.State) -> None:
        pid = pid_of(now, fault.part)
        self._killed[fault.part] = pid
        os.kill(pid, signal.SIGKILL)

    @staticmethod
    async def _on_database(now: state.State, query: str, *arguments: object) -> None:
        """Run a statement; a database that is just away has its fault already."""
        with suppress(asyncpg.PostgresError, OSError, TimeoutError):
            async with superuser(now["postgres"]["dsn"]) as connection:
                await connection.execute(query, *arguments)

    async def _redeliver(self, fault: Fault, now: state.State) -> None:
        """Publish copies of stored events: half under their id, half as if they were new."""
        rows = await insisting(partial(_stored, now["postgres"]["dsn"], fault.part))
        chosen = self._random.sample(rows, min(fault.copies, len(rows)))
        same, renamed = chosen[::2], chosen[1::2]
        copies: list[Message] = [(row["topic"], row["key"], row["encoded"]) for row in same]
        copies += [(row["topic"], row["key"], under_a_new_id(row["encoded"])) for row in renamed]
        left = deque(copies)
        await insisting(partial(_publish, now["kafka"]["bootstrap"], left))


async def insisting(step: Callable[[], Awaitable[ResultT]]) -> ResultT:
    """Do what an earlier fault may still be in the way of, until it works.

    Raises:
        TimeoutError: it has not worked for too long.
    """
    async with asyncio.timeout(INSISTING_SECONDS):
        while True:
            try:
                return await step()
            except (asyncpg.PostgresError, KafkaError, OSError, TimeoutError):
                await asyncio.sleep(LOOK_SECONDS)


async def _stored(dsn: str, service: str) -> list[asyncpg.Record]:
    async with superuser(dsn) as connection:
        return list(await connection.fetch(STORED.format(service=service), LATEST))


def under_a_new_id(encoded: bytes) -> bytes:
    """The same event as if it had been told once more: only natural keys can know it."""
    envelope = decode_envelope(encoded)
    return msgspec.json.encode(msgspec.structs.replace(envelope, id=uuid4()))


def pid_of(now: state.State, part: str) -> int:
    """The process of a part.

    Raises:
        Problem: it does not run.
    """
    pid: int | None = state.parts_of(now)[part]["pid"]
    if pid is None:
        raise Problem(f"{part} does not run: look at `./daygen logs {part}`.")
    return pid


async def answers(part: str, now: state.State) -> bool:
    """Whether a part does its work, asked as its users would."""
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            if part in SERVICES:
                return await services.is_ready(f"{now['services'][part]['url']}/health/ready")
            if part == "postgres":
                async with superuser(now["postgres"]["dsn"]) as connection:
                    return bool(await connection.fetchval("SELECT true"))
            if part == "kafka":
                return await _kafka_answers(now["kafka"]["bootstrap"])
            async with aiohttp.ClientSession() as session, session.get(now["s3"]["endpoint"]):
                return True
    except (aiohttp.ClientError, OSError, TimeoutError, KafkaError, asyncpg.PostgresError):
        return False


async def _kafka_answers(bootstrap: str) -> bool:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    try:
        await admin.start()
        return bool(await admin.list_topics())
    finally:
        await admin.close()


async def _publish(bootstrap: str, left: deque[Message]) -> None:
    """Publish messages; each leaves the queue once Kafka has it. One more copy does no harm."""
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, acks="all")
    try:
        await producer.start()
        while left:
            topic, key, value = left[0]
            await producer.send_and_wait(topic, value, key=key, headers=list(HEADERS))
            left.popleft()
    finally:
        await producer.stop()


async def _freeze(pid: int, seconds: float) -> None:
    """Stop a process and its children, who live for themselves (Postgres' backends), for a while.

    However the drill ends, they go on.
    """
    frozen = [pid, *descendants(pid)]
    try:
        for each in frozen:
            _signal(each, signal.SIGSTOP)
        await asyncio.sleep(seconds)
    finally:
        for each in frozen:
            _signal(each, signal.SIGCONT)


def _signal(pid: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, number)


def descendants(pid: int) -> list[int]:
    """Every process that a process has started, and theirs."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
                parents[int(entry.name)] = int(fields[1])
    found: list[int] = []
    generation = {pid}
    while generation := {child for child, parent in parents.items() if parent in generation}:
        found += generation
    return found
