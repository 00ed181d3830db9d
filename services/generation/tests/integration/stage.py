"""The use cases on a real database, and a provider that does what a test tells it to."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

from asyncpg import Record
from msgspec.structs import replace
from prometheus_client import CollectorRegistry

from libs.events.envelope import Event
from libs.events.generation import (
    GenerationAttemptEnded,
    GenerationCancelRequested,
    GenerationCompleted,
    GenerationFailed,
    GenerationRequested,
    RequestFacts,
)
from libs.events.names import Service
from libs.events.payload import Payload
from libs.events.registry import REGISTRY
from libs.events.testing import event, request_facts
from libs.events.transport import BusError, OutgoingMessage
from libs.runtime.consumer import Handler
from libs.runtime.objects import ObjectStore
from libs.runtime.testing import Streams
from libs.runtime.timer import TimedWork, Timer
from services.generation.consumers import take_in
from services.generation.domain.capabilities import Capabilities, Model
from services.generation.domain.jobs import Claim
from services.generation.handlers.attempts import Attempts
from services.generation.handlers.breakers import BREAKER_CHANNEL, Breakers
from services.generation.handlers.budget import ByteBudget
from services.generation.handlers.execution import Execution
from services.generation.handlers.following import Following
from services.generation.handlers.metrics import Metrics
from services.generation.handlers.overdue import Overdue
from services.generation.handlers.progress import Progress
from services.generation.handlers.requests import CANCEL_CHANNEL, DUE_CHANNEL, Requests
from services.generation.handlers.submissions import Submissions
from services.generation.handlers.sweeping import SWEEP_CHANNEL, Sweeping
from services.generation.ports import AnyProvider, Provider, ProviderRequest, ProviderResult
from services.generation.store import queue
from services.generation.worker import Limits, Worker

DEADLINE_SECONDS = 60.0
# A whole PNG as far as its chunks go: its pixels are of no account here.
PNG = (
    b"\x89PNG\r\n\x1a\n"
    b"\x00\x00\x00\rIHDR"
    + bytes([0, 0, 4, 0, 0, 0, 3, 0])
    + b"and more!"
    + b"\x00\x00\x00\x00IENDcrc4"
)

Script = Callable[[ProviderRequest], Awaitable[ProviderResult]]


async def stream(content: bytes = PNG) -> AsyncIterator[bytes]:
    yield content


async def draws(request: ProviderRequest) -> ProviderResult:
    return ProviderResult(pictures=[stream() for _ in range(request.units)], seed=7)


class ScriptedProvider(Provider):
    """Does what `script` says, and remembers its calls."""

    def __init__(self, capabilities: Capabilities, script: Script = draws) -> None:
        self._capabilities = capabilities
        self.script = script
        self.calls: list[ProviderRequest] = []

    @property
    def capabilities(self) -> Capabilities:
        return self._capabilities

    async def generate(self, request: ProviderRequest) -> ProviderResult:
        self.calls.append(request)
        return await self.script(request)


class DeadBus:
    """No broker far and wide."""

    def __init__(self) -> None:
        self.tried = 0

    async def publish(self, _messages: list[OutgoingMessage]) -> list[BaseException | None]:
        self.tried += 1
        raise BusError("nobody there")


class Stage:
    """One replica's use cases; `worker()` adds the loop that a process would run."""

    def __init__(self, streams: Streams, objects: ObjectStore, **changes: Any) -> None:
        self.streams = streams
        self.objects = objects
        self.capabilities = replace(
            Capabilities(
                provider="test",
                models=(Model(id="test-1"),),
                units_max=4,
                concurrency=1000,
                is_idempotent=True,
            ),
            **changes,
        )
        self.provider: Any = ScriptedProvider(self.capabilities)
        self.others: dict[str, AnyProvider] = {}  # providers that take part besides
        self.bus = DeadBus()
        self.metrics = Metrics(CollectorRegistry())
        self.lease = timedelta(seconds=30)
        self.sweep_delay = timedelta(0)
        self.budget_bytes = 128 * 1024 * 1024
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def _offered(self) -> dict[str, Capabilities]:
        others = {name: each.capabilities for name, each in self.others.items()}
        return {self.capabilities.provider: self.capabilities, **others}

    @property
    def _providers(self) -> dict[str, AnyProvider]:
        return {self.capabilities.provider: self.provider, **self.others}

    async def offer(self) -> None:
        async with self.streams.database.transaction() as transaction:
            await queue.offer_providers(transaction.connection, self._offered.values())

    def with_provider(self, **changes: Any) -> "Stage":
        """The same database, with a provider of other capabilities."""
        return Stage(self.streams, self.objects, **changes)

    def facts(self, **changes: Any) -> RequestFacts:
        now = self.streams.clock.now()
        given = {
            "provider": self.capabilities.provider,
            "model": "test-1",
            "requested_at": now,
            "deadline_at": now + timedelta(minutes=10),
        }
        return request_facts(**{**given, **changes})

    @property
    def handler(self) -> Handler:
        """What the consumer calls."""
        return take_in(
            Requests(
                providers=self._offered,
                clock=self.streams.clock,
                lease=self.lease,
                sweep_delay=self.sweep_delay,
            )
        )

    async def tell(self, *events: Event[Payload]) -> None:
        """One batch, as from the consumer."""
        async with self.streams.database.transaction() as transaction:
            await self.handler(transaction, events)

    async def ask(self, *facts: RequestFacts) -> None:
        await self.tell(*map(requested, facts))

    def attempts(self) -> Attempts:
        return Attempts(
            database=self.streams.database,
            emitter=self.streams.emitter,
            wakeups=self.streams.wakeups,
            providers=self._offered,
            clock=self.streams.clock,
            ids=self.streams.ids,
            random=self.streams.random,
            metrics=self.metrics,
            breakers=self.breakers(),
            lease=self.lease,
            sweep_delay=self.sweep_delay,
        )

    async def claim(self, worker: str = "one", slots: int = 1) -> list[Claim]:
        """The jobs that a worker would take now."""
        return (await self.attempts().claim(worker, slots)).claims

    def overdue(self) -> Overdue:
        return Overdue(
            database=self.streams.database,
            providers=self._offered,
            clock=self.streams.clock,
            metrics=self.metrics,
            sweep_delay=self.sweep_delay,
        )

    def submissions(self) -> Submissions:
        return Submissions(self.streams.database, self._providers, self.streams.clock)

    def breakers(self) -> Breakers:
        return Breakers(self.streams.database, self.streams.clock)

    def sweeping(self) -> Sweeping:
        return Sweeping(
            database=self.streams.database,
            objects=self.objects,
            clock=self.streams.clock,
            metrics=self.metrics,
            sweep_delay=self.sweep_delay,
        )

    def worker(
        self, *, name: str = "one", slots: int = 4, grace_seconds: float = 5.0
    ) -> asyncio.Task[None]:
        worker = Worker(
            name=name,
            attempts=self.attempts(),
            execution=Execution(
                self._providers,
                Following(self.submissions(), self.streams.wakeups),
                self.objects,
                ByteBudget(self.budget_bytes),
                self.streams.clock,
            ),
            progress=Progress(
                self.bus,  # type: ignore[arg-type]
                self.streams.emitter,
                self.streams.clock,
            ),
            wakeups=self.streams.wakeups,
            clock=self.streams.clock,
            limits=Limits(
                slots=slots,
                lease_seconds=self.lease.total_seconds(),
                grace_seconds=grace_seconds,
            ),
        )
        return self.runs(worker.run())

    def scheduler(self) -> None:
        works: dict[str, TimedWork] = {
            DUE_CHANNEL: self.overdue(),
            SWEEP_CHANNEL: self.sweeping(),
            CANCEL_CHANNEL: self.submissions(),
            BREAKER_CHANNEL: self.breakers(),
        }
        for channel, work in works.items():
            timer = Timer(
                channel=channel,
                work=work,
                wakeups=self.streams.wakeups,
                clock=self.streams.clock,
                horizon_seconds=self.lease.total_seconds(),
            )
            self.runs(timer.run())

    def runs(self, work: Any) -> asyncio.Task[None]:
        task: asyncio.Task[None] = asyncio.create_task(work)
        self._tasks.append(task)
        return task

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def answers(
        self, count: int = 0, *, seconds: float = DEADLINE_SECONDS
    ) -> list[GenerationCompleted | GenerationFailed]:
        """Every answer so far, once there are so many."""
        async with asyncio.timeout(seconds):
            while len(told := await self._answers()) < count:
                await asyncio.sleep(0.01 if count < 10 else 0.05)
        return told

    async def _answers(self) -> list[GenerationCompleted | GenerationFailed]:
        events = [REGISTRY.decode(encoded) for _, encoded in await self.streams.published()]
        return [
            each.data
            for each in events
            if isinstance(each.data, GenerationCompleted | GenerationFailed)
        ]

    async def ended_attempts(self) -> list[GenerationAttemptEnded]:
        """What was told so far of attempts that did not decide their jobs."""
        events = [REGISTRY.decode(encoded) for _, encoded in await self.streams.published()]
        return [each.data for each in events if isinstance(each.data, GenerationAttemptEnded)]

    async def rows(self, statement: str, *arguments: object) -> list[Record]:
        async with self.streams.database.read() as connection:
            rows: list[Record] = await connection.fetch(statement, *arguments)
            return rows

    async def until(self, statement: str, *arguments: object) -> None:
        """Wait until a query finds something."""
        async with asyncio.timeout(DEADLINE_SECONDS):
            while not await self.rows(statement, *arguments):
                await asyncio.sleep(0.01)

    async def state(self, job_id: UUID) -> str:
        (row,) = await self.rows("SELECT state FROM job WHERE id = $1", job_id)
        return str(row["state"])

    async def attempt_states(self, job_id: UUID) -> list[str]:
        rows = await self.rows(
            "SELECT state FROM attempt WHERE job_id = $1 ORDER BY number", job_id
        )
        return [row["state"] for row in rows]

    async def expire_lease(self, claim: Claim) -> None:
        """As if its worker had been silent for a lease."""
        async with self.streams.database.transaction() as transaction:
            await transaction.connection.execute(
                "UPDATE job SET wait_until = $2 WHERE id = $1 AND state = 'running'",
                claim.job_id,
                self.streams.clock.now() - timedelta(milliseconds=1),
            )

    async def end_rests(self) -> None:
        """As if every delayed job had rested long enough."""
        async with self.streams.database.transaction() as transaction:
            await transaction.connection.execute(
                "UPDATE job SET wait_until = $1 WHERE state = 'delayed'", self.streams.clock.now()
            )
        await self.overdue().work()

    async def end_provider_rests(self) -> None:
        """As if every provider had rested for as long as it wanted to."""
        async with self.streams.database.transaction() as transaction:
            await transaction.connection.execute("UPDATE provider SET rest_until = '-infinity'")

    async def keys(self, job_id: UUID) -> list[str]:
        """What is stored for a job, whoever refers to it."""
        return [each.key async for each in self.objects.list(f"attempts/{job_id}/")]


def requested(facts: RequestFacts) -> Event[Payload]:
    data = GenerationRequested(job_id=facts.job_id, account_id=facts.account_id, request=facts)
    return event(data, source=Service.GATEWAY)


def cancelled(facts: RequestFacts) -> Event[Payload]:
    data = GenerationCancelRequested(
        job_id=facts.job_id, account_id=facts.account_id, user_id=facts.user_id
    )
    return event(data, source=Service.GATEWAY)
