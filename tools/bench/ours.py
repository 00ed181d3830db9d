"""Our system under load: jobs through the public API, and what the services' tables say of them."""

import asyncio
import itertools
import secrets
from collections.abc import Collection, Sequence
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Any, Self
from uuid import UUID

import asyncpg
from aiokafka import ConsumerRecord

from infra.local.problem import Problem
from infra.local.state import State, parts_of
from libs.events.envelope import Envelope, decode_envelope
from libs.events.generation import GenerationCompleted
from libs.events.names import EventType, Service, Topic
from libs.events.registry import REGISTRY
from tools.api_client import ApiClient
from tools.bench import cpu
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
    unix,
)

USERS_MIN = 20
ROWS_POLL_SECONDS = 0.1
ROWS_SECONDS_MAX = 60.0

CHARGES = """
    SELECT job_id, pg_xact_commit_timestamp(xmin) AS committed_at
      FROM transaction WHERE kind = 'capture' AND job_id = ANY($1)
"""
ITEMS = """
    SELECT job_id, max(pg_xact_commit_timestamp(xmin)) AS committed_at
      FROM item WHERE job_id = ANY($1) GROUP BY job_id
"""
TAKEN = """
    SELECT event_id AS job_id, pg_xact_commit_timestamp(xmin) AS committed_at
      FROM inbox WHERE event_id = ANY($1)
"""
QUEUE = "SELECT id, queued_at, started_at, decided_at FROM job WHERE id = ANY($1)"
FINISHED = "SELECT count(*) FROM job WHERE status = 'COMPLETED' AND job_id = ANY($1)"
LAST_ORDER = "SELECT last_value FROM outbox_order"
OUTBOX = """
    SELECT event_id, encoded, pg_xact_commit_timestamp(xmin) AS committed_at
      FROM outbox WHERE order_number > $1
"""

# What each service has said of a job: marks of when it decided and of when that was committed.
SAID = {
    EventType.GENERATION_REQUESTED: "requested",
    EventType.GENERATION_COMPLETED: "completed",
    EventType.CREDITS_CAPTURED: "captured",
    EventType.GALLERY_ITEMS_ADDED: "added",
    EventType.USAGE_RECORDED: "used",
}
STAGES = (
    Stage("gateway: POST until admission is decided", "due", "requested"),
    Stage("gateway: until that is committed", "requested", "requested committed"),
    Stage("gateway: relay, until the event goes to Kafka", "requested committed", "requested sent"),
    Stage("Kafka, generation: until it is handled", "requested sent", "queued"),
    Stage("generation: until it is in the queue", "queued", "taken"),
    Stage("generation: until a worker claims it", "taken", "started"),
    Stage("generation: attempt, less drawing and upload", "started", "decided", less_away=True),
    Stage("generation: until its end is committed", "decided", "completed committed"),
    Stage(
        "generation: relay, until the event goes to Kafka", "completed committed", "completed sent"
    ),
    Stage("Kafka, ledger: until the charge is decided", "completed sent", "captured"),
    Stage("ledger: until that is committed", "captured", CHARGED),
    Stage("Kafka, gallery: until the listing is decided", "completed sent", "added"),
    Stage("gallery: until that is committed", "added", LISTED),
    Stage("(beside it) POST until 202", "due", "answered"),
    Stage("(beside it) Kafka, billing: until the usage row", "completed sent", "used committed"),
    Stage("(beside it) both rows until the gateway says COMPLETED", "finished", "confirmed"),
)


class Ours:
    """`async with Ours(state)`: users of a running system, and eyes on its tables."""

    def __init__(self, state: State, *, is_distinct: bool = False) -> None:
        self._state = state
        self._is_distinct = is_distinct
        self._bootstrap: str = state["kafka"]["bootstrap"]
        self._tables: dict[Service, asyncpg.Connection[asyncpg.Record]] = {}
        self._bearers: list[dict[str, str]] = []
        self._turns = itertools.count()
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            self._client = await stack.enter_async_context(ApiClient(self._state["gateway_url"]))
            for service in Service:
                connection = await asyncpg.connect(
                    self._state["postgres"]["dsn"], server_settings={"search_path": service.value}
                )
                stack.push_async_callback(connection.close)
                self._tables[service] = connection
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._stack.aclose()

    async def sign_up(self, requests: int) -> None:
        """Make users who can afford so many requests in turns."""
        affordable = 0
        while len(self._bearers) < USERS_MIN or affordable < requests:
            email = f"bench-{secrets.token_hex(8)}@example.com"
            body = {"email": email, "password": secrets.token_urlsafe(12)}
            session = await self._client.call("POST", "/api/auth/signup", json=body)
            if session["user"]["credits"] == 0:
                raise Problem("New users get no credits here: set GATEWAY_SIGNUP_CREDITS.")
            self._bearers.append({"Authorization": f"Bearer {session['accessToken']}"})
            affordable += min(session["user"]["credits"], requests // USERS_MIN + 1)

    async def round(self, times: Sequence[float], body: dict[str, Any]) -> Round:
        """Put this load on it and read from Postgres and Kafka what came of it."""

        async def send(_number: int) -> UUID:
            turn = next(self._turns)
            bearer = self._bearers[turn % len(self._bearers)]
            wish = body | {"seed": turn} if self._is_distinct else body
            status, answer = await self._client.answer(
                "POST", "/api/jobs", json=wish, headers=bearer
            )
            if status != 202:
                raise Refused(f"{status} {answer.get('message')}")
            return UUID(answer["jobId"])

        before = cpu.seconds(self._pids())
        starts = {each: await self._tables[each].fetchval(LAST_ORDER) for each in Service}
        shots = await drive(times, send)
        jobs = {shot.job_id: Job(shot) for shot in shots if shot.job_id is not None}
        await self._wait_until_finished(jobs)
        spent = cpu.between(before, cpu.seconds(self._pids()))
        if jobs:
            await self._mark(jobs, starts)
        return round_of(shots, jobs.values(), spent)

    async def _wait_until_finished(self, job_ids: Collection[UUID]) -> None:
        """Until the gateway knows of the end of all: then the rows are there, and all is quiet."""
        deadline = asyncio.get_running_loop().time() + ROWS_SECONDS_MAX
        gateway = self._tables[Service.GATEWAY]
        while await gateway.fetchval(FINISHED, list(job_ids)) < len(job_ids):
            if asyncio.get_running_loop().time() > deadline:
                return
            await asyncio.sleep(ROWS_POLL_SECONDS)

    async def _mark(self, jobs: dict[UUID, Job], starts: dict[Service, int]) -> None:
        said = await self._mark_said(jobs, starts)
        ids = {(event.type, UUID(event.subject)): event.id for event in said}
        await self._mark_records(jobs, said)
        generation = self._tables[Service.GENERATION]
        requested = _of_type(ids, EventType.GENERATION_REQUESTED)
        _note(jobs, "taken", _renamed(await commit_times(generation, TAKEN, requested), requested))
        for row in await generation.fetch(QUEUE, list(jobs)):
            for mark in ("queued", "started", "decided"):
                if (moment := row[f"{mark}_at"]) is not None:
                    jobs[row["id"]].marks[mark] = unix(moment)
        _note(jobs, CHARGED, await commit_times(self._tables[Service.LEDGER], CHARGES, jobs))
        _note(jobs, LISTED, await commit_times(self._tables[Service.GALLERY], ITEMS, jobs))
        await self._mark_confirmed(jobs, ids)

    async def _mark_said(self, jobs: dict[UUID, Job], starts: dict[Service, int]) -> list[Envelope]:
        """From the services' outboxes: when each said what of the jobs."""
        said = []
        for service, start in starts.items():
            for row in await self._tables[service].fetch(OUTBOX, start):
                event = decode_envelope(row["encoded"])
                job = _job_of(jobs, event)
                if job is None or event.type not in SAID:
                    continue
                said.append(event)
                mark = SAID[EventType(event.type)]
                job.marks[mark] = unix(event.time)
                job.marks[f"{mark} committed"] = unix(row["committed_at"])
                if event.type == EventType.GENERATION_COMPLETED:
                    job.away_ms = _away_ms(row["encoded"])
        return said

    async def _mark_records(self, jobs: dict[UUID, Job], said: Sequence[Envelope]) -> None:
        since = min(job.shot.due for job in jobs.values())
        records = await record_times(self._bootstrap, Topic.GENERATION.value, since, _event_id)
        for event in said:
            if event.id in records:
                mark = SAID[EventType(event.type)]
                jobs[UUID(event.subject)].marks[f"{mark} sent"] = records[event.id]

    async def _mark_confirmed(
        self, jobs: dict[UUID, Job], ids: dict[tuple[str, UUID], UUID]
    ) -> None:
        """When the gateway had heard of all three confirmations."""
        for kind in (
            EventType.CREDITS_CAPTURED,
            EventType.GALLERY_ITEMS_ADDED,
            EventType.USAGE_RECORDED,
        ):
            wanted = _of_type(ids, kind)
            heard = await commit_times(self._tables[Service.GATEWAY], TAKEN, wanted)
            for job_id, moment in _renamed(heard, wanted).items():
                marks = jobs[job_id].marks
                marks["confirmed"] = max(moment, marks.get("confirmed", 0.0))
        for job in jobs.values():
            if job.is_finished:
                job.marks["finished"] = max(job.marks[CHARGED], job.marks[LISTED])

    def _pids(self) -> dict[str, int]:
        return {name: part["pid"] for name, part in parts_of(self._state).items() if part["pid"]}


def _note(jobs: dict[UUID, Job], mark: str, moments: dict[UUID, float]) -> None:
    for job_id in moments.keys() & jobs.keys():
        jobs[job_id].marks[mark] = moments[job_id]


def _of_type(ids: dict[tuple[str, UUID], UUID], kind: EventType) -> dict[UUID, UUID]:
    """The events of a type, with their jobs."""
    return {event_id: job_id for (found, job_id), event_id in ids.items() if found == kind}


def _renamed(moments: dict[UUID, float], names: dict[UUID, UUID]) -> dict[UUID, float]:
    return {names[each]: moment for each, moment in moments.items()}


def _job_of(jobs: dict[UUID, Job], event: Envelope) -> Job | None:
    try:
        return jobs.get(UUID(event.subject))
    except ValueError:
        return None


def _event_id(record: ConsumerRecord) -> UUID:
    return decode_envelope(record.value).id


def _away_ms(encoded: bytes) -> float:
    data = REGISTRY.decode(encoded).data
    return float(data.provider_ms + data.upload_ms) if isinstance(data, GenerationCompleted) else 0
