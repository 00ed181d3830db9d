"""Keyset paging: a cursor names the last row of a page, so pages stay true while rows are added.

Lists are newest first, by a time and, where times are equal, by id.
"""

import base64
import binascii
import struct
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Generic, TypeVar
from uuid import UUID

from msgspec import Struct

from libs.runtime.errors import BadRequest

RowT = TypeVar("RowT")

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_PACKING = struct.Struct(">q16s")


class InvalidCursorError(BadRequest):
    code = "invalid_cursor"


class Position(Struct, frozen=True, gc=False):
    """A row's place in a list."""

    at: datetime
    id: UUID


NEWEST = Position(datetime(9999, 12, 31, tzinfo=UTC), UUID(int=2**128 - 1))
"""Before every row, so that the first page takes the same statement, and plan, as the others."""


def no_later(after: Position, moment: datetime | None) -> Position:
    """The same place, or the first of the rows of that moment and before, if that comes later."""
    if moment is None or moment >= after.at:
        return after
    return Position(moment, NEWEST.id)


class Page(Struct, Generic[RowT], frozen=True):
    """Some rows of a list, and the cursor of the next page unless this is the last."""

    rows: Sequence[RowT]
    next_cursor: str | None


def page(rows: Sequence[RowT], limit: int, position: Callable[[RowT], Position]) -> Page[RowT]:
    """A page out of up to `limit` + 1 rows: the one too many tells that there is a next page."""
    if len(rows) <= limit:
        return Page(rows, None)
    return Page(rows[:limit], encode_cursor(position(rows[limit - 1])))


def encode_cursor(position: Position) -> str:
    microseconds = (position.at - _EPOCH) // _MICROSECOND
    return base64.urlsafe_b64encode(_PACKING.pack(microseconds, position.id.bytes)).decode()


def decode_cursor(cursor: str | None) -> Position:
    """The position after which the page starts.

    Raises:
        InvalidCursorError: not a cursor that was given out.
    """
    if cursor is None:
        return NEWEST
    try:
        microseconds, id_bytes = _PACKING.unpack(base64.urlsafe_b64decode(cursor.encode("ascii")))
        return Position(_EPOCH + microseconds * _MICROSECOND, UUID(bytes=id_bytes))
    except (ValueError, OverflowError, binascii.Error, struct.error) as error:
        raise InvalidCursorError("Pass `cursor` exactly as the last page gave it.") from error
