"""How long is waited between tries."""

from itertools import pairwise

from libs.runtime.faults import Backoff

FIRST, MOST = 0.05, 5.0


def waits(uniform: float, count: int = 40) -> list[float]:
    backoff = Backoff(first_seconds=FIRST, most_seconds=MOST)
    return [backoff.next_seconds(uniform) for _ in range(count)]


def test_waits_double_up_to_a_bound() -> None:
    seconds = waits(1.0)
    assert seconds[:3] == [FIRST, 2 * FIRST, 4 * FIRST]
    assert all(before <= after for before, after in pairwise(seconds))
    assert max(seconds) == seconds[-1] == MOST


def test_waits_are_spread_over_half_of_their_length_and_never_nothing() -> None:
    least, most = waits(0.0), waits(1.0)
    assert [each * 2 for each in least] == most
    assert min(least) > 0


def test_after_a_success_waits_are_short_again() -> None:
    backoff = Backoff(first_seconds=FIRST, most_seconds=MOST)
    for _ in range(10):
        backoff.next_seconds(1.0)
    backoff.reset()
    assert backoff.next_seconds(1.0) == FIRST
