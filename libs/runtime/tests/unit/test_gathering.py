"""What waits for company in a batch, and what never does."""

from collections.abc import Mapping, Sequence
from uuid import UUID, uuid4

import pytest

from libs.events.envelope import Event, encode
from libs.events.identity import AccountErased, UserRegistered
from libs.events.names import EventType
from libs.events.payload import Payload
from libs.events.registry import REGISTRY
from libs.events.testing import event as event_of
from libs.events.transport import BusError, IncomingMessage, Partition
from libs.runtime.clock import SystemClock
from libs.runtime.gathering import FETCH_SECONDS, Gathering, Patience
from libs.runtime.intake import Part, Reader

PARTITION = Partition("daygen.identity", UUID(int=1), 0)
PATIENCE = Patience(types=frozenset({EventType.USER_REGISTERED}), seconds=0.1)
ROOM = 5


class HandClock(SystemClock):
    """Goes on only when it is told to."""

    def __init__(self) -> None:
        self.seconds = 100.0

    def monotonic(self) -> float:
        return self.seconds


class Script:
    """A subscription whose fetches bring what they are told to, so much later."""

    def __init__(self, clock: HandClock, *fetches: tuple[float, Sequence[IncomingMessage]]) -> None:
        self.asked: list[tuple[int, float]] = []
        self._clock = clock
        self._fetches = list(fetches)

    async def fetch(self, *, records_max: int, timeout_seconds: float) -> Sequence[IncomingMessage]:
        self.asked.append((records_max, round(timeout_seconds, 3)))
        after, messages = self._fetches[0] if self._fetches else (float("inf"), [])
        if after > timeout_seconds:
            self._clock.seconds += timeout_seconds
            return []
        self._clock.seconds += after
        del self._fetches[0]
        return messages

    def seek(self, partition: Partition, offset: int) -> None: ...

    async def report(self, next_offsets: Mapping[Partition, int]) -> None: ...


def waits() -> Event[Payload]:
    user_id = uuid4()
    return event_of(
        UserRegistered(user_id=user_id, account_id=user_id, role="USER", signup_credits=1, grace=0)
    )


def hurries() -> Event[Payload]:
    user_id = uuid4()
    return event_of(AccountErased(account_id=user_id, user_id=user_id, actor=user_id))


def at(offset: int, event: Event[Payload]) -> IncomingMessage:
    return IncomingMessage(PARTITION, offset, event.key.encode(), encode(event))


async def gathered(clock: HandClock, script: Script) -> tuple[list[Part], bool]:
    types = [EventType.USER_REGISTERED, EventType.ACCOUNT_ERASED]
    reader = Reader(REGISTRY, types, clock)
    reader.start_at({PARTITION: 0})
    return await Gathering(reader, clock, ROOM, PATIENCE).next(script)


def offsets(parts: Sequence[Part]) -> list[int]:
    return [each.message.offset for part in parts for each in part.intakes]


async def test_an_event_that_nobody_waits_for_shares_the_batch_of_the_next_one() -> None:
    clock = HandClock()
    script = Script(clock, (0.5, [at(0, waits())]), (0.03, [at(1, hurries())]))
    parts, is_full = await gathered(clock, script)
    assert offsets(parts) == [0, 1]
    assert [(part.start, part.stop) for part in parts] == [(0, 1), (1, 2)]
    assert not is_full
    assert clock.seconds == pytest.approx(100.53)


async def test_it_waits_no_longer_than_it_may() -> None:
    clock = HandClock()
    script = Script(
        clock, (0.0, [at(0, waits())]), (0.06, [at(1, waits())]), (0.06, [at(2, waits())])
    )
    parts, _ = await gathered(clock, script)
    assert offsets(parts) == [0, 1]
    assert clock.seconds == pytest.approx(100.1)
    assert script.asked == [(ROOM, FETCH_SECONDS), (ROOM - 1, 0.1), (ROOM - 2, 0.04)]


async def test_what_somebody_waits_for_is_not_held() -> None:
    clock = HandClock()
    parts, _ = await gathered(clock, Script(clock, (0.0, [at(0, waits()), at(1, hurries())])))
    assert offsets(parts) == [0, 1]
    assert clock.seconds == 100.0


async def test_what_cannot_be_read_is_not_held() -> None:
    clock = HandClock()
    broken = IncomingMessage(PARTITION, 1, b"key", b"{")
    parts, _ = await gathered(clock, Script(clock, (0.0, [at(0, waits()), broken])))
    assert offsets(parts) == [0, 1]
    assert clock.seconds == 100.0


async def test_what_concerns_somebody_else_is_passed_over_at_once() -> None:
    clock = HandClock()
    reader = Reader(REGISTRY, [EventType.ACCOUNT_ERASED], clock)
    reader.start_at({PARTITION: 0})
    script = Script(clock, (0.0, [at(0, waits())]))
    parts, _ = await Gathering(reader, clock, ROOM, PATIENCE).next(script)
    assert (offsets(parts), clock.seconds) == ([], 100.0)


async def test_a_batch_never_has_more_than_it_may() -> None:
    clock = HandClock()
    first = [at(number, waits()) for number in range(3)]
    rest = [at(number, waits()) for number in range(3, 5)]
    script = Script(clock, (0.0, first), (0.01, rest))
    parts, is_full = await gathered(clock, script)
    assert (offsets(parts), is_full) == ([0, 1, 2, 3, 4], True)
    assert [asked for asked, _ in script.asked] == [5, 2]


async def test_a_lost_bus_is_told_and_nothing_is_kept() -> None:
    clock = HandClock()
    script = Script(clock, (0.0, [at(0, waits())]))

    async def fetch(*, records_max: int, timeout_seconds: float) -> Sequence[IncomingMessage]:
        if script.asked:
            raise BusError("gone")
        return await Script.fetch(script, records_max=records_max, timeout_seconds=timeout_seconds)

    script.fetch = fetch  # type: ignore[method-assign]
    with pytest.raises(BusError):
        await gathered(clock, script)
