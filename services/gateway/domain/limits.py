"""Rate limits: the generic cell rate algorithm (GCRA), a leaky bucket kept as one instant.

`drained_at` is the instant at which the bucket will be empty again. A request fits while the bucket
holds at most one minute's allowance.
"""

from datetime import datetime, timedelta
from typing import Final

from msgspec import Struct

MINUTE: Final = timedelta(minutes=1)


class Limit(Struct, frozen=True, kw_only=True):
    """So many a minute on the long run, and as many at once after a quiet minute."""

    per_minute: int

    @property
    def interval(self) -> timedelta:
        """What one request adds to the bucket."""
        return MINUTE / self.per_minute


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
