"""When a call is made once more, and after how long."""

from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from msgspec import Struct

# Nothing was made, so nothing was billed: also a call that costs money may be repeated at once.
REFUSED_UNREAD = frozenset({429})
TRANSIENT = frozenset({408, 425, 429, 500, 502, 503, 504})


class Patience(Struct, frozen=True, kw_only=True):
    """How long one call may be repeated here; what takes longer waits in the queue instead."""

    tries: int = 3
    total_seconds: float = 10.0
    first_seconds: float = 0.25

    def wait_seconds(self, tries: int, hint: float | None, uniform: float) -> float:
        """How long to wait after this many tries: as asked for, else doubling, with jitter."""
        if hint is not None:
            return hint * (1 + uniform / 10)
        return float(self.first_seconds * 2 ** (tries - 1)) * (0.5 + uniform / 2)


def is_worth_repeating(status: int, *, is_safe: bool) -> bool:
    """Whether an answer with this status may be another one in a moment."""
    return status in (TRANSIENT if is_safe else REFUSED_UNREAD)


def rest_hint(headers: Mapping[str, str], body: Any, now: datetime) -> float | None:
    """For how many seconds the provider asks to be left alone, by header or in its JSON."""
    if (milliseconds := _number(headers.get("retry-after-ms"))) is not None:
        return milliseconds / 1000
    text = headers.get("retry-after")
    if (seconds := _number(text)) is not None:
        return seconds
    if text:
        try:
            then = parsedate_to_datetime(text)
        except ValueError:
            return None
        then = then if then.tzinfo else then.replace(tzinfo=UTC)
        return max(0.0, (then - now).total_seconds())
    return _retry_delay(body)


def _retry_delay(body: Any) -> float | None:
    """Google's `RetryInfo`, such as {"retryDelay": "34s"}."""
    error = body.get("error") if isinstance(body, dict) else None
    details = error.get("details") if isinstance(error, dict) else None
    for each in details if isinstance(details, list) else ():
        delay = each.get("retryDelay") if isinstance(each, dict) else None
        if isinstance(delay, str) and delay.endswith("s"):
            return _number(delay[:-1])
    return None


def _number(text: str | None) -> float | None:
    try:
        number = float(text or "")
    except ValueError:
        return None
    return number if 0 <= number < 1e6 else None
