"""Where a rebuild is told to stop, and what it says of itself."""

from datetime import UTC, datetime, timedelta

import pytest

from infra.local.problem import Problem
from libs.events.names import Service
from libs.runtime.rebuild.compare import Comparison, Difference
from libs.runtime.rebuild.engine import Outcome
from tools.cli import main
from tools.commands.rebuild import _until
from tools.projections.places import projection_of
from tools.projections.report import as_json, table_of

GALLERY = projection_of(Service.GALLERY)
GATEWAY = projection_of(Service.GATEWAY)
LEDGER = projection_of(Service.LEDGER)


@pytest.mark.parametrize("service", Service)
def test_every_service_says_what_its_projection_is(service: Service) -> None:
    projection = projection_of(service)
    assert projection.service is service
    assert projection.tables
    assert projection.shadow == f"{service.value}_shadow"


def test_an_age_and_a_time_are_moments() -> None:
    ago = datetime.now(UTC) - timedelta(hours=2)
    moment = _until("2h", GALLERY).moment
    assert moment is not None
    assert abs(moment - ago) < timedelta(seconds=5)
    assert _until("2026-03-01T12:00:00+01:00", GALLERY).moment == datetime(
        2026, 3, 1, 11, tzinfo=UTC
    )


def test_positions_name_a_partition_and_where_needed_a_topic() -> None:
    assert _until("3:1200, 4:0", LEDGER).positions == {
        ("daygen.credits", 3): 1200,
        ("daygen.credits", 4): 0,
    }
    assert _until("daygen.credits/3:12", GATEWAY).positions == {("daygen.credits", 3): 12}


@pytest.mark.parametrize("text", ["soon", "daygen.billing/1:2", "1:2,x"])
def test_any_other_place_is_refused_in_a_sentence(text: str) -> None:
    with pytest.raises(Problem):
        _until(text, GALLERY)


def test_a_topic_must_be_named_where_there_are_several() -> None:
    with pytest.raises(Problem, match="TOPIC/PARTITION:OFFSET"):
        _until("3:1", GATEWAY)


@pytest.mark.parametrize(
    "flags", [["--until", "1h", "--swap"], ["--accept-differences"], ["--until", "soon"]]
)
def test_what_does_not_go_together_exits_with_2(
    flags: list[str], tmp_path: object, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["rebuild", "gallery", *flags, "--home", str(tmp_path)]) == 2
    assert capsys.readouterr().err.startswith("daygen: ")


def test_differing_rows_are_named() -> None:
    different = Comparison(
        table="item",
        live_rows=1,
        rebuilt_rows=2,
        live_checksum=2**70,
        rebuilt_checksum=7,
        missing=1,
        examples=(Difference(key="a-key", kind="missing"),),
    )
    lines = table_of("gallery", [different])
    assert "DIFFERENT" in lines[0]
    assert lines[1:] == ["    1 missing, 0 extra, 0 changed", "    missing: a-key"]
    outcome = Outcome(
        service="gallery", shadow="gallery_shadow", messages=3, seconds=1.0, tables=(different,)
    )
    found = as_json(outcome)
    assert found["equal"] is False
    assert found["tables"][0]["live_checksum"] == str(2**70)
