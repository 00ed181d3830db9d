"""Make a projection anew from the streams while its service serves, compare, and swap it in."""

import argparse
import asyncio
import json
import re
import sys
from datetime import datetime

import asyncpg

from infra.local import state
from infra.local.home import Home
from infra.local.problem import Problem
from libs.events.bus import KafkaBus
from libs.events.transport import BusError
from libs.runtime.migrate import MigrationError
from libs.runtime.rebuild.engine import Outcome, Rebuild, Until
from libs.runtime.rebuild.projection import Projection, RebuildError
from tools.places import add_home, home_of
from tools.projections.places import (
    PROJECTIONS,
    check_running,
    dsn_of,
    log_to_stderr,
    projection_of,
)
from tools.projections.report import HEADING, as_json, table_of
from tools.times import moment

EXIT_DIFFERENT = 1
POSITION = re.compile(r"(?:(?P<topic>[a-z._]+)/)?(?P<partition>\d+):(?P<offset>\d+)")


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("projection", choices=list(PROJECTIONS), help="a service's, or its other")
    parser.add_argument(
        "--until",
        metavar="TIME|POSITION",
        help="fold no further and leave the shadow to be looked at: ISO 8601, an age (15m, 2h), or "
        "positions as [TOPIC/]PARTITION:OFFSET, separated by commas",
    )
    parser.add_argument(
        "--swap", action="store_true", help="put the rebuilt tables in the live ones' place"
    )
    parser.add_argument(
        "--accept-differences", action="store_true", help="swap although they differ"
    )
    parser.add_argument("--json", action="store_true", help="for programs")
    add_home(parser)


def run(arguments: argparse.Namespace) -> int:
    """Exit code 1 if the tables differ and were not swapped."""
    if arguments.until and arguments.swap:
        raise Problem("Choose between --until and --swap: what is cut short is never swapped in.")
    if arguments.accept_differences and not arguments.swap:
        raise Problem("--accept-differences says what --swap may do: give both.")
    log_to_stderr()
    home = home_of(arguments)
    try:
        outcome = asyncio.run(_rebuild(home, arguments))
    except (RebuildError, MigrationError, BusError) as error:
        raise Problem(str(error)) from error
    except (asyncpg.PostgresError, OSError) as error:
        text = f"The database of {arguments.projection} cannot be used: {error}."
        raise Problem(text) from error
    if arguments.json:
        print(json.dumps(as_json(outcome), indent=2))
    else:
        print("\n".join(_text(outcome, is_swap=arguments.swap)))
    return 0 if outcome.is_equal or outcome.is_swapped else EXIT_DIFFERENT


async def _rebuild(home: Home, arguments: argparse.Namespace) -> Outcome:
    now = await state.load(home)
    check_running(home, now)
    projection = projection_of(arguments.projection)
    service = projection.service
    until = None if arguments.until is None else _until(arguments.until, projection)
    bus = KafkaBus(now["kafka"]["bootstrap"], client_id="daygen-rebuild")

    def report(line: str) -> None:
        print(f"{arguments.projection}: {line}", file=sys.stderr, flush=True)

    async with (
        bus.log() as log,
        Rebuild.open(projection, dsn=dsn_of(home, now, service), log=log, report=report) as rebuild,
    ):
        return await rebuild.run(
            until=until, swap=arguments.swap, accept_differences=arguments.accept_differences
        )


def _until(text: str, projection: Projection) -> Until:
    """Where to stop.

    Raises:
        Problem: it is neither a time nor positions of this projection.
    """
    found = [POSITION.fullmatch(part.strip()) for part in text.split(",")]
    if all(found):
        positions = {}
        for each in found:
            assert each is not None  # noqa: S101 - all of them matched
            topic = each["topic"] or _only(projection)
            if topic not in projection.topics:
                raise Problem(f"{projection.service} folds {', '.join(projection.topics)} alone.")
            positions[topic, int(each["partition"])] = int(each["offset"])
        return Until(positions=positions)
    try:
        return Until(moment=moment(text, datetime.now().astimezone()))
    except Problem as problem:
        raise Problem(f"{problem} Or write positions like 3:1200.") from None


def _only(projection: Projection) -> str:
    if len(projection.topics) > 1:
        raise Problem(
            f"{projection.service} folds several topics: write positions as TOPIC/PARTITION:OFFSET."
        )
    return projection.topics[0]


def _text(outcome: Outcome, *, is_swap: bool) -> list[str]:
    rate = outcome.messages / max(outcome.seconds, 0.001)
    folded = f"{outcome.messages:,} messages folded in {outcome.seconds:.1f} s ({rate:,.0f}/s)"
    lines = [f"{outcome.service}: {folded}"]
    if outcome.tables:
        lines += [HEADING, *table_of(outcome.service, outcome.tables)]
    if outcome.is_swapped:
        lines.append("The rebuilt tables are live.")
    elif outcome.adopted_rows:
        lines.append(f"{outcome.adopted_rows:,} live rows were put right.")
    elif is_swap and not outcome.is_equal:
        lines.append(
            "Nothing was swapped: add --accept-differences if the rebuilt tables are right."
        )
    if outcome.is_kept:
        lines.append(
            f"The rebuilt tables are in the schema {outcome.shadow}, until the next rebuild."
        )
    return lines
