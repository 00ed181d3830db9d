"""Admissions beside a route that inserts one row: throughput in turns, latency at a fixed rate.

The gateway runs whole (limits, hold, job, outbox, its relay to a real Kafka), and alone: what other
services would do with its events is not measured here.
"""

import asyncio
import json
import os
import secrets
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random
from typing import Any

import asyncpg
import uvloop

from infra.kafka import topics
from infra.local import ports, services
from infra.local.cluster import LocalCluster
from infra.local.process import Program
from infra.local.supervisor import Report, Supervisor
from infra.postgres import roles
from libs.events.names import Service
from tools.api_client import ApiClient
from tools.bench import admission_floor, http_load
from tools.bench.figures import Latency, Spread, ratios
from tools.bench.load import arrivals
from tools.bench.system import WITHOUT_LIMITS
from tools.places import ROOT

THROUGHPUT_SHARE_TARGET = 0.6
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


@dataclass(frozen=True, slots=True)
class Plan:
    """How long each round is, and how many there are of each side."""

    seconds: float = 5.0
    rounds: int = 3


@dataclass(frozen=True, slots=True)
class Figures:
    """What was measured. `share` is ours over the floor's, round by round."""

    floor_per_second: Spread
    gateway_per_second: Spread
    share: Spread
    p50_ms: Spread
    p99_ms: Spread
    floor_p50_ms: Spread
    floor_p99_ms: Spread
    rate: float
    refused: int

    @property
    def is_reached(self) -> bool:
        return (
            self.share.median >= THROUGHPUT_SHARE_TARGET
            and self.p50_ms.median <= P50_MS_TARGET
            and self.p99_ms.median <= P99_MS_TARGET
            and not self.refused
        )

    def as_json(self) -> dict[str, Any]:
        return asdict(self) | {"is_reached": self.is_reached}

    def as_text(self) -> str:
        lines = [f"{'':<44}{'min':>9}{'median':>9}{'max':>9}   target"]
        for name, spread, target in (
            ("one row a request, requests a second", self.floor_per_second, ""),
            ("admissions a second", self.gateway_per_second, ""),
            ("admissions over rows", self.share, f">= {THROUGHPUT_SHARE_TARGET:g}"),
            (f"admission p50 at {self.rate:g}/s, ms", self.p50_ms, f"<= {P50_MS_TARGET:g}"),
            (f"admission p99 at {self.rate:g}/s, ms", self.p99_ms, f"<= {P99_MS_TARGET:g}"),
            (f"(one row, p50 at {self.rate:g}/s, ms)", self.floor_p50_ms, ""),
            (f"(one row, p99 at {self.rate:g}/s, ms)", self.floor_p99_ms, ""),
        ):
            figures = "".join(
                f"{each:>9.2f}" for each in (spread.minimum, spread.median, spread.maximum)
            )
            lines.append(f"{name:<44}{figures}   {target}")
        lines.append(f"refused: {self.refused}; all targets reached: {self.is_reached}")
        return "\n".join(lines)


async def measure(plan: Plan, scratch: Path, report: Report) -> Figures:
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
        return await _rounds(plan, at, shots, cluster.postgres_dsn(), report)


async def _rounds(
    plan: Plan,
    at: Mapping[str, int],
    shots: Mapping[str, Sequence[bytes]],
    dsn: str,
    report: Report,
) -> Figures:
    for side in SIDES:
        await _saturate(at[side], shots[side], WARM_UP_SECONDS)
    per_second: dict[str, list[float]] = {side: [] for side in SIDES}
    latencies: dict[str, list[Latency]] = {side: [] for side in SIDES}
    refused = 0
    for number in range(plan.rounds):
        for side in SIDES:
            done = await _saturate(at[side], shots[side], plan.seconds)
            per_second[side].append(done.per_second)
            refused += len(done.refused)
            report(f"round {number + 1}, {side}: {done.per_second:,.0f} a second")
        await _published(dsn)
        times = arrivals(RATE, plan.seconds, Random(number))  # noqa: S311 - arrivals, not secrets
        for side in SIDES:
            done = await http_load.drive(ports.HOST, at[side], shots[side], times)
            refused += len(done.refused)
            found = Latency.of([each * 1000 for each in done.seconds])
            latencies[side].append(found)
            said = f"p50 {found.p50:.1f}, p99 {found.p99:.1f} ms"
            report(f"round {number + 1}, {side} at {RATE:g}/s: {said}")
    return Figures(
        floor_per_second=Spread.of(per_second["floor"]),
        gateway_per_second=Spread.of(per_second["gateway"]),
        share=ratios(per_second["gateway"], per_second["floor"]),
        p50_ms=Spread.of([each.p50 for each in latencies["gateway"]]),
        p99_ms=Spread.of([each.p99 for each in latencies["gateway"]]),
        floor_p50_ms=Spread.of([each.p50 for each in latencies["floor"]]),
        floor_p99_ms=Spread.of([each.p99 for each in latencies["floor"]]),
        rate=RATE,
        refused=refused,
    )


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
    nowhere = "http://127.0.0.1:9"
    gateway = {
        "DATABASE_DSN": cluster.postgres_dsn(Service.GATEWAY),
        "KAFKA_BOOTSTRAP": cluster.kafka_bootstrap,
        "INTERNAL_SECRET": secrets.token_hex(32),
        "JWT_SECRET": secrets.token_hex(32),
        "PUBLIC_BASE_URL": services.url_of_port(at["gateway"]),
        **{f"{name}_URL": nowhere for name in ("GENERATION", "GALLERY", "LEDGER", "BILLING")},
    }
    return [
        _program("floor", f"{admission_floor.__name__}:create_app", at["floor"], scratch, {
            admission_floor.DSN: floor_dsn,
        }),
        _program("gateway", "services.gateway.app:create_app", at["gateway"], scratch, {
            **{f"GATEWAY_{name}": value for name, value in gateway.items()},
            **WITHOUT_LIMITS,
        }),
    ]  # fmt: skip


def _program(
    name: str, factory: str, port: int, scratch: Path, environment: Mapping[str, str]
) -> Program:
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


def main() -> None:
    """Measure and print, without the command line around it."""
    with tempfile.TemporaryDirectory(prefix="daygen-bench-") as scratch:
        work = measure(Plan(), Path(scratch), lambda line: print(line, file=sys.stderr))
        print(uvloop.run(work).as_text())


if __name__ == "__main__":
    main()
