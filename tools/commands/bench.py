"""Measure our system beside a floor without features, on the same parts and in the same run."""

import argparse
import asyncio
import json
import signal
import sys
import tempfile
from pathlib import Path

from infra.local.home import Home
from tools.bench import report
from tools.bench.result import Result
from tools.bench.session import Plan, measure

EXIT_TERMINATED = 143


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print JSON for programs")
    parser.add_argument("--seconds", type=_positive, default=10.0, help="length of a round")
    parser.add_argument("--rate", type=_positive, default=30.0, help="requests a second")
    parser.add_argument("--rounds", type=_count, default=3, help="rounds of each system")
    parser.add_argument("--distinct", action="store_true", help="every job draws another picture")
    parser.add_argument(
        "--home", type=Path, help="measure this running system (default: one of the bench's own)"
    )


def _positive(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value <= 10_000:
        raise argparse.ArgumentTypeError("a number above 0, at most 10,000, is needed")
    return value


def _count(text: str) -> int:
    if not text.isdigit() or not 0 < int(text) <= 100:
        raise argparse.ArgumentTypeError("a whole number from 1 to 100 is needed")
    return int(text)


def run(arguments: argparse.Namespace) -> int:
    """Exit code 0 whatever the figures are: they are printed, not judged."""
    home = None if arguments.home is None else Home(arguments.home.expanduser().resolve())
    plan = Plan(arguments.rate, arguments.seconds, arguments.rounds, home, arguments.distinct)
    try:
        result = asyncio.run(_measure(plan))
    except asyncio.CancelledError:
        return EXIT_TERMINATED
    print(
        json.dumps(report.as_json(result), indent=2) if arguments.json else report.as_text(result)
    )
    return 0


async def _measure(plan: Plan) -> Result:
    """Ended by a signal, it ends what it has started, too."""
    task = asyncio.current_task()
    assert task is not None  # noqa: S101 - we are inside of it
    for number in (signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    with tempfile.TemporaryDirectory(prefix="daygen-bench-") as scratch:
        return await measure(plan, Path(scratch), _say)


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
