"""The ledger's bench: its verdict and what it prints."""

from tools.bench.findings import Finding
from tools.bench.ledger import (
    BATCHES,
    FUNCTION,
    ONE_EACH,
    SEALED,
    TOGETHER,
    UNSEALED,
    batched,
    finding_of,
    hot,
)


def rates(
    *, together: float = 20_000.0, hot_share: float = 1.0, sealed_share: float = 0.95
) -> dict[str, list[float]]:
    found = {ONE_EACH: [1_000.0] * 3, FUNCTION: [2_000.0] * 3, TOGETHER: [together] * 3}
    found |= {UNSEALED: [8_000.0] * 3, SEALED: [8_000.0 * sealed_share] * 3}
    for size in BATCHES:
        found[batched(size)] = [8_000.0] * 3
        found[hot(size)] = [8_000.0 * hot_share] * 3
    return found


def missed(finding: Finding) -> list[str]:
    return [each.name for each in finding.outcomes if not each.is_reached]


def test_all_targets_are_reached_together() -> None:
    good = finding_of(rates())
    assert missed(good) == []
    assert "batches of 500 over one transaction each" in good.as_text()
    assert good.as_text().count("at least") == 6


def test_each_target_is_missed_by_itself() -> None:
    assert missed(finding_of(rates(together=9_000.0))) == [TOGETHER]
    assert missed(finding_of(rates(hot_share=0.7))) == [f"{hot(n)} over spread" for n in BATCHES]
    assert missed(finding_of(rates(sealed_share=0.89))) == [f"{SEALED}, over not sealed"]
    slow = rates() | {ONE_EACH: [2_500.0] * 3}
    assert missed(finding_of(slow)) == [f"{batched(n)} over one transaction each" for n in BATCHES]
