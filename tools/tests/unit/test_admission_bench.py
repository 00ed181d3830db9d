"""The bench of admissions: its load over real connections, and when its targets are reached."""

import asyncio
import dataclasses
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing, suppress

from tools.bench import http_load
from tools.bench.admission import Figures
from tools.bench.figures import Spread

HOST = "127.0.0.1"


def figures(**changes: object) -> Figures:
    usual = Figures(
        floor_per_second=Spread(900, 1_000, 1_100),
        gateway_per_second=Spread(600, 700, 800),
        share=Spread(0.5, 0.6, 0.7),
        p50_ms=Spread(3, 5, 7),
        p99_ms=Spread(10, 25, 40),
        floor_p50_ms=Spread(1, 2, 3),
        floor_p99_ms=Spread(4, 5, 6),
        rate=300,
        refused=0,
    )
    return dataclasses.replace(usual, **changes)  # type: ignore[arg-type]


def test_medians_at_their_targets_reach_them_and_a_refusal_spoils_all() -> None:
    assert figures().is_reached
    assert not figures(share=Spread(0.5, 0.59, 0.9)).is_reached
    assert not figures(p50_ms=Spread(1, 5.1, 6)).is_reached
    assert not figures(p99_ms=Spread(1, 25.1, 26)).is_reached
    assert not figures(refused=1).is_reached
    assert "admissions over rows" in figures().as_text()


@asynccontextmanager
async def serving(statuses: list[int]) -> AsyncIterator[int]:
    """Answers requests with these statuses in turns, on the port that it tells."""
    answering: list[asyncio.Task[None]] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        answering.append(asyncio.current_task())  # type: ignore[arg-type]  # it is one
        # Either way the client has gone.
        with closing(writer), suppress(asyncio.IncompleteReadError, ConnectionError):
            while head := await reader.readuntil(b"\r\n\r\n"):
                assert head.startswith(b"POST /x HTTP/1.1\r\n")
                await reader.readexactly(2)
                statuses.append(statuses.pop(0))
                line = f"HTTP/1.1 {statuses[-1]} Whatever\r\nContent-Length: 3\r\n\r\nyes"
                writer.write(line.encode())

    server = await asyncio.start_server(answer, HOST, 0)
    async with server:
        yield server.sockets[0].getsockname()[1]
    await asyncio.gather(*answering)


async def test_every_request_is_counted_once_by_its_status() -> None:
    encoded = [http_load.request(HOST, "/x", b"{}", {"Authorization": "Bearer x"})]
    async with serving([202, 202, 402]) as port:
        shots = await http_load.drive(HOST, port, encoded, [0.0, 0.01, 0.02, 0.03, 0.04, 0.05])
        busy = await http_load.saturate(HOST, port, encoded, connections=3, seconds=0.1)
    assert (len(shots.seconds), shots.refused) == (4, [402, 402])
    assert all(each > 0 for each in shots.seconds)
    assert len(busy.seconds) > 6
    assert busy.per_second > 60
