"""Ids as an argument: UUID version 7 (RFC 9562), in order within a process."""

from datetime import UTC, datetime, timedelta
from random import Random
from typing import Final, Protocol
from uuid import UUID

from libs.runtime.clock import Clock

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)
_TIMESTAMP_BITS: Final = 48
_COUNTER_BITS: Final = 12
_COUNTER_MAX: Final = (1 << _COUNTER_BITS) - 1
_TAIL_BITS: Final = 62
_VERSION: Final = 0x7
_VARIANT: Final = 0b10


class Ids(Protocol):
    """Where every new id comes from."""

    def new(self) -> UUID:
        """An id greater than every one this source has given before."""
        ...


class SystemIds(Ids):
    """UUIDv7 with the fixed-length counter of RFC 9562 section 6.2, method 1.

    The counter fills `rand_a`. It starts each millisecond at a random value below half, so at
    least 2,048 ids fit into one; more than that, or a clock set back, and the timestamp runs ahead
    of the clock rather than an id going backwards.
    """

    def __init__(self, clock: Clock, random: Random) -> None:
        self._clock = clock
        self._random = random
        self._timestamp_ms = -1
        self._counter = 0

    def new(self) -> UUID:
        self._advance((self._clock.now() - _EPOCH) // _MILLISECOND)
        tail = self._random.getrandbits(_TAIL_BITS)
        value = self._timestamp_ms & ((1 << _TIMESTAMP_BITS) - 1)
        value = value << 4 | _VERSION
        value = value << _COUNTER_BITS | self._counter
        value = value << 2 | _VARIANT
        return UUID(int=value << _TAIL_BITS | tail)

    def _advance(self, now_ms: int) -> None:
        if now_ms > self._timestamp_ms:
            self._timestamp_ms = now_ms
        elif self._counter < _COUNTER_MAX:
            self._counter += 1
            return
        else:
            self._timestamp_ms += 1
        self._counter = self._random.getrandbits(_COUNTER_BITS - 1)
