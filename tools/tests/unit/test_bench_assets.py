"""The bench of pictures: when its targets are reached."""

from tools.bench.assets import SIDES, Measured
from tools.bench.figures import Latency


def missed(
    *, p99: float = 20.0, share: float = 0.6, upload_mb: float = 10.0, refused: int = 0
) -> list[str]:
    """Which targets the median of three rounds does not reach."""
    rates = {side: [100.0, 200.0, 50.0] for side in SIDES}
    rates["gallery"] = [100.0 * share, 200.0, 50.0 * 0.1]
    found = Measured(mb_per_second=rates, upload_mb=[1.0, upload_mb, 90.0], refused=refused)
    found.pages = [Latency(1, 1), Latency(2, p99), Latency(90, 900)]
    return [each.name for each in found.finding().outcomes if not each.is_reached]


def test_medians_at_their_targets_reach_them_and_a_refusal_spoils_all() -> None:
    assert missed() == []
    assert missed(p99=20.1) == ["page of 20 out of 100,000, 50/s, p99"]
    assert missed(share=0.59) == ["assets, gallery over storage"]
    assert missed(upload_mb=10.1) == ["memory of an upload of 50 MB"]
    assert missed(refused=1) == ["refused requests"]
