"""Break the running system under load in a seeded random order, and prove that nothing was lost."""

import argparse
import asyncio
import secrets
import sys
from contextlib import redirect_stdout

import msgspec

from infra.local import state
from infra.local.problem import Problem
from tools.api_client import ApiError
from tools.commands.up import start_detached
from tools.drill.plan import plan
from tools.drill.report import text_of
from tools.drill.session import Drill
from tools.places import add_home, home_of, port_number


def configure(parser: argparse.ArgumentParser) -> None:
    add_home(parser)
    parser.add_argument(
        "--port", type=port_number, help="port of the gateway if it has to be started"
    )
    parser.add_argument(
        "--seed", type=int, help="repeats a drill's faults and their order (default: a new one)"
    )
    parser.add_argument(
        "--rounds",
        type=not_negative,
        default=1,
        help="how often each part is killed; 0 breaks nothing and only judges (default: 1)",
    )
    parser.add_argument(
        "--faults", type=not_negative, metavar="N", help="at most this many faults a round"
    )
    parser.add_argument("--json", action="store_true", help="print the report for programs")


def not_negative(text: str) -> int:
    """A count.

    Raises:
        argparse.ArgumentTypeError: it is none.
    """
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text} is not a number from 0 on")
    return int(text)


def run(arguments: argparse.Namespace) -> int:
    """Exit code 0 if every promise was kept, else 1."""
    home = home_of(arguments)
    if not asyncio.run(state.load(home))["ready"]:
        with redirect_stdout(sys.stderr):  # standard output is the report's
            start_detached(home, arguments.port)
    now = asyncio.run(state.load(home))
    seed = secrets.randbelow(1_000_000) if arguments.seed is None else arguments.seed
    faults = plan(seed, arguments.rounds, arguments.faults)
    _say(f"Drill with seed {seed}: {len(faults)} faults on {now['gateway_url']}")
    drill = Drill(home, now, seed=seed, say=_say)
    try:
        report = asyncio.run(drill.run(faults, arguments.rounds))
    except ApiError as error:
        raise Problem(f"The gateway answered {error.status}: {error}") from error
    if arguments.json:
        print(msgspec.json.format(msgspec.json.encode(report)).decode())
    else:
        print(text_of(report))
    return 0 if report.is_kept else 1


def _say(line: str) -> None:
    """Tell a person; a program reads the report alone."""
    print(line, file=sys.stderr, flush=True)
