"""The bench of pushed events: what its clients hear, and when its targets are reached."""

import asyncio
from contextlib import suppress
from uuid import UUID, uuid4

from tools.bench.figures import Latency
from tools.bench.pushes import Ears, Measured, Person


def missed(*, p99: float = 150.0, stream_kb: float = 100.0, unheard: int = 0) -> list[str]:
    """Which targets the median of three rounds does not reach."""
    found = Measured(stream_kb=stream_kb, unheard=unheard)
    found.latencies = [Latency(1, 1), Latency(20, p99), Latency(90, 900)]
    return [each.name for each in found.finding().outcomes if not each.is_reached]


def test_medians_at_their_targets_reach_them_and_an_event_unheard_spoils_all() -> None:
    assert missed() == []
    assert missed(p99=151) == ["event to client, p99, 200 open streams, 50 events/s"]
    assert missed(stream_kb=101) == ["an open stream of 1,000"]
    assert missed(unheard=1) == ["events that were not heard"]


async def test_a_job_is_heard_when_it_is_first_told_to_be_under_way() -> None:
    job_id = uuid4()
    told = (
        b"HTTP/1.1 200 OK\r\n\r\nretry: 2000\n\n"
        b'id: 1\nevent: snapshot\ndata: {"jobs": []}\n\n'
        b'id: 2\nevent: job.created\ndata: {"jobId": "%b"}\n\n'
        b'id: 3\nevent: job.updated\ndata: {"jobId": "%b"}\n\n'
    ) % (str(uuid4()).encode(), str(job_id).encode())

    async def serve(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(told)
        with suppress(ConnectionError):
            await writer.drain()
        served.append(writer)

    ears, opened = Ears(), asyncio.Event()
    served: list[asyncio.StreamWriter] = []
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    listening = asyncio.create_task(ears.listen(port, Person(UUID(int=1), "x"), opened))
    async with asyncio.timeout(30):
        while not ears.heard:
            await asyncio.sleep(0.01)
    listening.cancel()
    with suppress(asyncio.CancelledError):
        await listening
    served[0].close()
    server.close()
    await served[0].wait_closed()
    assert opened.is_set()
    assert list(ears.heard) == [job_id]
