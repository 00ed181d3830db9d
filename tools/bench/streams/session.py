"""The benches of the streams by name, run one after the other on parts of their own."""

from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from infra.local.supervisor import Report
from libs.runtime.service import tune_garbage_collector
from tools.bench.findings import Finding
from tools.bench.streams.consumption import live, replay
from tools.bench.streams.layer import layer
from tools.bench.streams.outbox import relay
from tools.bench.streams.rebuilding import rebuild
from tools.bench.streams.stand import Stand, open_stand
from tools.bench.streams.why import why

Bench = Callable[[Stand, int, int], Awaitable[list[Finding]]]
"""Given parts, a number of events and of rounds; the floor is measured in every round, too."""

BENCHES: dict[str, Bench] = {
    "replay": replay,
    "rebuild": rebuild,
    "live": live,
    "consumer": layer,
    "relay": relay,
    "why": why,
}


async def measure(
    names: Sequence[str], *, events: int, rounds: int, scratch: Path, report: Report
) -> dict[str, list[Finding]]:
    """Run benches in a process that is set up as a service's."""
    found: dict[str, list[Finding]] = {}
    async with open_stand(scratch, report) as stand:
        tune_garbage_collector()
        for name in names:
            found[name] = await BENCHES[name](stand, events, rounds)
    return found
