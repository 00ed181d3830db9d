"""What a bench found: outcomes against targets, latencies, stages and CPU, over all rounds."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from tools.bench.figures import Latency, Outcome, Spread, ratios
from tools.bench.marks import Job, Round, Stage

P50_TARGET = 3.0
P99_TARGET = 6.0
UP_TARGET_SECONDS = 15.0


@dataclass(frozen=True, slots=True)
class Setting:
    """Under which load it was measured, and on what kind of machine."""

    rate: float
    seconds: float
    rounds: int
    processors: int
    load_before: float
    is_distinct: bool = False


@dataclass(frozen=True, slots=True)
class Line:
    """The two percentiles of one latency over the rounds, in milliseconds."""

    name: str
    p50: Spread
    p99: Spread

    @classmethod
    def of(cls, name: str, rounds: Iterable[Sequence[float]]) -> "Line":
        latencies = [Latency.of(values) for values in rounds]
        return cls(
            name,
            Spread.of([each.p50 for each in latencies]),
            Spread.of([each.p99 for each in latencies]),
        )


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two measured systems."""

    rounds: tuple[Round, ...]
    stages: tuple[Stage, ...]

    def line(self, name: str, values: Callable[[Round], Sequence[float]]) -> Line:
        return Line.of(name, [values(each) for each in self.rounds])

    @property
    def jobs(self) -> list[Job]:
        return [job for each in self.rounds for job in each.jobs]

    def profile(self) -> list[tuple[str, Latency]]:
        """Each stage over the jobs of all rounds, as far as its marks were found."""
        times = ((stage.name, stage.times_ms(self.jobs)) for stage in self.stages)
        return [(name, Latency.of(values)) for name, values in times if values]

    def cpu_ms(self) -> Mapping[str, float]:
        """CPU time per request of each process: the median over the rounds."""
        names = self.rounds[0].cpu_ms
        return {
            name: Spread.of([each.cpu_ms.get(name, 0.0) for each in self.rounds]).median
            for name in names
        }

    @property
    def refused(self) -> list[str]:
        return [refusal for each in self.rounds for refusal in each.refusals]

    @property
    def unfinished(self) -> int:
        return sum(each.unfinished for each in self.rounds)

    @property
    def lateness(self) -> float:
        """How late the client itself sent the latest hundredth of its requests, in ms."""
        return max(each.lateness.p99 for each in self.rounds)


@dataclass(frozen=True, slots=True)
class Result:
    """Everything that is printed."""

    setting: Setting
    floor: Side
    ours: Side
    # Seconds until all was ready; none when a running system was measured.
    ups: tuple[float, ...]

    def lines(self) -> list[Line]:
        return [
            self.floor.line("floor: POST to both rows", lambda each: each.totals),
            self.ours.line("ours: POST to both rows", lambda each: each.totals),
            self.ours.line("ours: drawing and upload alone", lambda each: each.away),
            self.ours.line("ours: less drawing and upload", lambda each: each.own),
            self.floor.line("floor: POST to 202", lambda each: each.answers),
            self.ours.line("ours: POST to 202", lambda each: each.answers),
        ]

    def outcomes(self) -> list[Outcome]:
        floor = [Latency.of(each.totals) for each in self.floor.rounds]
        ours = [Latency.of(each.own) for each in self.ours.rounds]
        p50 = ratios([each.p50 for each in ours], [each.p50 for each in floor])
        p99 = ratios([each.p99 for each in ours], [each.p99 for each in floor])
        found = [
            Outcome("p50, ours over the floor's", "x", p50, P50_TARGET),
            Outcome("p99, ours over the floor's", "x", p99, P99_TARGET),
        ]
        names = ("first up in a fresh home", "second up")
        for name, seconds in zip(names, self.ups, strict=False):
            found.append(Outcome(name, "s", Spread.of([seconds]), UP_TARGET_SECONDS))
        return found
