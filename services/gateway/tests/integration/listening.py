"""Server-sent events as a client hears them."""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any
from uuid import UUID

import httpx2
from msgspec import Struct

from services.gateway.tests.integration.conftest import Person

WAIT_SECONDS = 60.0


class Told(Struct, frozen=True):
    """One server-sent event."""

    position: int
    kind: str
    data: dict[str, Any]


async def stream(answer: httpx2.Response) -> AsyncIterator[Told]:
    fields: dict[str, str] = {}
    async for line in answer.aiter_lines():
        if line and not line.startswith(":"):
            name, _, value = line.partition(": ")
            fields[name] = value
        elif "data" in fields:
            yield Told(int(fields["id"]), fields["event"], json.loads(fields["data"]))
            fields = {}


async def follow(
    person: Person, job_id: UUID, is_open: asyncio.Event | None = None, /, **headers: str
) -> list[Told]:
    """Everything that a job's stream tells until it ends."""
    path = f"/api/jobs/{job_id}/events"
    return [told async for told in listen(person, path, is_open, **headers)]


async def listen(
    person: Person, path: str, is_open: asyncio.Event | None = None, /, **headers: str
) -> AsyncGenerator[Told, None]:
    """What a stream tells, as it comes; with a ticket in its address no bearer is shown.

    Args:
        is_open: set at the first event; what is done from then on is told as news.
    """
    if "ticket=" not in path:
        headers |= person.headers
    async with (
        asyncio.timeout(WAIT_SECONDS),
        person.client.stream("GET", path, headers=headers) as answer,
    ):
        assert answer.status_code == 200, await answer.aread()
        assert answer.headers["content-type"].startswith("text/event-stream")
        async for told in stream(answer):
            if is_open:
                is_open.set()
            yield told
