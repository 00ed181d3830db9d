"""The worker at its worst moments: told to stop, or robbed of a job, while others do not answer."""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import cast
from uuid import uuid4

from libs.events.envelope import Event
from libs.events.generation import GenerationRequested
from libs.events.testing import NOW, event, request_facts
from libs.runtime.clock import SystemClock
from libs.runtime.wakeups import Wakeups
from services.generation.domain.jobs import Claim
from services.generation.domain.outcomes import Outcome
from services.generation.handlers.attempts import Attempts
from services.generation.handlers.execution import Execution
from services.generation.handlers.progress import Progress
from services.generation.store.queue import Claimed
from services.generation.worker import Limits, Worker

CLOCK = SystemClock()


def claim() -> Claim:
    facts = request_facts()
    asked = event(
        GenerationRequested(job_id=facts.job_id, account_id=facts.account_id, request=facts)
    )
    return Claim(
        job_id=facts.job_id,
        fence=1,
        attempt_id=uuid4(),
        tries=1,
        queued_at=NOW,
        started_at=NOW,
        requested=cast("Event[GenerationRequested]", asked),
    )


class Database:
    """What the worker asks of `Attempts`."""

    def __init__(self, *claims: Claim) -> None:
        self.offered = list(claims)
        self.lost: list[Claim] = []
        self.renewed: list[Claim] = []
        self.abandoned: list[Claim] = []
        self.handed_back: list[Claim] = []
        self.asked = asyncio.Event()
        self.answers = asyncio.Event()
        self.answers.set()
        self.fault: Exception | None = None

    async def claim(self, _worker: str, _slots: int) -> Claimed:
        self.asked.set()
        await self.answers.wait()
        if self.fault is not None:
            raise self.fault
        claims, self.offered = self.offered, []
        return Claimed(claims=claims, is_behind=False)

    async def renew(self, claims: Collection[Claim]) -> list[Claim]:
        self.renewed += claims
        return [each for each in claims if each in self.lost]

    async def abandon(self, claim: Claim) -> None:
        self.abandoned.append(claim)

    async def hand_back(self, claims: Collection[Claim]) -> None:
        self.handed_back += claims


class Endless:
    """Attempts that go on until they are stopped, and take their time over that."""

    def __init__(self) -> None:
        self.may_end = asyncio.Event()

    async def run(self, _claim: Claim) -> Outcome:
        try:
            await asyncio.Event().wait()
        finally:
            await self.may_end.wait()
        raise AssertionError

    async def close(self) -> None:
        pass


class Quiet:
    """Nobody watches."""

    @contextmanager
    def of(self, _claim: Claim) -> Iterator[None]:
        yield

    async def close(self) -> None: ...


@asynccontextmanager
async def working(database: Database, execution: Endless) -> AsyncIterator[asyncio.Task[None]]:
    worker = Worker(
        name="one",
        attempts=cast("Attempts", database),
        execution=cast("Execution", execution),
        progress=cast("Progress", Quiet()),
        wakeups=Wakeups("", schema="generation", process_id=uuid4(), clock=CLOCK),
        clock=CLOCK,
        limits=Limits(slots=4, lease_seconds=0.06, grace_seconds=0.0),
    )
    task = asyncio.create_task(worker.run())
    try:
        yield task
    finally:
        execution.may_end.set()
        task.cancel()
        await asyncio.wait({task}, timeout=1)


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.005)


async def test_a_worker_stops_although_the_claim_under_way_fails() -> None:
    database = Database()
    database.answers.clear()
    database.fault = ConnectionResetError("the database is away")
    async with working(database, Endless()) as task:
        await database.asked.wait()
        task.cancel()
        await asyncio.sleep(0.01)
        database.answers.set()
        await until(task.done)
        assert task.cancelled()


async def test_an_attempt_that_is_slow_to_stop_does_not_cost_the_others_their_leases() -> None:
    lost, kept = claim(), claim()
    database, execution = Database(lost, kept), Endless()
    async with working(database, execution):
        await until(lambda: kept in database.renewed)
        database.lost.append(lost)
        await until(lambda: database.renewed.count(lost) > 1)
        database.renewed.clear()
        await until(lambda: database.renewed.count(kept) > 2)
        assert database.abandoned == []  # it may still store something
        execution.may_end.set()
        await until(lambda: database.abandoned == [lost])
