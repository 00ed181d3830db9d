"""Start Postgres, Kafka, S3 and the five services.

With --detach it returns as soon as all are ready, and they go on.
"""

import argparse
import asyncio
import subprocess
import sys
import time
from pathlib import Path

from infra.local import system
from infra.local.home import Home, read_json
from infra.local.ports import require_free
from infra.local.problem import Problem
from tools.places import ROOT, add_home, home_of, port_number


def configure(parser: argparse.ArgumentParser) -> None:
    add_home(parser)
    parser.add_argument(
        "--port", type=port_number, help="port of the gateway (default: 8000; 0: a free one)"
    )
    parser.add_argument("--detach", action="store_true", help="return when everything is ready")


def run(arguments: argparse.Namespace) -> int:
    home = home_of(arguments)
    if arguments.detach:
        start_detached(home, arguments.port)
    else:
        asyncio.run(system.run(home, port=arguments.port, report=_say))
    return 0


def _say(line: str) -> None:
    print(line, flush=True)


def start_detached(home: Home, port: int | None) -> None:
    """Start a supervisor of its own session and repeat what it says until all is ready."""
    home.make()
    if port and not home.is_locked():
        require_free(port, "gateway")
    command = [sys.executable, "-m", "tools.cli", "up", "--home", str(home.root)]
    command += ["--port", str(port)] if port is not None else []
    log = home.log("supervisor")
    heard = log.stat().st_size if log.exists() else 0
    with log.open("ab") as output:
        supervisor = subprocess.Popen(
            command,
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    while True:
        ended = supervisor.poll() is not None
        heard = _repeat(log, heard)
        if ended:
            raise SystemExit(supervisor.returncode)
        if _is_ready(home, supervisor.pid):
            _repeat(log, heard)
            return
        time.sleep(0.1)


def _repeat(log: Path, heard: int) -> int:
    with log.open("rb") as file:
        file.seek(heard)
        fresh = file.read()
    sys.stdout.write(fresh.decode(errors="replace"))
    sys.stdout.flush()
    return heard + len(fresh)


def _is_ready(home: Home, supervisor_pid: int) -> bool:
    try:
        state = read_json(home.state_file)
    except Problem:
        return False
    mine = state.get("supervisor", {}).get("pid") == supervisor_pid
    return mine and bool(state["ready"])
