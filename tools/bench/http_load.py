"""A cheap HTTP load: prepared bytes over kept connections, lest the client be what is measured."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

ANSWER_SECONDS_MAX = 30.0
AWAKE_SECONDS = 0.0015


@dataclass(slots=True)
class Shots:
    """Answers of one round: seconds from when each request was due, and statuses of refusals."""

    seconds: list[float] = field(default_factory=list)
    refused: list[int] = field(default_factory=list)
    took_seconds: float = 0.0

    @property
    def per_second(self) -> float:
        return len(self.seconds) / self.took_seconds


def request(host: str, path: str, body: bytes, headers: Mapping[str, str]) -> bytes:
    """One POST as it goes over the wire."""
    lines = [f"POST {path} HTTP/1.1", f"Host: {host}", "Content-Type: application/json"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    lines += [f"Content-Length: {len(body)}", "", ""]
    return "\r\n".join(lines).encode() + body


class Connection:
    """A kept connection that has one request under way at a time."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def open(cls, host: str, port: int) -> "Connection":
        return cls(*await asyncio.open_connection(host, port))

    async def send(self, encoded: bytes) -> int:
        """The status of the answer."""
        self._writer.write(encoded)
        head = await self._reader.readuntil(b"\r\n\r\n")
        at = head.lower().index(b"content-length:") + len(b"content-length:")
        length = int(head[at : head.index(b"\r", at)])
        await self._reader.readexactly(length)
        return int(head[9:12])

    def close(self) -> None:
        self._writer.close()


async def saturate(
    host: str, port: int, requests: Sequence[bytes], *, connections: int, seconds: float
) -> Shots:
    """Closed loop: every connection sends its next request when the last is answered."""
    shots = Shots()
    opened = [await Connection.open(host, port) for _ in range(connections)]
    began = time.perf_counter()

    async def run(place: int, connection: Connection) -> None:
        number = place
        while (sent := time.perf_counter()) - began < seconds:
            status = await connection.send(requests[number % len(requests)])
            _note(shots, status, time.perf_counter() - sent)
            number += connections

    await asyncio.gather(*(run(place, each) for place, each in enumerate(opened)))
    shots.took_seconds = time.perf_counter() - began
    for each in opened:
        each.close()
    return shots


async def drive(host: str, port: int, requests: Sequence[bytes], times: Sequence[float]) -> Shots:
    """Open loop: every request leaves when it is due, however slow the answers are."""
    shots = Shots()
    idle: list[Connection] = []
    began = time.perf_counter()

    async def shoot(number: int, due: float) -> None:
        connection = idle.pop() if idle else await Connection.open(host, port)
        async with asyncio.timeout(ANSWER_SECONDS_MAX):
            status = await connection.send(requests[number % len(requests)])
        _note(shots, status, time.perf_counter() - due)
        idle.append(connection)

    async with asyncio.TaskGroup() as group:
        for number, at in enumerate(times):
            await asyncio.sleep(max(0.0, began + at - time.perf_counter() - AWAKE_SECONDS))
            while time.perf_counter() < began + at:  # noqa: ASYNC110 - awake on purpose
                await asyncio.sleep(0)
            group.create_task(shoot(number, began + at))
    shots.took_seconds = time.perf_counter() - began
    for connection in idle:
        connection.close()
    return shots


def _note(shots: Shots, status: int, seconds: float) -> None:
    if 200 <= status < 300:
        shots.seconds.append(seconds)
    else:
        shots.refused.append(status)
