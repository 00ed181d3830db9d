"""Admissions beside a route that inserts one row: throughput in turns, latency at a fixed rate.

The gateway runs whole (limits, hold, job, outbox, its relay to a real Kafka), and alone: what other
services would do with its events is not measured here.
"""

import asyncio
import json
import os
import secrets
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import asyncpg

from infra.kafka import topics
from infra.local import ports, services
from infra.local.cluster import LocalCluster
from infra.local.process import Program
from infra.local.supervisor import Report, Supervisor
from infra.postgres import roles
from libs.events.names import Service
from tools.api_client import ApiClient
from tools.bench import admission_floor, http_load
from tools.bench.figures import Latency, Outcome, Spread, ratios
from tools.bench.findings import Figure, Finding
from tools.bench.load import arrivals
from tools.bench.system import WITHOUT_LIMITS
from tools.places import ROOT

SHARE_TARGET_PERCENT = 60.0
P50_MS_TARGET = 5.0
P99_MS_TARGET = 25.0
RATE = 300.0
CONNECTIONS = 64
USERS = 50
WARM_UP_SECONDS = 3.0
PUBLISHED_SECONDS_MAX = 60.0
PUBLISHED_POLL_SECONDS = 0.1
PENDING = "SELECT count(*) FROM outbox_pending"
BODY = {"provider": "local", "prompt": "dunes of a wide desert, in the manner of an old postcard"}
SIDES = ("floor", "gateway")
WHAT = "limits, hold, job and outbox of a request, beside a route that inserts one row"


@dataclass(frozen=True, slots=True)
class Plan:
    """How long each round is, and how many there are of each side."""

    seconds: float = 5.0
    rounds: int = 3


@dataclass(slots=True)
class Measured:
    """What was measured of each side, round by round."""

    per_second: dict[str, list[float]] = field(default_factory=lambda: {s: [] for s in SIDES})
    latencies: dict[str, list[Latency]] = field(default_factory=lambda: {s: [] for s in SIDES})
    refused: int = 0

    def p50(self, side: str) -> Spread:
        return Spread.of([each.p50 for each in self.latencies[side]])

    def p99(self, side: str) -> Spread:
        return Spread.of([each.p99 for each in self.latencies[side]])

    def finding(self) -> Finding:
        """Ours and the floor of the same rounds, and what was to be reached."""
        rows, ours = self.per_second["floor"], self.per_second["gateway"]
        share = ratios([100 * each for each in ours], rows)
        at = f"at {RATE:g}/s"
        refused = Spread(self.refused, self.refused, self.refused)
        return Finding(
            "admission",
            WHAT,
            (
                Figure("one row a request", "/s", Spread.of(rows)),
                Figure("admissions", "/s", Spread.of(ours)),
                Figure(f"one row, p50 {at}", "ms", self.p50("floor")),
                Figure(f"one row, p99 {at}", "ms", self.p99("floor")),
            ),
            (
                Outcome("admissions over rows", "%", share, SHARE_TARGET_PERCENT, True),
                Outcome(f"admission, p50 {at}", "ms", self.p50("gateway"), P50_MS_TARGET),
                Outcome(f"admission, p99 {at}", "ms", self.p99("gateway"), P99_MS_TARGET),
                Outcome("refused requests", "", refused, 0),
            ),
        )


async def measure(plan: Plan, scratch: Path, report: Report) -> list[Finding]:
    """Run the whole bench on parts of its own."""
    async with AsyncExitStack() as stack:
        report("Starting Postgres and Kafka")
        cluster = await stack.enter_async_context(LocalCluster(scratch / "home"))
        await topics.ensure(cluster.kafka_bootstrap, partitions=12)
        floor_dsn = await _floor_database(cluster)
        at = ports.choose(list(SIDES))
        supervisor = Supervisor(_programs(cluster, at, floor_dsn, scratch), report=lambda _: None)
        await supervisor.start()
        stack.push_async_callback(supervisor.stop)
        report("Signing up users")
        bearers = await _sign_up(services.url_of_port(at["gateway"]))
        shots = {"floor": _requests([""]), "gateway": _requests(bearers)}
        return [(await _rounds(plan, at, shots, cluster.postgres_dsn(), report)).finding()]


async def _rounds(
    plan: Plan,
    at: Mapping[str, int],
    shots: Mapping[str, Sequence[bytes]],
    dsn: str,
    report: Report,
) -> Measured:
    for side in SIDES:
        await _saturate(at[side], shots[side], WARM_UP_SECONDS)
    measured = Measured()
    for number in range(plan.rounds):
        for side in SIDES:
            done = await _saturate(at[side], shots[side], plan.seconds)
            measured.per_second[side].append(done.per_second)
            measured.refused += len(done.refused)
            report(f"round {number + 1}, {side}: {done.per_second:,.0f} a second")
        await _published(dsn)
        times = arrivals(RATE, plan.seconds, Random(number))  # noqa: S311 - arrivals, not secrets
        for side in SIDES:
            done = await http_load.drive(ports.HOST, at[side], shots[side], times)
            measured.refused += len(done.refused)
            found = Latency.of([each * 1000 for each in done.seconds])
            measured.latencies[side].append(found)
            said = f"p50 {found.p50:.1f}, p99 {found.p99:.1f} ms"
            report(f"round {number + 1}, {side} at {RATE:g}/s: {said}")
    return measured


async def _published(dsn: str) -> None:
    """Until the gateway has published what it was saturated with: that is not the next round's."""
    connection = await asyncpg.connect(dsn, server_settings={"search_path": "gateway"})
    try:
        async with asyncio.timeout(PUBLISHED_SECONDS_MAX):
            while await connection.fetchval(PENDING):  # noqa: ASYNC110 - another process empties it
                await asyncio.sleep(PUBLISHED_POLL_SECONDS)
    finally:
        await connection.close()


async def _saturate(port: int, requests: Sequence[bytes], seconds: float) -> http_load.Shots:
    return await http_load.saturate(
        ports.HOST, port, requests, connections=CONNECTIONS, seconds=seconds
    )


def _requests(bearers: Sequence[str]) -> list[bytes]:
    body = json.dumps(BODY).encode()
    return [
        http_load.request(
            ports.HOST, "/api/jobs", body, {"Authorization": f"Bearer {each}"} if each else {}
        )
        for each in bearers
    ]


async def _sign_up(url: str) -> list[str]:
    bearers = []
    async with ApiClient(url) as client:
        for _ in range(USERS):
            body = {"email": f"bench-{secrets.token_hex(8)}@example.com", "password": "x" * 12}
            session = await client.call("POST", "/api/auth/signup", json=body)
            bearers.append(session["accessToken"])
    return bearers


async def _floor_database(cluster: LocalCluster) -> str:
    admin = cluster.postgres_dsn(database="postgres")
    await roles.ensure_database(admin, "floor")
    return cluster.postgres_dsn(database="floor")


def _programs(
    cluster: LocalCluster, at: Mapping[str, int], floor_dsn: str, scratch: Path
) -> list[Program]:
    return [
        program("floor", f"{admission_floor.__name__}:create_app", at["floor"], scratch, {
            admission_floor.DSN: floor_dsn,
        }),
        gateway_program(cluster, at["gateway"], scratch),
    ]  # fmt: skip


def gateway_program(
    cluster: LocalCluster, port: int, scratch: Path, more: Mapping[str, str] | None = None
) -> Program:
    """A gateway on real parts, whose neighbours are away but for what `more` settings say."""
    nowhere = "http://127.0.0.1:9"
    gateway = {
        "DATABASE_DSN": cluster.postgres_dsn(Service.GATEWAY),
        "KAFKA_BOOTSTRAP": cluster.kafka_bootstrap,
        "INTERNAL_SECRET": secrets.token_hex(32),
        "JWT_SECRET": secrets.token_hex(32),
        "PUBLIC_BASE_URL": services.url_of_port(port),
        "S3_ENDPOINT": cluster.s3.endpoint,
        "S3_REGION": cluster.s3.region,
        "S3_BUCKET": cluster.s3.bucket,
        "S3_ACCESS_KEY": cluster.s3.access_key,
        "S3_SECRET_KEY": cluster.s3.secret_key,
        **{f"{name}_URL": nowhere for name in ("GENERATION", "GALLERY", "LEDGER", "BILLING")},
    }
    return program("gateway", "services.gateway.app:create_app", port, scratch, {
        **{f"GATEWAY_{name}": value for name, value in gateway.items()},
        **WITHOUT_LIMITS,
        **(more or {}),
    })  # fmt: skip


def program(
    name: str, factory: str, port: int, scratch: Path, environment: Mapping[str, str]
) -> Program:
    """A service as it is run, with the settings of a bench."""
    url = f"{services.url_of_port(port)}/health/ready"

    async def ready() -> bool:
        return await services.is_ready(url)

    return Program(
        name=name,
        argv=services.uvicorn_command(factory, port),
        directory=scratch / name,
        log=scratch / f"{name}.log",
        ready=ready,
        environment={
            "PATH": os.environ.get("PATH", os.defpath),
            "PYTHONPATH": str(ROOT),
            **environment,
        },
    )
