"""Each bench of the streams runs from its start to its end, on few events."""

import pytest

from infra.local.cluster import LocalCluster
from tools.bench.streams.session import BENCHES
from tools.bench.streams.stand import Stand


@pytest.mark.parametrize("name", BENCHES)
async def test_a_bench_measures_floor_and_ours_and_judges(cluster: LocalCluster, name: str) -> None:
    findings = await BENCHES[name](Stand(cluster, lambda _: None), 1_000, 1)
    for finding in findings:
        assert finding.figures
        assert finding.outcomes
        measured = [each.measured for each in finding.figures]
        measured += [each.measured for each in finding.outcomes]
        assert all(0 < each.minimum <= each.median <= each.maximum for each in measured)
