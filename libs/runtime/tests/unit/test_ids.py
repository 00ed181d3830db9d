"""UUIDv7 from an injected clock and randomness."""

from datetime import UTC, datetime, timedelta
from random import Random
from uuid import RFC_4122, UUID

from hypothesis import given
from hypothesis import strategies as st

from libs.runtime.clock import SystemClock
from libs.runtime.ids import SystemIds

START = datetime(2026, 1, 2, 3, 4, 5, 678_000, tzinfo=UTC)


class ManualClock(SystemClock):
    def __init__(self, now: datetime = START) -> None:
        self.time = now

    def now(self) -> datetime:
        return self.time


def timestamp_ms(identifier: UUID) -> int:
    return identifier.int >> 80


def test_an_id_is_a_version_7_uuid_that_carries_its_millisecond() -> None:
    identifier = SystemIds(ManualClock(), Random(1)).new()
    assert identifier.version == 7
    assert identifier.variant == RFC_4122
    assert timestamp_ms(identifier) == int(START.timestamp() * 1000)


def test_the_same_clock_and_seed_give_the_same_ids() -> None:
    first, second = (SystemIds(ManualClock(), Random(7)) for _ in range(2))
    assert [first.new() for _ in range(50)] == [second.new() for _ in range(50)]


def test_ids_of_one_millisecond_are_in_order_and_stay_in_it() -> None:
    ids = SystemIds(ManualClock(), Random(3))
    made = [ids.new() for _ in range(2_048)]
    assert made == sorted(made)
    assert len({timestamp_ms(identifier) for identifier in made}) == 1


def test_more_ids_than_the_counter_holds_run_ahead_of_the_clock_in_order() -> None:
    ids = SystemIds(ManualClock(), Random(3))
    made = [ids.new() for _ in range(20_000)]
    assert made == sorted(set(made))
    assert {identifier.version for identifier in made} == {7}


@given(st.lists(st.integers(min_value=-5, max_value=5), max_size=60), st.integers(0, 2**32))
def test_ids_never_go_back_even_when_the_clock_does(steps_ms: list[int], seed: int) -> None:
    clock = ManualClock()
    ids = SystemIds(clock, Random(seed))
    made = [ids.new()]
    for step in steps_ms:
        clock.time += timedelta(milliseconds=step)
        made.append(ids.new())
    assert made == sorted(set(made))
