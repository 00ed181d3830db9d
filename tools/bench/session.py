"""One bench from its start to its end: systems up, rounds in turns, everything down again."""

import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import asyncpg

from infra.local import state
from infra.local.home import Home
from infra.local.problem import Problem
from infra.local.supervisor import Report
from tools.bench import floor, ours
from tools.bench.floor import Floor
from tools.bench.load import arrivals
from tools.bench.marks import Round
from tools.bench.ours import Ours
from tools.bench.result import Result, Setting, Side
from tools.bench.system import OwnSystem

ROOM = 1.3  # arrivals are random
WARM_UP_SECONDS = 3.0
# What is drawn is not what is measured: everybody wants the same picture, one that is quickly made.
BODY: dict[str, Any] = {
    "provider": "local",
    "prompt": "dunes of a wide desert, the light of late summer, in the manner of an old postcard",
    "seed": 7,
}


@dataclass(frozen=True, slots=True)
class Plan:
    """How much load, how often, on which system (None: one of the bench's own)."""

    rate: float
    seconds: float
    rounds: int
    home: Home | None


async def measure(plan: Plan, scratch: Path, report: Report) -> Result:
    """Run the whole bench.

    Raises:
        Problem: a system does not run, or does not finish a single request.
    """
    load_before = os.getloadavg()[0]
    ups: list[float] = []
    async with AsyncExitStack() as stack:
        now = await stack.enter_async_context(_system(plan, scratch, report, ups))
        await _require_commit_times(now)
        least = await stack.enter_async_context(Floor(now, scratch / "floor"))
        system = await stack.enter_async_context(Ours(now))
        report("Signing up users")
        requests = plan.rate * (WARM_UP_SECONDS + plan.rounds * plan.seconds)
        await system.sign_up(int(requests * ROOM))
        try:
            floors, mine = await _rounds(plan, least, system, report)
        except ValueError as error:
            raise Problem(f"The bench found nothing to measure: {error}.") from error
    setting = Setting(plan.rate, plan.seconds, plan.rounds, os.cpu_count() or 1, load_before)
    return Result(
        setting=setting,
        floor=Side(tuple(floors), floor.STAGES),
        ours=Side(tuple(mine), ours.STAGES),
        ups=tuple(ups),
    )


async def _rounds(
    plan: Plan, least: Floor, system: Ours, report: Report
) -> tuple[list[Round], list[Round]]:
    """In turns, so that the machine's other work disturbs both; both get the same arrivals."""
    warm_up = arrivals(plan.rate, WARM_UP_SECONDS, Random(0))  # noqa: S311 - no secret
    report("Warming up")
    await least.round(warm_up, BODY)
    await system.round(warm_up, BODY)
    floors: list[Round] = []
    mine: list[Round] = []
    for number in range(1, plan.rounds + 1):
        report(f"Round {number} of {plan.rounds}")
        times = arrivals(plan.rate, plan.seconds, Random(number))  # noqa: S311 - no secret
        floors.append(await least.round(times, BODY))
        mine.append(await system.round(times, BODY))
    return floors, mine


@asynccontextmanager
async def _system(
    plan: Plan, scratch: Path, report: Report, ups: list[float]
) -> AsyncIterator[state.State]:
    """What is to be measured; one of our own is started twice, for the time that this takes."""
    if plan.home is not None:
        now = await state.load(plan.home)
        if not now["ready"]:
            raise Problem(
                f"Nothing is ready in {plan.home.root}: start it with `{plan.home.command('up')}`, "
                "or leave --home out to measure a system of the bench's own."
            )
        yield now
        return
    own = OwnSystem(scratch, report)
    try:
        for which in ("first", "second"):
            await own.stop()
            report(f"Starting a system of the bench's own for the {which} time")
            ups.append(await own.start())
        yield await state.load(own.home)
    finally:
        report("Ending what was started")
        await own.stop()


async def _require_commit_times(now: state.State) -> None:
    connection = await asyncpg.connect(now["postgres"]["dsn"])
    try:
        if await connection.fetchval("SHOW track_commit_timestamp") != "on":
            raise Problem("Postgres keeps no commit times: restart the system of this home first.")
    finally:
        await connection.close()
