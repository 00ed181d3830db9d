"""Pushed events: from Kafka to a client's open stream, and what an open stream costs in memory.

The gateway runs whole on real Kafka and Postgres, and alone: what generation says of a job, the
bench publishes itself.
"""

import asyncio
import json
import secrets
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Final
from uuid import UUID

from infra.kafka import topics
from infra.local import ports, services
from infra.local.cluster import LocalCluster
from infra.local.problem import Problem
from infra.local.supervisor import Report, Supervisor
from libs.events.bus import KafkaBus
from libs.events.envelope import encode
from libs.events.generation import GenerationStarted
from libs.events.names import Service
from libs.events.transport import OutgoingMessage
from libs.runtime.clock import SystemClock
from libs.runtime.emitter import Emitter
from libs.runtime.ids import SystemIds
from tools.api_client import ApiClient
from tools.bench import admission
from tools.bench.figures import Latency, Outcome, Spread
from tools.bench.findings import Figure, Finding
from tools.bench.load import arrivals
from tools.bench.memory import resident_kb

P99_MS_TARGET: Final = 150.0
MEMORY_KB_TARGET: Final = 100.0
RATE: Final = 50.0
STREAMS: Final = 200
IDLE_STREAMS: Final = 1_000
STREAMS_PER_USER: Final = 20
HEARD_SECONDS_MAX: Final = 30.0
POLL_SECONDS: Final = 0.05
SETTLE_SECONDS: Final = 2.0
WHAT: Final = "from an event on Kafka to a client's open stream of server-sent events"


@dataclass(frozen=True, slots=True)
class Plan:
    """How long each round is, and how many there are."""

    seconds: float = 6.0
    rounds: int = 3


@dataclass(frozen=True, slots=True)
class Person:
    """A user, and what their requests show."""

    user_id: UUID
    bearer: str


@dataclass(slots=True)
class Measured:
    """What was measured, round by round."""

    latencies: list[Latency] = field(default_factory=list)
    stream_kb: float = 0.0
    unheard: int = 0

    def finding(self) -> Finding:
        """Latency and memory, and what was to be reached."""
        p50 = Spread.of([each.p50 for each in self.latencies])
        p99 = Spread.of([each.p99 for each in self.latencies])
        at = f"{STREAMS} open streams, {RATE:g} events/s"
        unheard = Spread(self.unheard, self.unheard, self.unheard)
        return Finding(
            "streams-sse",
            WHAT,
            (Figure(f"event to client, p50, {at}", "ms", p50),),
            (
                Outcome(f"event to client, p99, {at}", "ms", p99, P99_MS_TARGET),
                Outcome(
                    f"an open stream of {IDLE_STREAMS:,}",
                    "kB",
                    Spread(self.stream_kb, self.stream_kb, self.stream_kb),
                    MEMORY_KB_TARGET,
                ),
                Outcome("events that were not heard", "", unheard, 0),
            ),
        )


@dataclass(slots=True)
class Ears:
    """When each job was first told to be under way, over all open streams."""

    heard: dict[UUID, float] = field(default_factory=dict)

    async def listen(self, port: int, person: Person, opened: asyncio.Event) -> None:
        """Follow everything of a person's until cancelled."""
        reader, writer = await asyncio.open_connection(ports.HOST, port)
        try:
            writer.write(
                b"GET /api/events HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer "
                + person.bearer.encode()
                + b"\r\n\r\n"
            )
            kind = b""
            while line := await reader.readline():
                if line.startswith(b"event: "):
                    kind = line[7:].strip()
                    opened.set()
                elif line.startswith(b"data: ") and kind == b"job.updated":
                    at = time.monotonic()
                    self.heard.setdefault(UUID(json.loads(line[6:])["jobId"]), at)
            raise Problem("The measured gateway has ended a stream: read its log.")
        finally:
            writer.close()


async def measure(plan: Plan, scratch: Path, report: Report) -> list[Finding]:
    """Run the whole bench on parts of its own."""
    async with AsyncExitStack() as stack:
        report("Starting Postgres and Kafka")
        cluster = await stack.enter_async_context(LocalCluster(scratch / "home"))
        await topics.ensure(cluster.kafka_bootstrap, partitions=12)
        port = ports.choose(["gateway"])["gateway"]
        supervisor = Supervisor(
            [admission.gateway_program(cluster, port, scratch)], report=lambda _: None
        )
        await supervisor.start()
        stack.push_async_callback(supervisor.stop)
        report("Signing up users")
        people = await _sign_up(services.url_of_port(port), STREAMS)
        bus = KafkaBus(cluster.kafka_bootstrap, client_id="bench")
        stack.push_async_callback(bus.close)
        pid = supervisor.units["gateway"].pid
        if pid is None:
            raise Problem("The measured gateway has ended: read its log.")
        measured = Measured(stream_kb=await _memory(pid, port, people))
        report(f"{measured.stream_kb:.0f} kB for each of {IDLE_STREAMS:,} open streams")
        for number in range(plan.rounds):
            await _latency(plan, Random(number), port, people, bus, measured)  # noqa: S311 - times
            found = measured.latencies[-1]
            report(f"round {number + 1}: p50 {found.p50:.0f}, p99 {found.p99:.0f} ms")
        return [measured.finding()]


async def _latency(
    plan: Plan,
    random: Random,
    port: int,
    people: Sequence[Person],
    bus: KafkaBus,
    measured: Measured,
) -> None:
    times = arrivals(RATE, plan.seconds, random)
    owners = [people[number % len(people)] for number in range(len(times))]
    jobs = await _jobs(services.url_of_port(port), owners)
    clock = SystemClock()
    emitter = Emitter(Service.GENERATION.source, clock, SystemIds(clock, random))
    ears, sent = Ears(), dict[UUID, float]()

    async def tell(at: float, job_id: UUID, owner: Person) -> None:
        await asyncio.sleep(began + at - time.monotonic())
        data = GenerationStarted(job_id=job_id, account_id=owner.user_id, attempt=1)
        event = emitter.event(data)
        sent[job_id] = time.monotonic()
        message = OutgoingMessage(data.topic, event.key.encode(), encode(event))
        if any(await bus.publish([message])):
            raise Problem("Kafka has not taken an event of the bench.")

    async with _open(ears, port, people):
        began = time.monotonic()
        rows = zip(times, jobs, owners, strict=True)
        await asyncio.gather(*(tell(at, job_id, owner) for at, job_id, owner in rows))
        with suppress(TimeoutError):
            async with asyncio.timeout(HEARD_SECONDS_MAX):
                while len(ears.heard) < len(sent):  # noqa: ASYNC110 - many others fill it
                    await asyncio.sleep(POLL_SECONDS)
    measured.unheard += len(sent) - len(ears.heard)
    waits = [(ears.heard[each] - at) * 1000 for each, at in sent.items() if each in ears.heard]
    measured.latencies.append(Latency.of(waits))


async def _memory(pid: int, port: int, people: Sequence[Person]) -> float:
    """What the gateway's memory grows by, in kB, for each of a thousand streams."""
    await asyncio.sleep(SETTLE_SECONDS)
    before = resident_kb(pid)
    listeners = [people[n // STREAMS_PER_USER] for n in range(IDLE_STREAMS)]
    async with _open(Ears(), port, listeners):
        await asyncio.sleep(SETTLE_SECONDS)
        return (resident_kb(pid) - before) / IDLE_STREAMS


@asynccontextmanager
async def _open(ears: Ears, port: int, people: Sequence[Person]) -> AsyncIterator[None]:
    """A stream for each, all of them open."""
    opened = [asyncio.Event() for _ in people]
    listening = [
        asyncio.create_task(ears.listen(port, person, event))
        for person, event in zip(people, opened, strict=True)
    ]
    try:
        async with asyncio.timeout(HEARD_SECONDS_MAX):
            for event in opened:
                await event.wait()
        await asyncio.sleep(SETTLE_SECONDS)  # what was told before the streams opened is told
        yield
    finally:
        for each in listening:
            each.cancel()
        await asyncio.gather(*listening, return_exceptions=True)


async def _sign_up(url: str, people: int) -> list[Person]:
    found = []
    async with ApiClient(url) as client:
        for _ in range(people):
            body = {"email": f"bench-{secrets.token_hex(8)}@example.com", "password": "x" * 12}
            session = await client.call("POST", "/api/auth/signup", json=body)
            found.append(Person(UUID(session["user"]["id"]), session["accessToken"]))
    return found


async def _jobs(url: str, owners: Sequence[Person]) -> list[UUID]:
    """A job for each, admitted and not begun."""
    jobs = []
    async with ApiClient(url) as client:
        for owner in owners:
            answer = await client.call(
                "POST",
                "/api/jobs",
                json=admission.BODY,
                headers={"Authorization": f"Bearer {owner.bearer}"},
            )
            jobs.append(UUID(answer["jobId"]))
    return jobs
