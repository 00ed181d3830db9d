"""Ledger transactions in batches, beside the same work as one database transaction each.

The consumer's own code reads encoded events, enters its inbox, books by double entry and writes its
outbox; only Kafka is left out. A job is two transactions: a reserve and a capture.
"""

import asyncio
import gc
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import cast
from uuid import UUID, uuid4

import asyncpg

from infra.local import ports, postgres
from infra.local.home import Home, load_secrets
from infra.local.problem import Problem
from infra.local.supervisor import Report, Supervisor
from infra.postgres import roles
from libs.events.envelope import Event, encode
from libs.events.generation import GenerationCompleted, GenerationRequested, RequestFacts
from libs.events.identity import UserRegistered
from libs.events.names import Service, Topic
from libs.events.payload import Payload
from libs.events.transport import Bus, IncomingMessage, Partition, Subscription
from libs.runtime.clock import SystemClock
from libs.runtime.consumer import Consumer
from libs.runtime.db import Database
from libs.runtime.service import GC_THRESHOLDS
from libs.runtime.testing import Streams, open_streams
from services.ledger import consumers
from services.ledger.app import MIGRATIONS
from tools.bench import ledger_floor
from tools.bench.figures import Outcome, Spread, ratios
from tools.bench.findings import Figure, Finding
from tools.bench.ledger_sealing import sealed, sealing

SPEED_UP_TARGET = 4.0
HOT_SHARE_TARGET = 0.8
SEALING_SHARE_TARGET = 0.9
PER_SECOND_TARGET = 10_000.0
ACCOUNTS = 1_000
PLENTY = 10**9
BATCHES = (50, 500)
REPLICAS = 2
WARM_UP_JOBS = 500
NOT_BOOKED = """
    SELECT (SELECT count(*) FROM parked) + (SELECT count(*) FROM waiting)
         + (SELECT count(*) FROM reservation WHERE state <> 'captured')
"""
WHAT = (
    "transactions a second by double entry, with inbox and outbox, beside the same as one database "
    "transaction each"
)


@dataclass(frozen=True, slots=True)
class Plan:
    """How many jobs each measurement books, and how many rounds there are."""

    jobs: int = 6_000
    single_jobs: int = 1_500
    rounds: int = 5


Rates = dict[str, list[float]]
ONE_EACH = f"one transaction each, {ledger_floor.CONNECTIONS} connections"
FUNCTION = "one call of a function each, without deciding"
UNSEALED = f"long run of batches of {max(BATCHES)}"
SEALED = f"{UNSEALED}, sealed meanwhile"
SEALING_JOBS = 2  # times as many: the sealer rests a second between two looks
TOGETHER = f"{REPLICAS} consumers, batches of {max(BATCHES)}"


def batched(size: int) -> str:
    return f"batches of {size}"


def hot(size: int) -> str:
    return f"batches of {size}, one hot account"


async def measure(plan: Plan, scratch: Path, report: Report) -> list[Finding]:
    """Run the whole bench on a Postgres of its own."""
    async with _postgres(scratch) as dsn, _opened(dsn) as ledgers:
        await ledger_floor.install(dsn)
        report("Opening accounts")
        accounts = [uuid4() for _ in range(ACCOUNTS)]
        for number, ledger in enumerate(ledgers):
            await ledger.place()
            await ledger.open(accounts[number :: len(ledgers)])
        for size in BATCHES:
            await ledgers[0].book(_jobs(accounts, WARM_UP_JOBS), size)
        rates: Rates = {}
        for number in range(plan.rounds):
            for name, rate in [each async for each in _round(plan, dsn, ledgers, accounts)]:
                rates.setdefault(name, []).append(rate)
                report(f"round {number + 1}, {name}: {rate:,.0f} a second")
        await _all_booked(dsn)
    return [finding_of(rates)]


async def _all_booked(dsn: str) -> None:
    """Figures of a ledger that has booked nothing would be worth nothing."""
    connection = await asyncpg.connect(dsn)
    try:
        if left := await connection.fetchval(NOT_BOOKED):
            raise Problem(f"{left} events of the bench were not booked: run ./daygen check.")
    finally:
        await connection.close()


async def _round(
    plan: Plan, dsn: str, ledgers: Sequence["Ledger"], accounts: Sequence[UUID]
) -> AsyncIterator[tuple[str, float]]:
    few = plan.single_jobs
    yield ONE_EACH, await _together(ledgers, [_jobs(accounts[n::8], few // 8) for n in range(8)], 1)
    yield FUNCTION, await _floor(dsn, _jobs(accounts, 2 * few))
    for size in BATCHES:
        yield batched(size), await ledgers[0].book(_jobs(accounts, plan.jobs), size)
        yield hot(size), await ledgers[0].book(_jobs(accounts[:1], plan.jobs), size)
    many = _jobs(accounts, SEALING_JOBS * plan.jobs), _jobs(accounts, SEALING_JOBS * plan.jobs)
    yield UNSEALED, await ledgers[0].book(many[0], max(BATCHES))
    yield SEALED, await ledgers[0].book_sealed(many[1], max(BATCHES))
    shares = [_jobs(accounts[n::REPLICAS], plan.jobs // REPLICAS) for n in range(REPLICAS)]
    yield TOGETHER, await _together(ledgers, shares, max(BATCHES))


async def _together(
    ledgers: Sequence["Ledger"], shares: Sequence[Sequence[tuple[UUID, UUID]]], batch: int
) -> float:
    """Several consumers at once, each with its accounts, as partitions divide them."""
    messages = [each.messages(jobs) for each, jobs in zip(ledgers, shares, strict=False)]
    began = time.perf_counter()
    pairs = zip(ledgers, messages, strict=False)
    await asyncio.gather(*(ledger.feed(each, batch) for ledger, each in pairs))
    return sum(map(len, messages)) / (time.perf_counter() - began)


def finding_of(rates: Rates) -> Finding:
    """Spreads and ratios of what was measured in each round."""
    figures = [Figure(name, "/s", Spread.of(each)) for name, each in rates.items()]
    outcomes = [Outcome(TOGETHER, "/s", Spread.of(rates[TOGETHER]), PER_SECOND_TARGET, True)]
    for size in BATCHES:
        ours, name = rates[batched(size)], batched(size)
        single, one_hot = ratios(ours, rates[ONE_EACH]), ratios(rates[hot(size)], ours)
        outcomes += [
            Outcome(f"{name} over one transaction each", "times", single, SPEED_UP_TARGET, True),
            Outcome(f"{hot(size)} over spread", "times", one_hot, HOT_SHARE_TARGET, True),
        ]
        direct = ratios(ours, rates[FUNCTION])
        figures.append(Figure(f"{name} over the function", "times", direct))
    share = ratios(rates[SEALED], rates[UNSEALED])
    outcomes.append(
        Outcome(f"{SEALED}, over not sealed", "times", share, SEALING_SHARE_TARGET, True)
    )
    return Finding("ledger", WHAT, tuple(figures), tuple(outcomes))


def _jobs(accounts: Sequence[UUID], count: int) -> list[tuple[UUID, UUID]]:
    """(account, job) pairs, the accounts in turns."""
    return [(accounts[number % len(accounts)], uuid4()) for number in range(count)]


async def _floor(dsn: str, jobs: Sequence[tuple[UUID, UUID]]) -> float:
    began = time.perf_counter()
    await ledger_floor.book(dsn, jobs, datetime.now(UTC))
    return 2 * len(jobs) / (time.perf_counter() - began)


class _Still:
    """A subscription that nothing is fetched from."""

    def seek(self, partition: Partition, offset: int) -> None: ...


class Ledger:
    """A consumer of the ledger's, fed by hand with what stands in a partition of its own."""

    def __init__(self, consumer: Consumer, database: Database, number: int) -> None:
        self._consumer = consumer
        self._database = database
        self._partition = Partition(Topic.GENERATION.value, uuid4(), number)
        self._next = 0

    async def place(self) -> None:
        """Start at the partition's beginning."""
        await self._consumer.place({self._partition: range(2**40)})

    async def open(self, accounts: Sequence[UUID]) -> None:
        """Open accounts with more credits than a bench can spend."""
        opened = [
            UserRegistered(
                user_id=each, account_id=each, role="USER", signup_credits=PLENTY, grace=0
            )
            for each in accounts
        ]
        await self.feed(self._encoded(opened), max(BATCHES))

    async def book(self, jobs: Sequence[tuple[UUID, UUID]], batch: int) -> float:
        """Transactions a second: all jobs are reserved, then captured."""
        return await _together([self], [jobs], batch)

    async def book_sealed(self, jobs: Sequence[tuple[UUID, UUID]], batch: int) -> float:
        """The same, beside the sealer, which is behind and stays so."""
        before = await sealed(self._database)
        async with sealing(self._database, SystemClock()):
            rate = await self.book(jobs, batch)
        if await sealed(self._database) == before:
            raise RuntimeError("Nothing was sealed meanwhile: book more jobs.")
        return rate

    async def feed(self, messages: Sequence[IncomingMessage], batch: int) -> None:
        """Consume messages, so many at once."""
        still = cast("Subscription", _Still())
        for start in range(0, len(messages), batch):
            await self._consumer.consume(still, messages[start : start + batch])

    def messages(self, jobs: Sequence[tuple[UUID, UUID]]) -> list[IncomingMessage]:
        """The requests of all jobs, then their answers, encoded."""
        facts = [_facts(account_id, job_id) for account_id, job_id in jobs]
        asked = [
            GenerationRequested(job_id=each.job_id, account_id=each.account_id, request=each)
            for each in facts
        ]
        return self._encoded([*asked, *map(_completed, facts)])

    def _encoded(self, payloads: Sequence[Payload]) -> list[IncomingMessage]:
        messages = []
        for data in payloads:
            event = _event(data)
            message = IncomingMessage(
                self._partition, self._next, event.key.encode(), encode(event)
            )
            messages.append(message)
            self._next += 1
        return messages


def _event(data: Payload) -> Event[Payload]:
    return Event(
        id=uuid4(),
        source="/daygen/bench",
        time=datetime.now(UTC),
        correlation_id=uuid4(),
        causation_id=None,
        traceparent=None,
        data=data,
    )


def _facts(account_id: UUID, job_id: UUID) -> RequestFacts:
    now = datetime.now(UTC)
    return RequestFacts(
        job_id=job_id,
        account_id=account_id,
        user_id=account_id,
        operation="image",
        provider="local",
        model="local-sketch",
        prompt="dunes of a wide desert, in the manner of an old postcard",
        options={},
        unit_credits=1,
        units=1,
        price_book_version=1,
        requested_at=now,
        deadline_at=now + timedelta(minutes=10),
    )


def _completed(request: RequestFacts) -> GenerationCompleted:
    return GenerationCompleted(
        job_id=request.job_id,
        account_id=request.account_id,
        request=request,
        attempt_id=uuid4(),
        images=(),
        delivered_units=1,
        queued_ms=1,
        provider_ms=1,
        upload_ms=1,
    )


@asynccontextmanager
async def _postgres(scratch: Path) -> AsyncIterator[str]:
    """The DSN of the ledger's role on a server that goes when the block ends."""
    home = Home((scratch / "home").resolve())
    home.make()
    names = (postgres.SUPERUSER, *Service)
    secrets = load_secrets(home, names)
    with ports.Reserved() as reserved:
        port = ports.choose([postgres.NAME], free=reserved.take)[postgres.NAME]
        program = postgres.program(home, port, secrets.postgres)
        supervisor = Supervisor([program], report=lambda _: None)
        await supervisor.start()
        try:
            admin = postgres.dsn(port, postgres.SUPERUSER, secrets.postgres[postgres.SUPERUSER])
            await roles.ensure_schemas(admin)
            yield postgres.dsn(port, Service.LEDGER, secrets.postgres[Service.LEDGER])
        finally:
            await supervisor.stop()


@asynccontextmanager
async def _opened(dsn: str) -> AsyncIterator[list[Ledger]]:
    """The ledger's tables and its consumers."""
    async with open_streams(dsn, Service.LEDGER, [MIGRATIONS]) as streams:
        gc.collect()
        gc.freeze()
        gc.set_threshold(*GC_THRESHOLDS)  # as in the running service
        yield [
            Ledger(_consumer(streams), streams.database, number)
            for number in range(ledger_floor.CONNECTIONS)
        ]


def _consumer(streams: Streams) -> Consumer:
    return Consumer(
        name=Service.LEDGER.consumer_group,
        topics=consumers.TOPICS,
        types=consumers.EVENT_TYPES,
        handler=consumers.create_handler(streams.clock, streams.ids),
        database=streams.database,
        bus=cast("Bus", None),  # nothing is fetched
        clock=streams.clock,
        ids=streams.ids,
        random=streams.random,
        metrics=streams.metrics,
    )
