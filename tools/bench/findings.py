"""What a bench found: figures over its rounds, some of them with a target."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from tools.bench.figures import Outcome, Spread


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured quantity over the rounds."""

    name: str
    unit: str
    measured: Spread

    def __str__(self) -> str:
        measured = self.measured
        values = (measured.minimum, measured.median, measured.maximum)
        text = " / ".join(_short(value) for value in values)
        return f"{self.name:<52}{text:>28} {self.unit}"


@dataclass(frozen=True, slots=True)
class Finding:
    """One bench: what it did, ours and the floor of the same rounds, and what was to be reached."""

    bench: str
    what: str
    figures: tuple[Figure, ...]
    outcomes: tuple[Outcome, ...]

    def as_json(self) -> dict[str, Any]:
        return {
            "what": self.what,
            "figures": [asdict(each) for each in self.figures],
            "outcomes": [asdict(each) | {"is_reached": each.is_reached} for each in self.outcomes],
        }

    def as_text(self) -> str:
        return "\n".join(self._text())

    def _text(self) -> Iterator[str]:
        yield f"{self.bench}: {self.what}"
        yield f"  {'':<52}{'min / median / max':>28}"
        for figure in self.figures:
            yield f"  {figure}"
        for outcome in self.outcomes:
            side = "at least" if outcome.is_least else "at most"
            verdict = "reached" if outcome.is_reached else "NOT REACHED"
            figure = Figure(outcome.name, outcome.unit, outcome.measured)
            yield f"  {figure}  {side} {outcome.target:,g}: {verdict}"


def _short(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1_000 else f"{value:.3g}"
