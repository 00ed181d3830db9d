"""How long a job may still take, told from how long others took of late."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Final, TypeAlias

from msgspec import Struct


class Pace(Struct, frozen=True, kw_only=True):
    """From order to end: half of the jobs took at most `usual`, nine of ten at most `slow`."""

    usual: timedelta
    slow: timedelta


Work: TypeAlias = tuple[str, str, str]
"""What is comparable: provider, model and operation."""

Paces: TypeAlias = Mapping[Work, Pace]


class Forecast(Struct, frozen=True, kw_only=True):
    """What can be said of a job that has not ended; none: nothing can."""

    jobs_ahead: int | None = None  # of the same provider, that nobody has begun either
    remaining: timedelta | None = None


SOONEST: Final = timedelta(seconds=1)


def remaining(pace: Pace | None, elapsed: timedelta) -> timedelta | None:
    """How long a job may still take that has taken so long; none where nobody can tell."""
    if pace is None or elapsed >= pace.slow:
        return None
    end = pace.usual if elapsed < pace.usual else pace.slow
    return max(SOONEST, end - elapsed)
