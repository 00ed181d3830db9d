"""What a drill has found: promises first, then each fault with the time until it was over."""

from collections import Counter
from collections.abc import Iterable, Mapping

from msgspec import Struct

from tools.drill.plan import Fault, Kind
from tools.invariants import INVARIANTS, Promise


class Recovery(Struct, frozen=True, kw_only=True):
    """A fault, and seconds from its beginning; None where it never came."""

    fault: Fault
    ready_seconds: float | None
    next_job_seconds: float | None


class Report(Struct, frozen=True, kw_only=True):
    """The outcome of one drill."""

    seed: int
    rounds: int
    seconds: float
    accepted: int
    completed: int
    failed: int
    cancelled: int
    lost: int
    doubled: int
    books: int
    broken: dict[str, int]
    faults: list[Recovery]

    @property
    def is_kept(self) -> bool:
        """Whether every promise is kept."""
        return not self.broken


def judge(
    broken: Mapping[str, int],
    *,
    seed: int,
    rounds: int,
    seconds: float,
    accepted: int,
    statuses: Iterable[str],
    recoveries: Iterable[Recovery],
) -> Report:
    """Sum up what is wrong by promise; what no query finds, but the drill itself, is lost."""
    sums: Counter[Promise] = Counter()
    for name, count in broken.items():
        sums[promise_of(name)] += count
    ended = Counter(statuses)
    return Report(
        seed=seed,
        rounds=rounds,
        seconds=round(seconds, 1),
        accepted=accepted,
        completed=ended["COMPLETED"],
        failed=ended["FAILED"],
        cancelled=ended["CANCELLED"],
        lost=sums[Promise.LOST],
        doubled=sums[Promise.DOUBLED],
        books=sums[Promise.BOOKS],
        broken=dict(broken),
        faults=list(recoveries),
    )


# What the drill alone can see, since it has asked.
UNKNOWN_JOBS = "accepted jobs that the gateway does not know"
UNANSWERED = "requests that were never answered"
MISSING_PICTURES = "completed jobs whose picture cannot be fetched"
NOT_QUIET = "drills that did not come to rest"
NOT_RECOVERED = "faults without recovery"
REPEATS = "repeated requests that became another job"
EXTRA_JOBS = "jobs that nobody was told of"


def promise_of(name: str) -> Promise:
    """Which promise is broken by what has this name."""
    if name in INVARIANTS:
        return INVARIANTS[name].promise
    return Promise.DOUBLED if name in {REPEATS, EXTRA_JOBS} else Promise.LOST


def text_of(report: Report) -> str:
    """The report for a person."""
    lines = [
        f"Drill with seed {report.seed}, {report.rounds} round(s), {report.seconds:.1f} s",
        "",
        *(
            f"  {name:<10} {getattr(report, name):>6}"
            for name in ("accepted", "completed", "failed", "cancelled")
        ),
        *(f"  {promise:<10} {getattr(report, promise):>6}" for promise in Promise),
        "",
    ]
    if report.faults:
        head = ("fault", "part", "what", "ready again", "next job")
        lines.append("  {:<11}{:<12}{:<32}{:>12}{:>10}".format(*head))
        lines += [_line(recovery) for recovery in report.faults]
        lines.append("  Times are from the fault's beginning; `next job` was asked for after it.")
        lines.append("")
    lines += [f"  BROKEN: {count} {name}" for name, count in report.broken.items()]
    lines.append("Every promise was kept." if report.is_kept else "Promises were broken.")
    return "\n".join(lines)


def _line(recovery: Recovery) -> str:
    fault = recovery.fault
    what = {
        Kind.KILL: "kill -9",
        Kind.FREEZE: f"stopped for {fault.seconds:.1f} s",
        Kind.CUT: "connections cut",
        Kind.DELAY: f"events held for {fault.seconds:.1f} s",
        Kind.REDELIVER: f"{fault.copies} events told again",
    }[fault.kind] + (", hurried" if fault.is_hurried else "")
    ready, job = _seconds(recovery.ready_seconds), _seconds(recovery.next_job_seconds)
    return f"  {fault.kind:<11}{fault.part:<12}{what:<32}{ready:>12}{job:>10}"


def _seconds(value: float | None) -> str:
    return "never" if value is None else f"{value:.1f} s"
