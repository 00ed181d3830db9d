"""Rate limits by the generic cell rate algorithm (GCRA), and daily caps, of whoever they bind.

GCRA is a leaky bucket kept as one instant: `drained_at` is when the bucket will be empty again. A
request fits while the bucket holds at most one minute's allowance. A day is one of UTC.
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

MINUTE: Final = timedelta(minutes=1)
DAY: Final = timedelta(days=1)
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class Limit(Struct, frozen=True, kw_only=True):
    """So many a minute on the long run, and as many at once after a quiet minute."""

    per_minute: int

    @property
    def interval(self) -> timedelta:
        """What one request adds to the bucket."""
        return max(timedelta.resolution, MINUTE / self.per_minute)


class Passed(Struct, frozen=True, gc=False):
    """The request fits; the bucket is now drained at this instant."""

    drained_at: datetime


class Exceeded(Struct, frozen=True, gc=False):
    """The request does not fit before this time has passed."""

    retry_after: timedelta


def spend(limit: Limit, drained_at: datetime, now: datetime) -> Passed | Exceeded:
    """Put one request into the bucket, if it fits."""
    after = max(drained_at, now) + limit.interval
    excess = after - now - MINUTE
    return Exceeded(excess) if excess > timedelta(0) else Passed(after)


class Kind(StrEnum):
    """Who or what a limit binds, in the order in which their rows are locked."""

    USER = "user"
    WORKSPACE = "workspace"
    KEY = "key"
    PROVIDER = "provider"


LOCK_ORDER: Final = {kind: place for place, kind in enumerate(Kind)}


class Subject(Struct, frozen=True, gc=False):
    """One user, workspace, API key or provider."""

    kind: Kind
    id: str

    @property
    def lock_order(self) -> tuple[int, str]:
        """Providers last: theirs are the rows that everybody touches."""
        return LOCK_ORDER[self.kind], self.id


class Measure(StrEnum):
    """What is limited."""

    REQUESTS = "requests"
    CREDITS = "credits"
    TOKENS = "tokens"


class Policy(Struct, frozen=True, kw_only=True, gc=False):
    """What a subject may use; without a figure there is no cap."""

    per_minute: int
    credits_per_day: int | None = None
    tokens_per_day: int | None = None

    @property
    def measures(self) -> tuple[Measure, ...]:
        """What is limited."""
        return (
            Measure.REQUESTS,
            *(() if self.credits_per_day is None else (Measure.CREDITS,)),
            *(() if self.tokens_per_day is None else (Measure.TOKENS,)),
        )

    def quota(self, measure: Measure) -> int:
        """How much of a measure that is limited."""
        match measure:
            case Measure.REQUESTS:
                return self.per_minute
            case Measure.CREDITS:
                return self.credits_per_day or 0
            case Measure.TOKENS:
                return self.tokens_per_day or 0


class Throttle(Struct, frozen=True, kw_only=True, gc=False):
    """A lower rate for a while."""

    per_minute: int
    until: datetime


class OwnPolicy(Struct, frozen=True, kw_only=True, gc=False):
    """What an administrator or an owner has set for one subject; the default stands elsewhere."""

    per_minute: int | None = None
    credits_per_day: int | None = None
    tokens_per_day: int | None = None
    throttle: Throttle | None = None

    def over(self, default: Policy, now: datetime) -> Policy:
        """What holds now."""
        per_minute = self.per_minute or default.per_minute
        if self.throttle is not None and now < self.throttle.until:
            per_minute = min(per_minute, self.throttle.per_minute)
        return Policy(
            per_minute=per_minute,
            credits_per_day=_first(self.credits_per_day, default.credits_per_day),
            tokens_per_day=_first(self.tokens_per_day, default.tokens_per_day),
        )


def _first(own: int | None, default: int | None) -> int | None:
    return default if own is None else own


class Meter(Struct, frozen=True, kw_only=True, gc=False):
    """What a subject has used: the bucket, and the sums of one day."""

    drained_at: datetime = EPOCH
    day: date = EPOCH.date()
    credits: int = 0
    tokens: int = 0

    def on(self, day: date) -> "Meter":
        """The meter as it stands on a day: each begins at nothing."""
        return self if self.day >= day else replace(self, day=day, credits=0, tokens=0)


class Demand(Struct, frozen=True, kw_only=True, gc=False):
    """What one request asks for. Its tokens are an estimate: nobody knows them yet."""

    credits: int
    tokens: int


class Allowance(Struct, frozen=True, kw_only=True, gc=False):
    """A subject's policy and meter at one instant."""

    subject: Subject
    policy: Policy
    meter: Meter

    def remaining(self, measure: Measure, now: datetime) -> int:
        """What is left of a measure; of a measure without a cap there is no answer."""
        meter = self.meter.on(now.date())
        match measure:
            case Measure.REQUESTS:
                room = MINUTE - max(timedelta(0), meter.drained_at - now)
                return max(0, room // Limit(per_minute=self.policy.per_minute).interval)
            case Measure.CREDITS:
                return max(0, self.policy.quota(measure) - meter.credits)
            case Measure.TOKENS:
                return max(0, self.policy.quota(measure) - meter.tokens)


class TooMany(Struct, frozen=True, kw_only=True):
    """A limit is used up for this long; `allowances` are as they were."""

    subject: Subject
    measure: Measure
    retry_after: timedelta
    allowances: tuple[Allowance, ...] = ()


def take(allowance: Allowance, demand: Demand, now: datetime) -> Allowance | TooMany:
    """One subject's allowance after a request, if the request fits."""
    subject, policy, meter = allowance.subject, allowance.policy, allowance.meter.on(now.date())
    for measure, used, asked, cap in (
        (Measure.CREDITS, meter.credits, demand.credits, policy.credits_per_day),
        (Measure.TOKENS, meter.tokens, demand.tokens, policy.tokens_per_day),
    ):
        if cap is not None and used + asked > cap:
            return TooMany(subject=subject, measure=measure, retry_after=until_tomorrow(now))
    spent = spend(Limit(per_minute=policy.per_minute), meter.drained_at, now)
    if isinstance(spent, Exceeded):
        return TooMany(subject=subject, measure=Measure.REQUESTS, retry_after=spent.retry_after)
    taken = replace(
        meter,
        drained_at=spent.drained_at,
        credits=meter.credits + demand.credits,
        tokens=meter.tokens + demand.tokens,
    )
    return replace(allowance, meter=taken)


def take_all(
    allowances: Sequence[Allowance], demand: Demand, now: datetime
) -> tuple[Allowance, ...] | TooMany:
    """All allowances after a request that fits them all; else the refusal that lasts longest."""
    taken: list[Allowance] = []
    refusals: list[TooMany] = []
    for allowance in allowances:
        outcome = take(allowance, demand, now)
        if isinstance(outcome, TooMany):
            refusals.append(outcome)
        else:
            taken.append(outcome)
    if refusals:
        longest = max(refusals, key=lambda refusal: refusal.retry_after)
        return replace(longest, allowances=tuple(allowances))
    return tuple(taken)


def until_tomorrow(now: datetime) -> timedelta:
    """How long the day of `now` still lasts."""
    midnight = datetime.combine(now.astimezone(UTC).date(), time(0), tzinfo=UTC) + DAY
    return midnight - now


class Settlement(Struct, frozen=True, kw_only=True, gc=False):
    """A correction of a day's sums, once it is known what a request really used."""

    subject: Subject
    day: date
    credits: int = 0
    tokens: int = 0


def added_up(settlements: Iterable[Settlement]) -> list[Settlement]:
    """One settlement per subject and day, in the order of their locks."""
    sums: dict[tuple[Subject, date], Settlement] = {}
    for each in settlements:
        before = sums.get((each.subject, each.day))
        sums[each.subject, each.day] = (
            each
            if before is None
            else replace(
                before, credits=before.credits + each.credits, tokens=before.tokens + each.tokens
            )
        )
    return sorted(sums.values(), key=lambda each: (each.subject.lock_order, each.day))
