"""How long a job may still take."""

from datetime import timedelta

from services.gateway.domain.forecasts import Pace, remaining

PACE = Pace(usual=timedelta(seconds=10), slow=timedelta(seconds=30))


def seconds(elapsed: float) -> float | None:
    left = remaining(PACE, timedelta(seconds=elapsed))
    return None if left is None else left.total_seconds()


def test_a_job_takes_as_long_as_others_did_and_then_as_long_as_slow_ones() -> None:
    assert [seconds(each) for each in (0, 4, 9.5)] == [10, 6, 1]
    assert [seconds(each) for each in (10, 25, 29.9)] == [20, 5, 1]


def test_nobody_guesses_where_nobody_knows() -> None:
    assert seconds(30) is None
    assert remaining(None, timedelta()) is None
