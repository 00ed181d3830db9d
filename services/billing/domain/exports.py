"""Usage rows as a file: comma-separated values, or one JSON array."""

import csv
import io
from collections.abc import Sequence
from enum import StrEnum

import msgspec
from msgspec.structs import asdict

from services.billing.domain.usage import Usage

# A spreadsheet would take a cell that begins like this for a formula.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


class ExportForm(StrEnum):
    """What an export can look like."""

    CSV = "csv"
    JSON = "json"


MEDIA_TYPES = {ExportForm.CSV: "text/csv; charset=utf-8", ExportForm.JSON: "application/json"}

_names = Usage.__struct_fields__
_encoder = msgspec.json.Encoder()


def head(form: ExportForm) -> bytes:
    """What stands before the first row."""
    return b"[" if form is ExportForm.JSON else _lines([_names])


def part(form: ExportForm, rows: Sequence[Usage], *, is_first: bool) -> bytes:
    """Some rows."""
    if form is ExportForm.CSV:
        return _lines([tuple(map(_cell, asdict(row).values())) for row in rows])
    lines = b",\n".join(_encoder.encode(asdict(row)) for row in rows)
    return lines if is_first or not lines else b",\n" + lines


def tail(form: ExportForm) -> bytes:
    """What stands behind the last row."""
    return b"]\n" if form is ExportForm.JSON else b""


def _cell(value: object) -> str:
    if value is None:
        return ""
    if not isinstance(value, str):
        return str(value)
    return f"'{value}" if value.startswith(_FORMULA) else value


def _lines(rows: Sequence[Sequence[str]]) -> bytes:
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue().encode()
