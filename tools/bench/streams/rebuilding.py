"""A rebuild's filling of its empty shadow, beside a COPY of the same rows into empty tables."""

import time

from libs.events.bus import KafkaBus
from libs.runtime.rebuild.engine import Rebuild
from libs.runtime.rebuild.projection import Projection as Rebuilt
from libs.runtime.testing import Streams
from services.billing.rebuild import PROJECTION as USAGE
from services.gallery.rebuild import PROJECTION as PICTURES
from tools.bench.figures import Outcome, Spread
from tools.bench.findings import Figure, Finding
from tools.bench.streams import tables
from tools.bench.streams.consumption import Run
from tools.bench.streams.projections import PROJECTIONS, Projection, answers, publish
from tools.bench.streams.stand import Stand

TARGET = 55.0
REBUILT = {each.service: each for each in (USAGE, PICTURES)}


async def rebuild(stand: Stand, events: int, rounds: int) -> list[Finding]:
    """From the first message to the last index of the shadow, without comparing and swapping."""
    return [
        await _measure(stand, each, REBUILT[each.service], events, rounds) for each in PROJECTIONS
    ]


async def _measure(
    stand: Stand, projection: Projection, rebuilt: Rebuilt, events: int, rounds: int
) -> Finding:
    name = f"rebuild, {projection.service}"
    floors, ours = [], []
    async with stand.streams(projection.service) as streams, stand.bus() as (bus, _):
        stand.report(f"{name}: publishing {events:,} events")
        await publish(bus, answers(events, streams.ids))
        # The live tables have seen it all, so the rebuild folds it all.
        await Run(streams, bus, projection, projection.fold, events).seconds()
        rows = await tables.rows_of(streams, projection.tables)
        for number in range(rounds + 1):  # the first one warms up
            stand.report(f"{name}: round {number} of {rounds}" if number else f"{name}: warming up")
            await stand.checkpoint()
            ours.append(events / await _fill(streams, bus, rebuilt))
            await tables.empty(streams, projection.tables)
            await stand.checkpoint()
            floors.append(events / await tables.copy(streams, rows))
    floors, ours = floors[1:], ours[1:]
    percent = [100 * mine / floor for mine, floor in zip(ours, floors, strict=True)]
    return Finding(
        bench=name,
        what=f"{events:,} distinct events into an empty shadow of {', '.join(projection.tables)}",
        figures=(
            Figure("floor: COPY into the same tables, empty", "events/s", Spread.of(floors)),
            Figure("ours: Kafka to a shadow with its indexes", "events/s", Spread.of(ours)),
        ),
        outcomes=(Outcome("ours of the floor", "%", Spread.of(percent), TARGET, is_least=True),),
    )


async def _fill(streams: Streams, bus: KafkaBus, rebuilt: Rebuilt) -> float:
    async with bus.log() as log, Rebuild.open(rebuilt, dsn=streams.dsn, log=log) as rebuild:
        began = time.monotonic()
        await rebuild.fill()
        return time.monotonic() - began
