"""Reloads, restarts and other replicas in the middle of the work: no event of a stream is lost."""

import asyncio
import json
import os
import socket
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from itertools import cycle
from pathlib import Path
from typing import Final

import aiohttp
import pytest
from msgspec import Struct, field

from infra.local.services import uvicorn_command
from tests.e2e.system import System, until
from tests.e2e.test_crashes import post_until_accepted
from tools.api_client import ApiClient, Json

JOBS: Final = 9
SECONDS: Final = 90.0
BROKEN: Final = (aiohttp.ClientError, OSError, TimeoutError)


class Page(Struct):
    """A page that listens to everything of its user's, and comes back whenever it is cut off."""

    addresses: list[str]
    ticket: str
    over_a_socket: bool
    heard: list[tuple[int, str, Json]] = field(default_factory=list)
    connections: int = 0
    connected_to: str = ""
    _listening: asyncio.Task[None] | None = None

    async def run(self, session: aiohttp.ClientSession) -> None:
        """Listen for ever, at one address after the other."""
        for address in cycle(self.addresses):
            listen = self._socket if self.over_a_socket else self._stream
            self._listening = asyncio.create_task(listen(session, address))
            with suppress(*BROKEN, asyncio.CancelledError):
                await self._listening
            if (task := asyncio.current_task()) is not None and task.cancelling():
                return
            await asyncio.sleep(0.1)

    def reload(self) -> None:
        """What a person does who is impatient."""
        if self._listening is not None:
            self._listening.cancel()

    @property
    def last(self) -> int | None:
        return self.heard[-1][0] if self.heard else None

    async def _stream(self, session: aiohttp.ClientSession, address: str) -> None:
        headers = {} if self.last is None else {"Last-Event-ID": str(self.last)}
        url = f"{address}/api/events?ticket={self.ticket}"
        async with session.get(url, headers=headers) as answer:
            answer.raise_for_status()
            self._connected(address)
            lines: dict[str, str] = {}
            async for line in answer.content:
                name, _, value = line.decode().rstrip("\n").partition(": ")
                if name:
                    lines[name] = value
                elif "data" in lines:
                    self._hear(int(lines["id"]), lines["event"], json.loads(lines["data"]))
                    lines = {}

    async def _socket(self, session: aiohttp.ClientSession, address: str) -> None:
        async with session.ws_connect(f"{address}/api/ws?ticket={self.ticket}") as opened:
            self._connected(address)
            await opened.send_json(
                {"type": "subscribe", "channel": "user", "lastEventId": self.last}
            )
            async for message in opened:
                said = json.loads(message.data)
                if said["type"] == "event":
                    self._hear(said["id"], said["event"], said["data"])

    def _connected(self, address: str) -> None:
        self.connections += 1
        self.connected_to = address

    def _hear(self, position: int, kind: str, data: Json) -> None:
        self.heard.append((position, kind, data))


@contextmanager
def second_replica(system: System, log: Path) -> Iterator[str]:
    """Another gateway with the settings of the running one, and a name of its own."""
    environment = Path(f"/proc/{system.pid('gateway')}/environ").read_text(encoding="utf-8")
    settings = dict(line.split("=", 1) for line in environment.split("\0") if "=" in line)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with log.open("wb") as output:
        process = subprocess.Popen(
            uvicorn_command("services.gateway.app:create_app", port),
            env={**os.environ, **settings, "GATEWAY_REPLICA": "gateway-2"},
            stdout=output,
            stderr=output,
        )
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()


@asynccontextmanager
async def listening(page: Page) -> AsyncIterator[aiohttp.ClientSession]:
    timeout = aiohttp.ClientTimeout(total=None, sock_read=SECONDS)
    async with aiohttp.ClientSession(timeout=timeout) as session:
        running = asyncio.create_task(page.run(session))
        try:
            yield session
        finally:
            running.cancel()
            page.reload()
            await asyncio.wait({running})


@pytest.mark.parametrize("over_a_socket", [False, True], ids=["events", "socket"])
async def test_no_event_is_lost_by_reloads_restarts_and_replicas(
    system: System, tmp_path: Path, *, over_a_socket: bool
) -> None:
    first = system.status()["gateway_url"]
    async with system.person(first) as person:
        user_id = (await person.call("GET", "/api/auth/me"))["id"]
        with second_replica(system, tmp_path / "second.log") as second:
            stream = "/api/ws" if over_a_socket else "/api/events"
            answer = await person.call("POST", "/api/stream-tickets", json={"stream": stream})
            page = Page([first, second], answer["ticket"], over_a_socket)
            async with listening(page) as session:
                await until(lambda: _is_ready(session, second), seconds=SECONDS)
                await until(lambda: _has(page, 1), seconds=SECONDS)
                jobs = await _work_while_everything_breaks(system, person, page)
                await until(lambda: _has_ended(page, jobs), seconds=SECONDS)
    await system.until_ready()
    async with system.database() as database:
        told = await database.fetch(
            "SELECT position, kind FROM gateway.feed WHERE user_id = $1 ORDER BY position", user_id
        )
    (_, snapshot, _), *heard = page.heard
    assert snapshot == "snapshot"
    assert [(position, kind) for position, kind, _ in heard] == [
        (row["position"], row["kind"]) for row in told
    ][: len(heard)]
    assert {kind for _, kind, _ in heard} >= {
        *("job.updated", "job.completed", "asset.ready"),
        *("gallery.added", "balance.changed"),
    }
    assert page.connections >= 4


async def _work_while_everything_breaks(system: System, person: ApiClient, page: Page) -> list[str]:
    jobs = []
    for number in range(JOBS):
        jobs.append(await post_until_accepted(person, number))
        await asyncio.sleep(0.05)
        if number % 3 == 0:
            page.reload()  # which goes to the other replica
        if number == JOBS // 2:
            await asyncio.to_thread(system.kill, "gateway")
    return jobs


async def _is_ready(session: aiohttp.ClientSession, url: str) -> bool:
    with suppress(*BROKEN):
        async with session.get(f"{url}/health/ready") as answer:
            return answer.status == 200
    return False


async def _has(page: Page, events: int) -> bool:
    return len(page.heard) >= events


async def _has_ended(page: Page, jobs: list[str]) -> bool:
    ended = {data["jobId"] for _, kind, data in page.heard if kind == "job.completed"}
    return ended >= set(jobs)
