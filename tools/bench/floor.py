"""The floor under load: the least that could do the same path, on the same Kafka and Postgres.

Its database and its topics are its own, and gone when the block ends.
"""

import asyncio
import os
import secrets
import sys
from collections.abc import Collection, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from uuid import UUID

import asyncpg
from aiokafka import ConsumerRecord
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from infra.kafka import topics
from infra.local import kafka, ports, postgres
from infra.local.process import Program
from infra.local.state import State
from infra.local.supervisor import Supervisor
from infra.postgres import roles
from tools.api_client import ApiClient
from tools.bench import cpu, floor_parts
from tools.bench.load import Refused, drive
from tools.bench.marks import (
    CHARGED,
    LISTED,
    Job,
    Round,
    Stage,
    commit_times,
    record_times,
    round_of,
)
from tools.places import ROOT

GATEWAY = "gateway"
SHARED = (postgres.NAME, kafka.NAME)
ROWS_POLL_SECONDS = 0.1
ROWS_SECONDS_MAX = 30.0

COUNT = {
    "ledger": "SELECT count(*) FROM ledger WHERE job_id = ANY($1)",
    "gallery": "SELECT count(*) FROM gallery WHERE job_id = ANY($1)",
}
COMMITTED = {
    "ledger": "SELECT job_id, pg_xact_commit_timestamp(xmin) AS committed_at"
    "  FROM ledger WHERE job_id = ANY($1)",
    "gallery": "SELECT job_id, pg_xact_commit_timestamp(xmin) AS committed_at"
    "  FROM gallery WHERE job_id = ANY($1)",
}
STAGES = (
    Stage("POST until its event goes to Kafka", "due", "asked"),
    Stage("Kafka, worker, until the answer goes to Kafka", "asked", "produced"),
    Stage("Kafka, projector, until the ledger's row", "produced", CHARGED),
    Stage("Kafka, projector, until the gallery's row", "produced", LISTED),
    Stage("(beside it) POST until 202", "due", "answered"),
)


class Floor:
    """`async with Floor(...)`: its processes run, idle while they are not under load."""

    def __init__(self, state: State, scratch: Path) -> None:
        admin_dsn: str = state["postgres"]["dsn"]
        self._parts = {name: state[name]["pid"] for name in SHARED if state[name]["pid"]}
        self._bootstrap: str = state["kafka"]["bootstrap"]
        self._admin_dsn = admin_dsn
        self._name = f"daygen_bench_{secrets.token_hex(4)}"
        self._prefix = f"{self._name}."
        self._dsn = f"{admin_dsn.rpartition('/')[0]}/{self._name}"
        self._scratch = scratch
        self._port = ports.choose(["floor"])["floor"]
        self._supervisor = Supervisor(self._programs(), report=lambda _: None)
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            await roles.ensure_database(self._admin_dsn, self._name)
            stack.push_async_callback(roles.drop_database, self._admin_dsn, self._name)
            await self._make_topics()
            stack.push_async_callback(topics.delete, self._bootstrap, prefix=self._prefix)
            await self._supervisor.start()
            stack.push_async_callback(self._supervisor.stop)
            url = f"http://{ports.HOST}:{self._port}"
            self._client = await stack.enter_async_context(ApiClient(url))
            self._connection = await asyncpg.connect(self._dsn)
            stack.push_async_callback(self._connection.close)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._stack.aclose()

    async def round(self, times: Sequence[float], body: dict[str, Any]) -> Round:
        """Put this load on it and read from Postgres and Kafka what came of it."""

        async def send(_number: int) -> UUID:
            status, answer = await self._client.answer("POST", "/jobs", json=body)
            if status != 202:
                raise Refused(str(answer))
            return UUID(answer["jobId"])

        before = cpu.seconds(self._pids())
        shots = await drive(times, send)
        jobs = {shot.job_id: Job(shot) for shot in shots if shot.job_id is not None}
        await self._wait_for_rows(jobs)
        spent = cpu.between(before, cpu.seconds(self._pids()))
        if jobs:
            await self._mark(jobs, since=shots[0].due)
        return round_of(shots, jobs.values(), spent)

    async def _wait_for_rows(self, job_ids: Collection[UUID]) -> None:
        deadline = asyncio.get_running_loop().time() + ROWS_SECONDS_MAX
        for table in floor_parts.TABLES:
            while await self._connection.fetchval(COUNT[table], list(job_ids)) < len(job_ids):
                if asyncio.get_running_loop().time() > deadline:
                    return
                await asyncio.sleep(ROWS_POLL_SECONDS)

    async def _mark(self, jobs: dict[UUID, Job], *, since: float) -> None:
        found = {
            CHARGED: await commit_times(self._connection, COMMITTED["ledger"], jobs),
            LISTED: await commit_times(self._connection, COMMITTED["gallery"], jobs),
        }
        for mark, topic in (("asked", floor_parts.ASKED), ("produced", floor_parts.ANSWERED)):
            found[mark] = await record_times(self._bootstrap, self._prefix + topic, since, _job_id)
        for mark, times in found.items():
            for job_id in times.keys() & jobs.keys():
                jobs[job_id].marks[mark] = times[job_id]

    async def _make_topics(self) -> None:
        admin = AIOKafkaAdminClient(bootstrap_servers=self._bootstrap)
        await admin.start()
        try:
            names = [self._prefix + name for name in (floor_parts.ASKED, floor_parts.ANSWERED)]
            partitions = topics.PARTITIONS_EMBEDDED
            await admin.create_topics([NewTopic(name, partitions, 1) for name in names])
        finally:
            await admin.close()

    def _programs(self) -> list[Program]:
        serve = (
            *("-m", "uvicorn", "--factory", f"{floor_parts.__name__}:create_gateway"),
            *("--host", ports.HOST, "--port", str(self._port)),
            *("--loop", "uvloop", "--http", "httptools", "--no-access-log"),
        )
        words = {name: ("-m", floor_parts.__name__, name) for name in floor_parts.ROLES}
        return [self._program(name, each) for name, each in {GATEWAY: serve, **words}.items()]

    def _program(self, name: str, words: tuple[str, ...]) -> Program:
        directory = self._scratch / name

        async def ready() -> bool:
            return (directory / floor_parts.READY).exists()

        return Program(
            name=name,
            argv=(sys.executable, *words),
            directory=directory,
            log=self._scratch / f"{name}.log",
            ready=ready,
            environment={
                "PATH": os.environ.get("PATH", os.defpath),
                "PYTHONPATH": str(ROOT),
                "FLOOR_KAFKA": self._bootstrap,
                "FLOOR_DSN": self._dsn,
                "FLOOR_PREFIX": self._prefix,
            },
        )

    def _pids(self) -> dict[str, int]:
        own = {name: unit.pid for name, unit in self._supervisor.units.items() if unit.pid}
        return self._parts | own


def _job_id(record: ConsumerRecord) -> UUID:
    return UUID(record.key.decode())
