"""The bench of admissions: its load over real connections, and when its targets are reached."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing, suppress

from tools.bench import http_load
from tools.bench.admission import Measured
from tools.bench.figures import Latency

HOST = "127.0.0.1"


def missed(
    *, share: float = 0.6, p50: float = 5.0, p99: float = 25.0, refused: int = 0
) -> list[str]:
    """Which targets the medians of three rounds do not reach."""
    found = Measured(refused=refused)
    found.per_second = {
        "floor": [1_000.0] * 3,
        "gateway": [1_000 * each for each in (0.1, share, 1)],
    }
    ours = [Latency(1, 1), Latency(p50, p99), Latency(90, 90)]
    found.latencies = {"floor": ours, "gateway": ours}
    return [each.name for each in found.finding().outcomes if not each.is_reached]


def test_medians_at_their_targets_reach_them_and_a_refusal_spoils_all() -> None:
    assert missed() == []
    assert missed(share=0.59) == ["admissions over rows"]
    assert missed(p50=5.1) == ["admission, p50 at 300/s"]
    assert missed(p99=25.1) == ["admission, p99 at 300/s"]
    assert missed(refused=1) == ["refused requests"]


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
