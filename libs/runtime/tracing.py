"""The W3C trace context: where a request or an event stands in its trace."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from random import Random
from typing import Final, Self

import msgspec
from structlog.contextvars import bound_contextvars


class Traceparent(msgspec.Struct, frozen=True):
    """A place in a distributed trace: the `traceparent` of W3C Trace Context, level 1."""

    trace_id: str
    parent_id: str
    flags: str = "01"

    @classmethod
    def new(cls, random: Random) -> Self:
        """The root of a new trace. An id of zeros is invalid, hence never drawn."""
        return cls(_hex_id(random, 128), _hex_id(random, 64))

    @classmethod
    def parse(cls, header: str | None) -> Self | None:
        """What a caller sent, or nothing if it is not well-formed: a bad one is ignored."""
        found = _TRACEPARENT.fullmatch(header or "")
        if (
            found is None
            or found["version"] == "ff"
            or (found["version"] == "00" and found["more"])
        ):
            return None
        if not found["trace"].strip("0") or not found["parent"].strip("0"):
            return None
        return cls(found["trace"], found["parent"], found["flags"])

    def child(self, random: Random) -> Self:
        """The next step of the same trace."""
        return type(self)(self.trace_id, _hex_id(random, 64), self.flags)

    def __str__(self) -> str:
        return f"00-{self.trace_id}-{self.parent_id}-{self.flags}"


_TRACEPARENT: Final = re.compile(
    r"(?P<version>[0-9a-f]{2})-(?P<trace>[0-9a-f]{32})-(?P<parent>[0-9a-f]{16})"
    r"-(?P<flags>[0-9a-f]{2})(?P<more>-.*)?"
)
_current: ContextVar[Traceparent | None] = ContextVar("traceparent", default=None)


def _hex_id(random: Random, bits: int) -> str:
    return f"{random.getrandbits(bits) or 1:0{bits // 4}x}"


def current_traceparent() -> str | None:
    """The `traceparent` to put on an event or an outgoing request made here."""
    trace = _current.get()
    return None if trace is None else str(trace)


@contextmanager
def tracing(trace: Traceparent, **bound: str) -> Iterator[None]:
    """Everything inside belongs to `trace`: its id is on the log lines, and events inherit it.

    `bound` is put on the log lines with it.
    """
    token = _current.set(trace)
    try:
        with bound_contextvars(trace_id=trace.trace_id, **bound):
            yield
    finally:
        _current.reset(token)
