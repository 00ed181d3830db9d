"""Times and spans as a person types them."""

import argparse
import re
from datetime import UTC, datetime, time, timedelta, tzinfo
from typing import Final

from infra.local.problem import Problem

_SPAN: Final = re.compile(r"(?P<count>\d{1,6})(?P<unit>[smhd])")
_UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_CLOCK: Final = re.compile(
    r"(?:(?P<day>today|yesterday)\s+)?(?P<hour>\d{1,2}):(?P<minute>\d{2})(?::(?P<second>\d{2}))?"
)
_DAYS: Final = {None: 0, "today": 0, "yesterday": 1}


def span(text: str) -> timedelta:
    """A length of time like 90s, 5m, 2h or 1d.

    Raises:
        Problem: it is none.
    """
    found = _SPAN.fullmatch(text.strip())
    if found is None:
        raise Problem(f"{text} is no length of time: write it like 90s, 5m, 2h or 1d.")
    return timedelta(**{_UNITS[found["unit"]]: int(found["count"])})


def moment(text: str, now: datetime) -> datetime:
    """An instant, in UTC. `now` has the zone that a time without one is meant in.

    Raises:
        Problem: it is none.
    """
    wanted = text.strip().lower()
    age = wanted.removesuffix(" ago")
    if _SPAN.fullmatch(age):
        return (now - span(age)).astimezone(UTC)
    try:
        if found := _CLOCK.fullmatch(wanted):
            day = (now - timedelta(days=_DAYS[found["day"]])).date()
            clock = time(int(found["hour"]), int(found["minute"]), int(found["second"] or 0))
            at = datetime.combine(day, clock)
        else:
            at = datetime.fromisoformat(text.strip())
    except ValueError:
        raise Problem(
            f'{text} is no time: write "yesterday 14:32", "14:32", "15m ago" or a time in ISO 8601.'
        ) from None
    return (at if at.tzinfo else at.replace(tzinfo=now.tzinfo)).astimezone(UTC)


def moment_argument(text: str, zone: tzinfo | None = None) -> str:
    """`moment` for argparse: ISO 8601 in UTC. `zone` is this machine's unless it is given."""
    try:
        return moment(text, datetime.now(zone).astimezone(zone)).isoformat()
    except Problem as problem:
        raise argparse.ArgumentTypeError(str(problem)) from None


def seconds_argument(text: str) -> int:
    """`span` for argparse."""
    try:
        return int(span(text).total_seconds())
    except Problem as problem:
        raise argparse.ArgumentTypeError(str(problem)) from None
