"""Measure our system, its streams and its books beside floors, in the same run."""

import argparse
import asyncio
import json
import logging
import signal
import sys
import tempfile
from collections.abc import Coroutine, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

import structlog
import uvloop

from infra.local.home import Home
from tools.bench import admission, assets, ledger, providers, pushes, report
from tools.bench.findings import Finding
from tools.bench.result import Result
from tools.bench.session import Plan, measure
from tools.bench.streams import session as streams
from tools.bench.streams.session import BENCHES

EXIT_TERMINATED = 143
E2E = "e2e"
ALL = "all"

FoundT = TypeVar("FoundT")


def _ledger(rounds: int, scratch: Path) -> Coroutine[Any, Any, list[Finding]]:
    return ledger.measure(ledger.Plan(rounds=rounds), scratch, _say)


def _admission(rounds: int, scratch: Path) -> Coroutine[Any, Any, list[Finding]]:
    return admission.measure(admission.Plan(rounds=rounds), scratch, _say)


def _providers(rounds: int, scratch: Path) -> Coroutine[Any, Any, list[Finding]]:
    return providers.measure(providers.Plan(rounds=rounds), scratch, _say)


def _pushes(rounds: int, scratch: Path) -> Coroutine[Any, Any, list[Finding]]:
    return pushes.measure(pushes.Plan(rounds=rounds), scratch, _say)


def _assets(rounds: int, scratch: Path) -> Coroutine[Any, Any, list[Finding]]:
    return assets.measure(assets.Plan(rounds=rounds), scratch, _say)


OTHERS = {
    "ledger": _ledger,
    "admission": _admission,
    "providers": _providers,
    "streams-sse": _pushes,
    "assets": _assets,
}


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "bench",
        nargs="*",
        choices=(ALL, E2E, *BENCHES, *OTHERS),
        default=[ALL],
        help="e2e: a request from POST to its rows; replay, rebuild and live: Kafka to tables; "
        "consumer: its CPU time; relay: outbox to Kafka; ledger: transactions a second; admission: "
        "requests that are admitted; providers: generations in flight at slow ones; "
        "streams-sse: events pushed to open streams; assets: pages, pictures and uploads; "
        "why: answers with a million events stored (default: all)",
    )
    parser.add_argument("--json", action="store_true", help="print JSON for programs")
    parser.add_argument("--rounds", type=_count, default=3, help="rounds, ours and floor in each")
    parser.add_argument("--seconds", type=_positive, default=10.0, help="e2e: length of a round")
    parser.add_argument("--rate", type=_positive, default=30.0, help="e2e: requests a second")
    parser.add_argument(
        "--distinct", action="store_true", help="e2e: every job draws another picture"
    )
    parser.add_argument(
        "--home", type=Path, help="e2e: measure this running system (default: one of its own)"
    )
    parser.add_argument(
        "--events", type=_events, default=100_000, help="streams: events in each round"
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


def _events(text: str) -> int:
    if not text.isdigit() or not 1_000 <= int(text) <= 10_000_000:
        raise argparse.ArgumentTypeError("a whole number from 1,000 to 10,000,000 is needed")
    return int(text)


def run(arguments: argparse.Namespace) -> int:
    """Exit code 0 whatever the figures are: they are printed, not judged."""
    _log_to_stderr()
    home = None if arguments.home is None else Home(arguments.home.expanduser().resolve())
    plan = Plan(arguments.rate, arguments.seconds, arguments.rounds, home, arguments.distinct)
    try:
        found = _measure(chosen(arguments.bench), plan, arguments.events)
    except asyncio.CancelledError:
        return EXIT_TERMINATED
    print(json.dumps(as_json(found), indent=2) if arguments.json else as_text(found))
    return 0


def chosen(names: Sequence[str]) -> list[str]:
    """Each bench once, in the order in which they stand here."""
    return [name for name in (E2E, *BENCHES, *OTHERS) if name in names or ALL in names]


@dataclass(frozen=True, slots=True)
class Found:
    """What all of the chosen benches found."""

    e2e: Result | None
    findings: dict[str, list[Finding]]


def as_json(found: Found) -> dict[str, Any]:
    """Every bench by its name; all outcomes together stand first."""
    said: dict[str, Any] = {}
    if found.e2e is not None:
        said[E2E] = report.as_json(found.e2e)
    for name, findings in found.findings.items():
        said[name] = [each.as_json() for each in findings]
    outcomes = [] if found.e2e is None else [(E2E, each) for each in found.e2e.outcomes()]
    for findings in found.findings.values():
        outcomes += [(finding.bench, each) for finding in findings for each in finding.outcomes]
    judged = [
        {"bench": bench} | asdict(each) | {"is_reached": each.is_reached}
        for bench, each in outcomes
    ]
    return {"outcomes": judged} | said


def as_text(found: Found) -> str:
    texts = [] if found.e2e is None else [report.as_text(found.e2e)]
    texts += [each.as_text() for findings in found.findings.values() for each in findings]
    return "\n\n".join(texts)


def _measure(names: Sequence[str], plan: Plan, events: int) -> Found:
    with tempfile.TemporaryDirectory(prefix="daygen-bench-") as place:
        scratch = Path(place)
        e2e = asyncio.run(_endable(measure(plan, scratch, _say))) if E2E in names else None
        found: dict[str, list[Finding]] = {}
        if of_streams := [name for name in names if name in BENCHES]:
            found |= _run(
                streams.measure(
                    of_streams, events=events, rounds=plan.rounds, scratch=scratch, report=_say
                )
            )
        for name in names:
            if name in OTHERS:
                (scratch / name).mkdir()
                found[name] = _run(OTHERS[name](plan.rounds, scratch / name))
    return Found(e2e, found)


def _run(work: Coroutine[Any, Any, FoundT]) -> FoundT:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:  # as in a service
        return runner.run(_endable(work))


async def _endable(work: Coroutine[Any, Any, FoundT]) -> FoundT:
    """Ended by a signal, it ends what it has started, too."""
    task = asyncio.current_task()
    assert task is not None  # noqa: S101 - we are inside of it
    for number in (signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    return await work


def _log_to_stderr() -> None:
    """Figures alone go to standard output; what the parts say on their way is no news here."""
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
