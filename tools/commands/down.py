"""End the system of a home and every process of it."""

import argparse
import os
import signal
import time

from infra.local.home import Home
from infra.local.problem import Problem
from tools.places import add_home, home_of

PATIENCE_SECONDS = 60.0


def configure(parser: argparse.ArgumentParser) -> None:
    add_home(parser)


def run(arguments: argparse.Namespace) -> int:
    home = home_of(arguments)
    if not home.is_locked():
        print(f"Nothing runs in {home.root}.")
        return 0
    began = time.monotonic()
    stop(home)
    print(f"Everything in {home.root} has ended after {time.monotonic() - began:.1f} s.")
    return 0


def stop(home: Home) -> None:
    """Ask the supervisor, which alone knows its processes, and wait until it has gone."""
    pid = home.supervisor_pid()
    if pid is None:
        return
    os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + PATIENCE_SECONDS
    while home.is_locked():
        if time.monotonic() > deadline:
            raise Problem(f"The supervisor {pid} does not end: kill it, its processes follow it.")
        time.sleep(0.05)
