"""The ledger's bench: its verdict and what it prints."""

from tools.bench.ledger import BATCHES, FUNCTION, ONE_EACH, TOGETHER, batched, hot
from tools.bench.ledger import figures_of as figures


def rates(*, together: float = 20_000.0, hot_share: float = 1.0) -> dict[str, list[float]]:
    found = {ONE_EACH: [1_000.0] * 3, FUNCTION: [2_000.0] * 3, TOGETHER: [together] * 3}
    for size in BATCHES:
        found[batched(size)] = [8_000.0] * 3
        found[hot(size)] = [8_000.0 * hot_share] * 3
    return found


def test_all_targets_are_reached_together() -> None:
    good = figures(rates())
    assert good.is_reached
    assert "batches of 500 over one transaction each" in good.as_text()
    assert good.as_json()["is_reached"] is True


def test_one_target_that_is_missed_is_enough() -> None:
    assert not figures(rates(together=9_000.0)).is_reached
    assert not figures(rates(hot_share=0.7)).is_reached
    assert not figures(rates() | {ONE_EACH: [2_500.0] * 3}).is_reached
