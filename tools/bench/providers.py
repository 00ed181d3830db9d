"""Generations in flight at slow providers, and what results on their way hold of memory.

A whole system beside its simulators: jobs come through the public API, the figures out of
generation's tables. What providers are given to take is no time of ours.
"""

import asyncio
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from statistics import median
from typing import Any, Self
from uuid import UUID

import asyncpg

from infra.local import state
from infra.local.problem import Problem
from infra.local.supervisor import Report
from libs.events.names import Service
from tools.api_client import ApiClient
from tools.bench.figures import Outcome, Spread
from tools.bench.findings import Figure, Finding
from tools.bench.system import OwnSystem

SHARE_TARGET = 0.8
MEMORY_TARGET_MB = 400.0
LATENCY_SECONDS = 20.0
RESULT_BYTES = 20_000_000
RESULTS = 100
# In flight at each: base64 in the answer, an order that is polled, an address to fetch from.
SHARES: Mapping[str, int] = {"openai": 200, "flux": 150, "ideogram": 150}
LARGE = ("openai", "ideogram")
IN_FLIGHT = sum(SHARES.values())
WAVES = 3
SENDERS = 20
POLL_SECONDS = 0.5
PATIENCE_SECONDS = 240.0

JOBS = """
    SELECT job.state, job.started_at, job.decided_at, attempt.provider_ms
      FROM job LEFT JOIN attempt ON attempt.id = job.attempt_id WHERE job.id = ANY($1)
"""
DECIDED = "SELECT count(*) FROM job WHERE decided_at IS NOT NULL AND id = ANY($1)"


@dataclass(frozen=True, slots=True)
class Plan:
    """How often it is done."""

    rounds: int = 3
    in_flight: int = IN_FLIGHT


@dataclass(frozen=True, slots=True)
class Batch:
    """Jobs asked for together: when each was started and decided, in order (Unix time)."""

    started: Sequence[float]
    decided: Sequence[float]
    own_ms: Sequence[float]  # of each job: from its start to its end, less its provider's time
    answer_ms: Sequence[float]  # of each order: until the gateway has admitted it

    @property
    def seconds(self) -> float:
        """From the first start to the last end."""
        return self.decided[-1] - self.started[0]

    @property
    def share(self) -> float:
        """Of what a system would do that takes no time itself: in flight over latency.

        Counted from the end of the first wave, when all that can be are in flight: how fast the
        bench sends jobs is no matter of providers.
        """
        done = len(self.decided) - IN_FLIGHT
        ideal = IN_FLIGHT / LATENCY_SECONDS
        return done / (self.decided[-1] - self.decided[IN_FLIGHT - 1]) / ideal


async def measure(plan: Plan, scratch: Path, report: Report) -> list[Finding]:
    """Run the whole bench on a system of its own."""
    own = OwnSystem(scratch, report, ENVIRONMENT)
    report("Starting a system of the bench's own")
    try:
        await own.start()
        now = await state.load(own.home)
        async with Load(now) as load:
            return [await _memory(load, report), await _throughput(load, plan, report)]
    finally:
        report("Ending what was started")
        await own.stop()


ENVIRONMENT = {
    "GENERATION_WORKER_SLOTS": str(IN_FLIGHT),
    "GENERATION_CONCURRENCY": "{" + ", ".join(f'"{n}": {c}' for n, c in SHARES.items()) + "}",
}


async def _memory(load: "Load", report: Report) -> Finding:
    report(f"{RESULTS} results of {RESULT_BYTES // 1_000_000} MB at once")
    await load.fate(LARGE, latency=1.0, size=RESULT_BYTES)
    before = load.peak_mb()
    batch = await load.batch({name: RESULTS // len(LARGE) for name in LARGE})
    peak = load.peak_mb()
    return Finding(
        "providers",
        f"{RESULTS} results of {RESULT_BYTES // 1_000_000} MB, half of them base64 in JSON",
        (
            Figure("peak of generation before", "MB", Spread.of([before])),
            Figure("from the first start to the last end", "s", Spread.of([batch.seconds])),
        ),
        (Outcome("peak of generation", "MB", Spread.of([peak]), MEMORY_TARGET_MB),),
    )


async def _throughput(load: "Load", plan: Plan, report: Report) -> Finding:
    await load.fate(tuple(SHARES), latency=LATENCY_SECONDS)
    batches = []
    for number in range(1, plan.rounds + 1):
        report(f"Round {number}: {WAVES * IN_FLIGHT} jobs, {IN_FLIGHT} at once")
        batches.append(await load.batch({name: WAVES * count for name, count in SHARES.items()}))
    own = [median(each.own_ms) for each in batches]
    answers = [median(each.answer_ms) for each in batches]
    rates = [len(each.decided) / each.seconds for each in batches]
    return Finding(
        "providers",
        f"{IN_FLIGHT} in flight at providers that take {LATENCY_SECONDS:g} s",
        (
            Figure("generations a second, from the first start", "1/s", Spread.of(rates)),
            Figure("the gateway's part: an order is admitted, median", "ms", Spread.of(answers)),
            Figure("generation's part: less its provider's time, median", "ms", Spread.of(own)),
        ),
        (
            Outcome(
                "share of in flight over latency",
                "x",
                Spread.of([each.share for each in batches]),
                SHARE_TARGET,
                is_least=True,
            ),
        ),
    )


class Load:
    """`async with Load(state)`: people with plenty of credits, and eyes on generation."""

    def __init__(self, now: state.State) -> None:
        self._now = now
        self._client = ApiClient(now["gateway_url"], connections_max=SENDERS)
        self._bearers: list[dict[str, str]] = []
        self._tables: Any = None

    async def __aenter__(self) -> Self:
        await self._client.__aenter__()
        dsn, path = self._now["postgres"]["dsn"], {"search_path": Service.GENERATION.value}
        self._tables = await asyncpg.connect(dsn, server_settings=path)
        for _ in range(SENDERS):
            body = {
                "email": f"{secrets.token_hex(8)}@example.com",
                "password": secrets.token_hex(9),
            }
            session = await self._client.call("POST", "/api/auth/signup", json=body)
            self._bearers.append({"Authorization": f"Bearer {session['accessToken']}"})
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._tables.close()
        await self._client.__aexit__(None, None, None)

    async def fate(self, names: Sequence[str], *, latency: float, size: int = 0) -> None:
        """What becomes of all orders at these providers from now on."""
        body = {"times": 0, "latency_seconds": latency, "size_bytes": size}
        for name in names:
            url = self._now["simulation"]["url"]
            async with ApiClient(url) as simulators:
                status, told = await simulators.answer("POST", f"/control/{name}", json=body)
            if status != 204:
                raise Problem(f"The simulator of {name} refused: {told}.")

    async def batch(self, counts: Mapping[str, int]) -> Batch:
        """Ask for so many pictures of each provider, and wait for the last."""
        wanted = [name for name, count in counts.items() for _ in range(count)]
        Random(0).shuffle(wanted)  # noqa: S311 - as they come from many people, no secret
        waiting = iter(wanted)
        ids: list[UUID] = []
        answer_ms: list[float] = []
        await asyncio.gather(
            *(self._send(waiting, bearer, ids, answer_ms) for bearer in self._bearers)
        )
        deadline = asyncio.get_running_loop().time() + PATIENCE_SECONDS
        while await self._tables.fetchval(DECIDED, ids) < len(ids):
            if asyncio.get_running_loop().time() > deadline:
                raise Problem("Some generations did not end: look at the log of generation.")
            await asyncio.sleep(POLL_SECONDS)
        rows = await self._tables.fetch(JOBS, ids)
        if failed := sum(row["state"] != "completed" for row in rows):
            raise Problem(
                f"{failed} of {len(rows)} generations failed: there is nothing to measure."
            )
        own = [
            (row["decided_at"] - row["started_at"]).total_seconds() * 1000 - row["provider_ms"]
            for row in rows
        ]
        started, decided = (
            sorted(row[name].timestamp() for row in rows) for name in ("started_at", "decided_at")
        )
        return Batch(started, decided, own, answer_ms)

    async def _send(
        self, waiting: Any, bearer: dict[str, str], ids: list[UUID], answer_ms: list[float]
    ) -> None:
        clock = asyncio.get_running_loop().time
        for name in waiting:
            asked_at = clock()
            body = {"provider": name, "prompt": "a heron", "output_format": "png"}
            status, answer = await self._client.answer(
                "POST", "/api/jobs", json=body, headers=bearer
            )
            if status != 202:
                raise Problem(f"The gateway refused: {status} {answer.get('message')}.")
            answer_ms.append((clock() - asked_at) * 1000)
            ids.append(UUID(answer["jobId"]))

    def peak_mb(self) -> float:
        """The most that generation has ever held of memory."""
        pid = state.parts_of(self._now)[Service.GENERATION.value]["pid"]
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        (kilobytes,) = (line.split()[1] for line in lines if line.startswith("VmHWM"))
        return int(kilobytes) * 1024 / 1_000_000
