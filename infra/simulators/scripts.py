"""What a simulator is to do next: told by a mark in the prompt, a header, or the control route.

[[rate_limit]] a cat                     a mark, in any prompt
X-Simulate: server; latency=2            a header of the call
POST /control/openai {"situation": "credit", "times": 2}     the next two orders
"""

import re
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

_MARK = re.compile(r"\[\[(\w+)(?:=([\d.]+))?\]\]")
_PART = re.compile(r"\s*(\w+)(?:=([\d.]+))?\s*")


class Situation(StrEnum):
    """How an order goes."""

    SUCCESS = "success"
    BAD_REQUEST = "bad_request"
    AUTH = "auth"
    MODERATION = "moderation"
    RATE_LIMIT = "rate_limit"
    CREDIT = "credit"
    SERVER = "server"
    TIMEOUT = "timeout"  # no answer for a very long time
    TRUNCATED = "truncated"  # the picture's bytes end early
    WRONG_TYPE = "wrong_type"  # a page of HTML where a picture should be
    NEVER = "never"  # its own job goes on for ever
    DUPLICATE_WEBHOOK = "duplicate_webhook"


@dataclass(frozen=True, slots=True)
class Script:
    """One order's fate."""

    situation: Situation = Situation.SUCCESS
    latency_seconds: float = 0.0
    retry_after_seconds: float = 1.0
    expires_seconds: float = 600.0
    size_bytes: float = 0  # at least so large is a PNG

    def told(self, word: str, value: str | None) -> "Script":
        """With one more word of a mark or a header.

        Raises:
            ValueError: there is no such word.
        """
        number = float(value or 0)
        match word:
            case "latency":
                return replace(self, latency_seconds=number)
            case "retry_after":
                return replace(self, retry_after_seconds=number)
            case "bytes":
                return replace(self, size_bytes=number)
            case "expires":
                return replace(self, expires_seconds=number)
        return replace(self, situation=Situation(word))


class Scripts:
    """The fates of the next orders of one provider."""

    def __init__(self, latency_seconds: float = 0.0) -> None:
        self._usual = Script(latency_seconds=latency_seconds)
        self._next: deque[Script] = deque()

    def add(self, script: Script, times: int) -> None:
        """For so many orders to come."""
        self._next.extend([script] * times)

    def set_usual(self, script: Script) -> None:
        """For all orders that nothing else is said of."""
        self._usual = script

    def clear(self) -> None:
        """Back to success."""
        self._usual = Script()
        self._next.clear()

    def take(self, headers: Mapping[str, str], prompt: str) -> Script:
        """The fate of the order that has just come."""
        words = [_PART.fullmatch(part) for part in headers.get("x-simulate", "").split(";")]
        told = [found.groups() for found in (*words, *_MARK.finditer(prompt)) if found]
        if not told:
            return self._next.popleft() if self._next else self._usual
        script = self._usual
        for word, value in told:
            try:
                script = script.told(word, value)
            except ValueError:
                continue  # another's mark
        return script
