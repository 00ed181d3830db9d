"""A bench's result as text for people and as JSON for programs."""

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from tools.bench.figures import Outcome, Spread
from tools.bench.result import Line, Result, Side

# A client that is later than this is told of: the machine was too busy to measure well.
LATENESS_MS_MAX = 5.0


def as_json(result: Result) -> dict[str, Any]:
    return {
        "setting": asdict(result.setting),
        "outcomes": [asdict(each) | {"is_reached": each.is_reached} for each in result.outcomes()],
        "latency_ms": [asdict(each) for each in result.lines()],
        "floor": _side(result.floor),
        "ours": _side(result.ours),
    }


def _side(side: Side) -> dict[str, Any]:
    return {
        "requests": len(side.jobs),
        "refused": side.refused,
        "unfinished": side.unfinished,
        "client_lateness_p99_ms": side.lateness,
        "stages_ms": {name: asdict(latency) for name, latency in side.profile()},
        "cpu_ms_per_request": side.cpu_ms(),
    }


def as_text(result: Result) -> str:
    return "\n".join(_text(result))


def _text(result: Result) -> Iterator[str]:
    setting = result.setting
    yield (
        f"{setting.rounds} rounds of {setting.seconds:g} s at {setting.rate:g} requests/s, floor "
        f"and ours in turns, on {setting.processors} processors (load {setting.load_before:.1f} "
        "before)."
    )
    if setting.is_distinct:
        yield "Each job draws a picture of its own: its time is subtracted, not what it displaces."
    yield "Latency from the instant at which a request was due to the commit of its last row."
    yield ""
    yield f"{'milliseconds (min / median / max of the rounds)':<50}{'p50':>22}{'p99':>26}"
    for line in result.lines():
        yield _latency(line)
    yield ""
    yield f"{'':<30}{'min / median / max':>24}{'target':>10}   reached"
    for outcome in result.outcomes():
        yield _outcome(outcome)
    for name, side in (("floor", result.floor), ("ours", result.ours)):
        yield ""
        yield f"{f'Where the time goes, {name} (ms over all rounds)':<60}{'p50':>9}{'p99':>9}"
        for stage, latency in side.profile():
            yield f"  {stage:<58}{latency.p50:>9.1f}{latency.p99:>9.1f}"
        yield f"  CPU per request: {_cpu(side)}"
        yield from _shortfalls(name, side)


def _latency(line: Line) -> str:
    return f"{line.name:<46}{_spread(line.p50, 1):>26}{_spread(line.p99, 1):>26}"


def _outcome(outcome: Outcome) -> str:
    measured = outcome.measured
    is_single = measured.minimum == measured.maximum
    text = f"{measured.median:.1f}" if is_single else _spread(measured, 1)
    target = f"{outcome.target:g} {outcome.unit}"
    verdict = "yes" if outcome.is_reached else "no"
    return f"{outcome.name:<30}{text + ' ' + outcome.unit:>24}{target:>10}   {verdict}"


def _spread(spread: Spread, digits: int) -> str:
    values = (spread.minimum, spread.median, spread.maximum)
    return " / ".join(f"{value:.{digits}f}" for value in values)


def _cpu(side: Side) -> str:
    spent = side.cpu_ms()
    each = ", ".join(f"{name} {value:.1f}" for name, value in spent.items())
    return f"{sum(spent.values()):.1f} ms ({each})"


def _shortfalls(name: str, side: Side) -> Iterator[str]:
    if side.refused:
        yield f"  {len(side.refused)} requests of {name} were refused, the first: {side.refused[0]}"
    if side.unfinished:
        yield f"  {side.unfinished} requests of {name} were not finished in time and not counted."
    if side.lateness > LATENESS_MS_MAX:
        yield f"  The client sent up to {side.lateness:.1f} ms late (p99): the machine was busy."
