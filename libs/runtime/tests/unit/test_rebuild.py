"""What a rebuild leaves out, and what its figures say."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from libs.events.transport import Partition
from libs.runtime.rebuild.compare import Comparison
from libs.runtime.rebuild.engine import Until, _bounded
from libs.runtime.rebuild.fold import Cut
from libs.runtime.rebuild.projection import RebuildError

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)
FIRST, OTHER = (Partition("daygen.generation", UUID(int=1), number) for number in (0, 1))


def test_a_cut_ends_each_key_at_its_first_later_event() -> None:
    cut = Cut(NOON)
    assert not cut.leaves_out(b"anna", NOON)
    assert cut.leaves_out(b"anna", NOON + SECOND)
    # What stands behind it depends on it, whatever its own clock said.
    assert cut.leaves_out(b"anna", NOON - SECOND)
    assert not cut.leaves_out(b"bert", NOON)


def test_positions_bound_the_partitions_that_they_name() -> None:
    until = Until(positions={("daygen.generation", 1): 7})
    assert _bounded({FIRST: 30, OTHER: 20}, until) == {FIRST: 30, OTHER: 7}
    assert _bounded({FIRST: 30}, until) == {FIRST: 30}


def test_a_position_that_is_not_there_yet_is_refused() -> None:
    with pytest.raises(RebuildError, match="up to 20: give that position or an earlier one"):
        _bounded({OTHER: 20}, Until(positions={("daygen.generation", 1): 21}))


def test_tables_are_equal_when_rows_and_checksums_are() -> None:
    same = Comparison(
        table="item", live_rows=2, rebuilt_rows=2, live_checksum=-5, rebuilt_checksum=-5
    )
    assert same.is_equal
    other = Comparison(
        table="item", live_rows=2, rebuilt_rows=2, live_checksum=-5, rebuilt_checksum=5, changed=1
    )
    assert not other.is_equal
    assert other.drift_rows == 1
