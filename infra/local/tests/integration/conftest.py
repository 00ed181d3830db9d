"""Programs that a test can start in a moment: a tiny server, written here."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import aiohttp
import pytest

from infra.local import ports
from infra.local.process import Program

SERVER = """
import http.server, os, sys

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(str(os.getpid()).encode())

print("listening", flush=True)
http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""

ProgramFactory = Callable[..., Program]


async def answers(port: int) -> bool:
    try:
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"http://{ports.HOST}:{port}/") as response,
        ):
            return response.status == 200
    except aiohttp.ClientError:
        return False


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ProgramFactory]:
    """Make the program of a small HTTP server on a free port."""
    reserved = ports.Reserved()

    def make(name: str, *, needs: tuple[str, ...] = (), script: str = SERVER) -> Program:
        (port,) = ports.choose([name], free=reserved.take).values()

        async def ready() -> bool:
            return await answers(port)

        return Program(
            name=name,
            argv=(sys.executable, "-c", script, str(port)),
            directory=tmp_path / name,
            log=tmp_path / f"{name}.log",
            ready=ready,
            needs=needs,
            stop_timeout_seconds=1.0,
        )

    with reserved:
        yield make
