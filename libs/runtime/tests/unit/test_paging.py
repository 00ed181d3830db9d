"""Pages and their cursors."""

import base64
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.runtime.paging import (
    NEWEST,
    InvalidCursorError,
    Position,
    decode_cursor,
    encode_cursor,
    no_later,
    page,
)

TIMES = st.datetimes(timezones=st.just(UTC))


@given(at=TIMES, row_id=st.uuids())
def test_a_cursor_names_its_row_exactly(at: datetime, row_id: UUID) -> None:
    cursor = encode_cursor(Position(at, row_id))
    assert decode_cursor(cursor) == Position(at, row_id)
    assert len(cursor) == 32
    assert cursor.replace("-", "").replace("_", "").isalnum()


def test_without_a_cursor_a_list_starts_at_its_newest_row() -> None:
    assert decode_cursor(None) == NEWEST


@pytest.mark.parametrize(
    "cursor",
    [
        "",
        "x",
        "%%%",
        "\u00e9" * 32,
        "A" * 31,
        "A" * 36,
        "A" * 4000,
        base64.urlsafe_b64encode(b"\x7f" + b"\xff" * 23).decode(),
    ],
)
def test_a_cursor_that_was_never_given_out_is_refused(cursor: str) -> None:
    with pytest.raises(InvalidCursorError, match="Pass `cursor` exactly"):
        decode_cursor(cursor)


def test_the_row_too_many_tells_of_a_next_page() -> None:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    rows = [Position(start - timedelta(seconds=n), UUID(int=n)) for n in range(3)]

    full = page(rows, 2, lambda row: row)
    last = page(rows[:2], 2, lambda row: row)

    assert full.rows == rows[:2]
    assert decode_cursor(full.next_cursor) == rows[1]
    assert last.rows == rows[:2]
    assert last.next_cursor is None


def test_a_page_of_a_moment_begins_with_the_rows_of_that_moment() -> None:
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    place = Position(moment - timedelta(seconds=1), UUID(int=5))
    assert no_later(NEWEST, None) == NEWEST
    assert no_later(NEWEST, moment) == Position(moment, NEWEST.id)
    assert no_later(place, moment) == place
