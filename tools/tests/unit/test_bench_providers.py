"""What the bench of providers counts."""

import pytest

from tools.bench.providers import IN_FLIGHT, LATENCY_SECONDS, WAVES, Batch


@pytest.mark.parametrize(("own_seconds", "share"), [(0.0, 1.0), (5.0, 0.8), (20.0, 0.5)])
def test_the_share_is_what_waves_take_beside_the_providers_time(
    own_seconds: float, share: float
) -> None:
    wave = LATENCY_SECONDS + own_seconds
    ramp = [place * 0.01 for place in range(IN_FLIGHT)]
    started = [number * wave + at for number in range(WAVES) for at in ramp]
    batch = Batch(started, [at + wave for at in started], [0.0], [0.0])
    assert batch.share == pytest.approx(share)
    assert batch.seconds == pytest.approx(WAVES * wave + ramp[-1])
