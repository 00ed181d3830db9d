"""Bills of providers as files of comma-separated values: which column is what, and their lines."""

import csv
import io
import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from decimal import ROUND_HALF_EVEN, Decimal, localcontext
from typing import Annotated, Final

from msgspec import Meta, Struct

FILE_BYTES_MAX: Final = 32 * 1024 * 1024
LINES_MAX: Final = 100_000
CELL_CHARS_MAX: Final = 200
AMOUNT_MICROUSD_MAX: Final = 10**12  # a million dollars for one call is a mistake
_AMOUNT: Final = re.compile(r"\d{1,13}(\.\d{0,18})?([eE][+-]?\d{1,2})?", re.ASCII)
_WHOLE: Final = re.compile(r"\d{1,14}", re.ASCII)


class BillFormat(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which columns of a provider's file mean what. Columns that are not named mean nothing.

    A column is called by its title; "" stands for one that the provider does not have.
    """

    reference: str = "reference"  # the provider's own name of the call
    time: str = "time"
    model: str = "model"
    amount: str = "amount_usd"
    status: str = "status"
    currency: str = ""  # if there is such a column, every line must say `USD`
    # ISO 8601, or of seconds or milliseconds since 1970. Without an offset it is UTC.
    time_form: Annotated[str, Meta(pattern="^(iso|unix|unix_ms)$")] = "iso"
    unit_microusd: Annotated[int, Meta(ge=1, le=10**9)] = 1_000_000  # what 1 in `amount` is worth
    free_statuses: tuple[str, ...] = ("failed", "cancelled", "canceled", "error", "refused")
    tolerance_microusd: Annotated[int, Meta(ge=0)] = 0  # what our figure may be off
    slack_seconds: Annotated[int, Meta(ge=0, le=86_400)] = 60  # what clocks may be off

    @property
    def columns(self) -> dict[str, str]:
        """By what it means, the title of each column that there is."""
        named = {
            "reference": self.reference,
            "time": self.time,
            "model": self.model,
            "amount": self.amount,
            "status": self.status,
            "currency": self.currency,
        }
        return {meaning: title for meaning, title in named.items() if title}


class BillLine(Struct, frozen=True, kw_only=True, gc=False):
    """One call as the provider lists it."""

    number: int  # in the file, the header being 1
    reference: str
    at: datetime
    model: str
    amount_microusd: int
    status: str
    is_free: bool  # by its status, it costs nothing


class BadBillError(ValueError):
    """The file cannot be taken; nothing of it is. `line` is where, the header being 1."""

    def __init__(self, line: int, reason: str) -> None:
        super().__init__(f"Line {line}: {reason}")
        self.line = line


def read_bill(content: bytes, form: BillFormat, latest: datetime) -> list[BillLine]:
    """The lines of a file, all of them right, and none of a time after `latest`.

    Raises:
        BadBillError: the first thing in it that is not.
    """
    text = _text(content)
    rows = csv.reader(io.StringIO(text, newline=""), strict=True)
    places = _places(_next(rows), form)
    lines: list[BillLine] = []
    while (row := _next(rows)) is not None:
        if not row:
            continue  # a blank line, as many files end with
        if len(lines) == LINES_MAX:
            raise BadBillError(
                rows.line_num, f"there are more than {LINES_MAX:,} lines: split the file"
            )
        line = _line(rows.line_num, row, places, form)
        if line.at > latest:
            raise BadBillError(line.number, f"the time {line.at.isoformat()} is yet to come")
        lines.append(line)
    if not lines:
        raise BadBillError(rows.line_num or 1, "there is nothing below the header")
    return lines


class _Places(Struct, frozen=True):
    """Where in a row to look for what."""

    of: dict[str, int]
    width: int


def _text(content: bytes) -> str:
    if len(content) > FILE_BYTES_MAX:
        line = content.count(b"\n", 0, FILE_BYTES_MAX) + 1
        raise BadBillError(line, f"there are more than {FILE_BYTES_MAX:,} bytes: split the file")
    nul = content.find(b"\0")
    if nul >= 0:
        raise BadBillError(content.count(b"\n", 0, nul) + 1, "there is a NUL: save it as UTF-8")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        # Its own position is behind the mark that a file may begin with.
        place = error.start + len(content) - len(error.object)
        line = content.count(b"\n", 0, place) + 1
        raise BadBillError(line, "this is not UTF-8: save it as UTF-8") from error


def _next(rows: "Iterator[list[str]]") -> list[str] | None:
    try:
        return next(rows, None)
    except csv.Error as error:
        line: int = rows.line_num  # type: ignore[attr-defined]  # of csv's readers
        raise BadBillError(line, f"this is not CSV: {error}") from error


def _places(header: Sequence[str] | None, form: BillFormat) -> _Places:
    if not header:
        raise BadBillError(1, "the header is missing: name the columns in the first line")
    titles = [each.strip() for each in header]
    twice = next((each for each in titles if titles.count(each) > 1), None)
    if twice is not None:
        raise BadBillError(1, f"two columns are called {_shown(twice)}: rename one")
    missing = [title for title in form.columns.values() if title not in titles]
    if missing:
        wanted = ", ".join(map(_shown, missing))
        raise BadBillError(1, f"there is no column {wanted}: add it, or correct the format")
    of = {meaning: titles.index(title) for meaning, title in form.columns.items()}
    return _Places(of, len(titles))


def _line(number: int, row: Sequence[str], places: _Places, form: BillFormat) -> BillLine:
    if len(row) != places.width:
        raise BadBillError(number, f"there are {len(row)} cells below {places.width} columns")
    cells = {meaning: row[place].strip() for meaning, place in places.of.items()}
    for meaning, cell in cells.items():
        if len(cell) > CELL_CHARS_MAX or not cell.isprintable():
            raise BadBillError(number, f"the {meaning} is too long, or no plain text")
    if "reference" in cells and not cells["reference"]:
        raise BadBillError(number, "the reference is empty")
    if "currency" in cells and cells["currency"].upper() != "USD":
        raise BadBillError(number, f"the currency is {_shown(cells['currency'])}: only USD is read")
    status = cells.get("status", "")
    return BillLine(
        number=number,
        reference=cells.get("reference", ""),
        at=_time(number, cells.get("time", ""), form.time_form),
        model=cells.get("model", ""),
        amount_microusd=_amount(number, cells.get("amount", ""), form.unit_microusd),
        status=status,
        is_free=status.lower() in form.free_statuses,
    )


def _time(number: int, cell: str, form: str) -> datetime:
    try:
        if form == "iso":
            at = datetime.fromisoformat(cell)
            at = at if at.tzinfo else at.replace(tzinfo=UTC)
            return at.astimezone(UTC)
        whole = int(_WHOLE.fullmatch(cell)[0])  # type: ignore[index]  # none: it is refused below
        seconds, micros = (whole, 0) if form == "unix" else divmod(whole * 1_000, 1_000_000)
        return datetime.fromtimestamp(seconds, UTC).replace(microsecond=micros)
    except (ValueError, TypeError, OverflowError, OSError):
        raise BadBillError(number, f"the time {_shown(cell)} cannot be read") from None


def _amount(number: int, cell: str, unit_microusd: int) -> int:
    """Whole micro-USD; what is finer is rounded, half to even, line by line."""
    if not _AMOUNT.fullmatch(cell):
        raise BadBillError(number, f"the amount {_shown(cell)} is no number of 0 or more")
    with localcontext(prec=100):  # nothing is rounded but once
        amount = (Decimal(cell) * unit_microusd).to_integral_value(ROUND_HALF_EVEN)
    if amount > AMOUNT_MICROUSD_MAX:
        raise BadBillError(number, f"the amount {_shown(cell)} is too large")
    return int(amount)


def _shown(cell: str) -> str:
    return repr(cell if len(cell) <= 40 else f"{cell[:40]}...")
