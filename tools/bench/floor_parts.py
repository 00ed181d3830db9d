"""The floor's processes: a route, a worker, two projectors. Nothing that could be left out is in.

Each is started with its settings in the environment and makes the file READY when it works.
"""

import asyncio
import gc
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID, uuid4

import asyncpg
import msgspec
import uvloop
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

ASKED = "asked"
ANSWERED = "answered"
TABLES = ("ledger", "gallery")
ROLES = ("worker", *TABLES)
READY = Path("ready")
# What our answer says of a picture, in bytes.
RESULT = "r" * 400

StructT = TypeVar("StructT", bound=msgspec.Struct)

FETCH_MS = 1000
RECORDS_MAX = 500
JOIN_POLL_SECONDS = 0.02

CREATE_TABLE = {
    "ledger": "CREATE TABLE ledger (job_id uuid PRIMARY KEY, facts bytea NOT NULL)",
    "gallery": "CREATE TABLE gallery (job_id uuid PRIMARY KEY, facts bytea NOT NULL)",
}
INSERT = {
    "ledger": "INSERT INTO ledger SELECT * FROM unnest($1::uuid[], $2::bytea[])",
    "gallery": "INSERT INTO gallery SELECT * FROM unnest($1::uuid[], $2::bytea[])",
}


class Asked(msgspec.Struct, frozen=True, gc=False):
    """Somebody wants something: about as many bytes as one of our events."""

    job_id: UUID
    facts: dict[str, Any]


class Answered(msgspec.Struct, frozen=True, gc=False):
    """It has been done; the facts are repeated, as ours are."""

    job_id: UUID
    facts: dict[str, Any]
    result: str


def setting(name: str) -> str:
    return os.environ[f"FLOOR_{name}"]


def topic(name: str) -> str:
    return setting("PREFIX") + name


def producer() -> AIOKafkaProducer:
    return AIOKafkaProducer(bootstrap_servers=setting("KAFKA"), acks="all", linger_ms=0)


def consumer(name: str, group: str) -> AIOKafkaConsumer:
    return AIOKafkaConsumer(
        topic(name),
        bootstrap_servers=setting("KAFKA"),
        group_id=topic(group),
        auto_offset_reset="earliest",
    )


def create_gateway() -> Starlette:
    """For `uvicorn --factory`."""
    senders: list[AIOKafkaProducer] = []

    async def accept(request: Request) -> Response:
        facts = msgspec.json.decode(await request.body(), type=dict[str, Any])
        asked = Asked(uuid4(), facts)
        await senders[0].send_and_wait(topic(ASKED), _encode(asked), key=_key(asked.job_id))
        return Response(_encode({"jobId": asked.job_id}), 202, media_type="application/json")

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        async with producer() as sender:
            senders.append(sender)
            _settle()
            yield

    return Starlette(routes=[Route("/jobs", accept, methods=["POST"])], lifespan=lifespan)


async def work() -> None:
    """Answer whatever is asked."""
    async with producer() as sender, consumer(ASKED, "worker") as source:
        await _joined(source)
        async for values in _batches(source):
            for asked in _decode(values, Asked):
                answered = Answered(asked.job_id, asked.facts, RESULT)
                key = _key(asked.job_id)
                await sender.send(topic(ANSWERED), _encode(answered), key=key)


async def project(table: str) -> None:
    """Write a row for every answer."""
    connection = await asyncpg.connect(setting("DSN"))
    await connection.execute(CREATE_TABLE[table])
    async with consumer(ANSWERED, table) as source:
        await _joined(source)
        async for values in _batches(source):
            answers = _decode(values, Answered)
            await connection.execute(
                INSERT[table],
                [answer.job_id for answer in answers],
                [_encode(answer.facts) for answer in answers],
            )


async def _joined(source: AIOKafkaConsumer) -> None:
    while not source.assignment():  # noqa: ASYNC110 - aiokafka tells nobody that it has joined
        await asyncio.sleep(JOIN_POLL_SECONDS)
    _settle()


async def _batches(source: AIOKafkaConsumer) -> AsyncIterator[list[bytes]]:
    while True:
        batches = await source.getmany(timeout_ms=FETCH_MS, max_records=RECORDS_MAX)
        if batches:
            yield [record.value for records in batches.values() for record in records]


def _settle() -> None:
    """Spare the collector what stays for ever, as our services do, and say that all is ready."""
    gc.collect()
    gc.freeze()
    READY.touch()


def _encode(value: object) -> bytes:
    return msgspec.json.encode(value)


def _decode(values: list[bytes], kind: type[StructT]) -> list[StructT]:
    decoder = msgspec.json.Decoder(kind)
    return [decoder.decode(value) for value in values]


def _key(job_id: UUID) -> bytes:
    return str(job_id).encode()


def main(role: str) -> None:
    uvloop.run(work() if role == "worker" else project(role))


if __name__ == "__main__":
    main(sys.argv[1])
