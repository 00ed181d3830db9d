"""What must never come, through real Kafka into all five consumers: parked, counted, visible."""

import json
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import aiohttp
import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import MessageSizeTooLargeError
from msgspec import Struct

from libs.events.envelope import encode
from libs.events.generation import GenerationRequested
from libs.events.names import EventType, Service, Topic
from libs.events.payload import Payload
from libs.events.testing import completed, event, request_facts
from tests.e2e.system import System, until
from tools.api_client import Json

TOPIC = Topic.GENERATION.value
LARGE_BYTES = 10_000_000
HANDLED_BY = {
    EventType.GENERATION_REQUESTED: {Service.GENERATION, Service.LEDGER},
    EventType.GENERATION_COMPLETED: {
        Service.LEDGER,
        Service.GALLERY,
        Service.BILLING,
        Service.GATEWAY,
    },
}


class Case(Struct, frozen=True):
    """How a good event is spoiled, and why it is parked.

    `parked_by` is everybody where not even its type can be told, else who handles the type.
    """

    name: str
    reason: str
    spoil: Callable[[Json], bytes | None]
    is_read_by_all: bool = False
    key: Callable[[str], bytes | None] = str.encode


def changed(*path: str, to: Any) -> Callable[[Json], bytes]:
    """The event with one value changed."""

    def spoil(whole: Json) -> bytes:
        inner = whole
        for name in path[:-1]:
            inner = inner[name]
        inner[path[-1]] = to
        return json.dumps(whole).encode()

    return spoil


def as_it_is(whole: Json) -> bytes:
    return json.dumps(whole).encode()


IN_TWO_DAYS = (datetime.now(UTC) + timedelta(days=2)).isoformat()
CASES = (
    Case("malformed JSON", "malformed", lambda whole: as_it_is(whole)[:-1], is_read_by_all=True),
    Case("no text", "malformed", lambda _: b"\xff\xfe\x00", is_read_by_all=True),
    Case("other JSON", "malformed", lambda _: b"[1, 2]", is_read_by_all=True),
    Case("empty value", "malformed", lambda _: b"", is_read_by_all=True),
    Case("no value", "malformed", lambda _: None, is_read_by_all=True),
    Case("10 MB of nothing", "malformed", lambda _: b"x" * LARGE_BYTES, is_read_by_all=True),
    Case("wrong type of an attribute", "malformed", changed("id", to=7), is_read_by_all=True),
    Case("unknown type", "unknown_type", changed("type", to="daygen.x.y"), is_read_by_all=True),
    Case("wrong type in the data", "invalid_data", changed("data", "request", "units", to="1")),
    Case("version 0", "invalid_data", changed("eventversion", to=0)),
    Case("unknown version", "newer_version", changed("eventversion", to=99)),
    Case("future time", "future_time", changed("time", to=IN_TWO_DAYS)),
    Case("10 MB", "too_large", changed("data", "request", "prompt", to="x" * LARGE_BYTES)),
    Case("null key", "wrong_key", as_it_is, key=lambda _: None),
    Case("wrong key", "wrong_key", as_it_is, key=lambda _: str(uuid4()).encode()),
)


def good(event_type: EventType, account_id: UUID) -> Payload:
    """An event about a job of its own."""
    request = request_facts(account_id=account_id, user_id=account_id, job_id=uuid4())
    if event_type is EventType.GENERATION_COMPLETED:
        return completed(request)
    return GenerationRequested(job_id=request.job_id, account_id=account_id, request=request)


class Bad(Struct, frozen=True):
    """A message to send, and where it must be parked under which type and reason."""

    key: bytes | None
    value: bytes | None
    parked: frozenset[tuple[str, str | None, str]]


def bad_messages(account_id: UUID) -> Iterator[Bad]:
    for case in CASES:
        for event_type, handlers in HANDLED_BY.items():
            data = good(event_type, account_id)
            source = event(data, time=datetime.now(UTC))
            value = case.spoil(json.loads(encode(source)))
            shown = None if case.reason == "malformed" else event_type.value
            if case.reason == "unknown_type":
                shown = "daygen.x.y"
            services = set(Service) if case.is_read_by_all else handlers
            parked = frozenset((each.value, shown, case.reason) for each in services)
            yield Bad(case.key(str(account_id)), value, parked)


@asynccontextmanager
async def messages_up_to(bootstrap: str, size_bytes: int) -> AsyncIterator[None]:
    """A broker that lets in what ours refuses."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()

    async def limit(value: int) -> None:
        entry = {"max.message.bytes": str(value)}
        await admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, TOPIC, entry)])

    try:
        await limit(size_bytes)
        yield
        await limit(2 * 1024 * 1024)
    finally:
        await admin.close()


@asynccontextmanager
async def foreign_producer(bootstrap: str) -> AsyncIterator[AIOKafkaProducer]:
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, max_request_size=2 * LARGE_BYTES)
    await producer.start()
    try:
        yield producer
    finally:
        await producer.stop()


async def partition_of(account_id: UUID, producer: AIOKafkaProducer) -> int:
    """Where everything of an account lies."""
    partitions = await producer.partitions_for(TOPIC)
    key = str(account_id).encode()
    return int(producer._partition(TOPIC, None, key, None, key, None)) % len(partitions)


async def parked_count(system: System, service: str) -> int:
    """What a service says of itself, by its metrics."""
    address = system.status()["services"][service]["url"] + "/metrics"
    async with aiohttp.ClientSession() as session, session.get(address) as answer:
        lines = (await answer.text()).splitlines()
    start = f'daygen_events_consumed_total{{consumer="daygen.{service}",outcome="parked"}} '
    return next((int(float(line[len(start) :])) for line in lines if line.startswith(start)), 0)


def listed(system: System) -> list[Json]:
    rows: list[Json] = json.loads(system.command("dlq", "list", "--json").stdout)
    return rows


async def test_bad_input_is_parked_counted_and_visible_and_the_stream_goes_on(
    spoiled: System,
) -> None:
    bootstrap = spoiled.status()["kafka"]["bootstrap"]
    before = {service: await parked_count(spoiled, service) for service in Service}
    known = {row["parkedId"] for row in listed(spoiled)}
    async with spoiled.person() as person, foreign_producer(bootstrap) as producer:
        account_id = UUID((await person.call("GET", "/api/auth/me"))["id"])
        partition = await partition_of(account_id, producer)
        with pytest.raises(MessageSizeTooLargeError):
            await producer.send_and_wait(TOPIC, b"x" * LARGE_BYTES, partition=partition)
        messages = list(bad_messages(account_id))
        async with messages_up_to(bootstrap, 2 * LARGE_BYTES):
            for each in messages:
                await producer.send_and_wait(TOPIC, each.value, key=each.key, partition=partition)
        made = await person.call(
            "POST", "/api/image/local", json={"prompt": "after all that", "model": "local-sketch"}
        )
        job = await person.call("GET", f"/api/jobs/{made['jobId']}")
    assert job["status"] == "COMPLETED"

    expected = Counter(place for each in messages for place in each.parked)
    rows = [row for row in listed(spoiled) if row["parkedId"] not in known]
    assert Counter((row["service"], row["eventType"], row["reason"]) for row in rows) == expected
    for service in Service:
        count = sum(number for (name, *_), number in expected.items() if name == service)
        assert await parked_count(spoiled, service) - before[service] == count
    shown = spoiled.command("dlq", "list").stdout
    assert all(case.reason in shown for case in CASES)

    async def nothing_is_stuck() -> bool:
        """A copy that no dead-letter topic takes would stay in an outbox for ever."""
        pending = [
            await spoiled.scalar(f"SELECT count(*) FROM {service}.outbox_pending")
            for service in Service
        ]
        return not any(pending)

    await until(nothing_is_stuck, seconds=90)
