"""The bench of a rebuild runs from its start to its end, on few events."""

from infra.local.cluster import LocalCluster
from tools.bench.streams.rebuilding import rebuild
from tools.bench.streams.stand import Stand


async def test_a_rebuild_is_measured_beside_a_floor_and_judged(cluster: LocalCluster) -> None:
    findings = await rebuild(Stand(cluster, lambda _: None), 1_000, 1)
    assert [each.bench for each in findings] == ["rebuild, billing", "rebuild, gallery"]
    for finding in findings:
        measured = [each.measured for each in finding.figures]
        measured += [each.measured for each in finding.outcomes]
        assert all(0 < each.minimum <= each.median <= each.maximum for each in measured)
