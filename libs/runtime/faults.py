"""Which faults pass by themselves and are retried, and which come back and are parked."""

import asyncpg

from libs.events.envelope import EventTooLargeError
from libs.events.registry import UndecodableEventError
from libs.runtime.errors import DomainError

DETERMINISTIC: tuple[type[Exception], ...] = (
    DomainError,
    UndecodableEventError,
    EventTooLargeError,
    ValueError,
    TypeError,
    LookupError,
    ArithmeticError,
    AttributeError,
    AssertionError,
    asyncpg.DataError,
    asyncpg.IntegrityConstraintViolationError,
    asyncpg.RaiseError,
)
"""Faults of the data or of a rule: the same input gives them again. Others are retried."""


def is_deterministic(error: BaseException) -> bool:
    """Whether trying again is pointless.

    asyncpg raises an InterfaceError for a connection in a bad state; the one about arguments is
    a ValueError too.
    """
    if isinstance(error, DomainError) and error.is_transient:
        return False
    if isinstance(error, asyncpg.InterfaceError) and not isinstance(error, ValueError):
        return False
    return isinstance(error, DETERMINISTIC)


class Backoff:
    """Waits between tries: doubling up to a bound, jittered against marching in step."""

    def __init__(self, *, first_seconds: float = 0.05, most_seconds: float = 5.0) -> None:
        self._first_seconds = first_seconds
        self._most_seconds = most_seconds
        self._tries = 0

    def next_seconds(self, uniform: float) -> float:
        """The next wait, given a random number from 0 to 1."""
        ceiling = min(self._most_seconds, self._first_seconds * 2.0 ** min(self._tries, 30))
        self._tries += 1
        return ceiling * (0.5 + uniform / 2)

    def reset(self) -> None:
        """It worked: start small again."""
        self._tries = 0
