"""A provider's bill is read whole, or refused with the line where it is wrong."""

from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from services.billing.domain.bills import (
    FILE_BYTES_MAX,
    LINES_MAX,
    BadBillError,
    BillFormat,
    read_bill,
)

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
HEADER = "reference,time,model,amount_usd,status\n"
GOOD = "req-1,2026-11-20T10:00:00Z,gpt-image-1.5,0.034,succeeded\n"
USUAL = BillFormat()


def bill(*lines: str, header: str = HEADER) -> bytes:
    return (header + "".join(lines)).encode()


def test_lines_are_read_by_the_titles_of_their_columns() -> None:
    form = BillFormat(
        reference="Request ID",
        time="Created",
        amount="Credits",
        status="",
        model="Model",
        currency="Cur",
        time_form="unix_ms",
        unit_microusd=10_000,
    )
    content = (
        'Cur,Note,Credits,Created,Model,Request ID\r\nusd,"a, b\nc",3.5,1795168800123,m-1,r 1\r\n'
    )
    (line,) = read_bill(b"\xef\xbb\xbf" + content.encode(), form, NOW)
    assert (line.number, line.reference, line.model, line.status) == (3, "r 1", "m-1", "")
    assert line.at == datetime(2026, 11, 20, 10, 0, 0, 123_000, tzinfo=UTC)
    assert line.amount_microusd == 35_000


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        ("0", 0),
        ("0.034", 34_000),
        ("1E-5", 10),
        ("0.0000005", 0),
        ("0.0000015", 2),
        ("12.", 12_000_000),
        ("0.0000014999999999", 1),
        ("1000000", 10**12),
    ],
)
def test_amounts_are_whole_micro_dollars(cell: str, expected: int) -> None:
    (line,) = read_bill(bill(f"r,2026-11-20T10:00:00,m,{cell},ok\n"), USUAL, NOW)
    assert line.amount_microusd == expected
    assert line.at == datetime(2026, 11, 20, 10, tzinfo=UTC)


@pytest.mark.parametrize(("status", "is_free"), [("Failed", True), ("ok", False), ("", False)])
def test_a_status_may_say_that_nothing_is_charged(status: str, is_free: bool) -> None:
    (line,) = read_bill(bill(f"r,2026-11-20T10:00:00Z,m,0,{status}\n\n"), USUAL, NOW)
    assert line.is_free is is_free


REFUSED = {
    "empty": (b"", 1, "header is missing"),
    "only a header": (bill(), 1, "nothing below"),
    "wrong header": (b"a,b,c\n1,2,3\n", 1, "no column 'reference', 'time'"),
    "missing column": (bill(GOOD, header="reference,time,model,status\n"), 1, "'amount_usd'"),
    "duplicate header": (bill(GOOD, header=HEADER.replace("model", "time")), 1, "two columns"),
    "short row": (bill(GOOD, "req-2,2026-11-20T10:00:00Z\n"), 3, "2 cells below 5 columns"),
    "long row": (bill(GOOD, GOOD.replace("\n", ",more\n")), 3, "6 cells"),
    "bad number": (bill(GOOD, GOOD.replace("0.034", "0,034")), 3, "6 cells"),
    "words for a number": (bill(GOOD, GOOD.replace("0.034", "free")), 3, "'free' is no number"),
    "negative": (bill(GOOD, GOOD.replace("0.034", "-1")), 3, "no number of 0 or more"),
    "not a number": (bill(GOOD, GOOD.replace("0.034", "NaN")), 3, "no number"),
    "infinite": (bill(GOOD, GOOD.replace("0.034", "inf")), 3, "no number"),
    "too large": (bill(GOOD, GOOD.replace("0.034", "9e99")), 3, "too large"),
    "no amount": (bill(GOOD, GOOD.replace("0.034", "")), 3, "no number"),
    "other digits": (bill(GOOD, GOOD.replace("0.034", "٣")), 3, "no number"),
    "bad time": (bill(GOOD, GOOD.replace("2026-11-20T10", "20.11.2026")), 3, "cannot be read"),
    "time to come": (bill(GOOD, GOOD.replace("2026", "2027")), 3, "yet to come"),
    "first year": (bill(GOOD, GOOD.replace("2026-11-20T10:00:00Z", "0001-01-01T00:00:00+14:00")),
                   3, "cannot be read"),
    "no reference": (bill(GOOD, GOOD.replace("req-1", " ")), 3, "the reference is empty"),
    "long reference": (bill(GOOD, GOOD.replace("req-1", "r" * 201)), 3, "too long"),
    "escape": (bill(GOOD, GOOD.replace("req-1", "r\x1b[2J")), 3, "no plain text"),
    "NUL": (bill(GOOD, GOOD.replace("req-1", "r\0")), 3, "there is a NUL"),
    "UTF-16": ((HEADER + GOOD).encode("utf-16"), 1, "there is a NUL"),
    "Latin-1": (bill(GOOD) + GOOD.replace("req-1", "ré").encode("latin-1"), 3, "not UTF-8"),
    "Latin-1 with a mark": (b"\xef\xbb\xbf" + bill(GOOD) + b"\xe9", 3, "not UTF-8"),
    "open quote": (bill(GOOD, 'r,"2026\n', GOOD), 4, "this is not CSV"),
    "huge cell": (bill(GOOD, "r" * 200_000 + "\n"), 3, "this is not CSV"),
}  # fmt: skip


@pytest.mark.parametrize("content", REFUSED)
def test_a_bad_bill_is_refused_with_its_line(content: str) -> None:
    given, line, reason = REFUSED[content]
    with pytest.raises(BadBillError) as refusal:
        read_bill(given, USUAL, NOW)
    assert refusal.value.line == line
    assert reason in str(refusal.value)
    assert str(refusal.value).startswith(f"Line {line}: ")


def test_too_many_lines_are_refused_where_they_become_too_many() -> None:
    with pytest.raises(BadBillError) as refusal:
        read_bill(bill("r,2026-11-20,m,0,\n" * 1_000_000), USUAL, NOW)
    assert refusal.value.line == LINES_MAX + 2


def test_too_many_bytes_are_refused_where_they_become_too_many() -> None:
    padded = GOOD.replace("gpt-image-1.5", "m" * 1_000)
    count = FILE_BYTES_MAX // len(padded) + 1
    with pytest.raises(BadBillError) as refusal:
        read_bill(bill(padded * count), USUAL, NOW)
    assert abs(refusal.value.line - count) <= 1


def test_another_currency_is_refused() -> None:
    form = BillFormat(currency="status")
    with pytest.raises(BadBillError, match="Line 2: the currency is 'succeeded': only USD is read"):
        read_bill(bill(GOOD), form, NOW)


def test_seconds_since_1970() -> None:
    form = BillFormat(time_form="unix")
    (line,) = read_bill(bill("r,1795168800,m,1,\n"), form, NOW)
    assert line.at == NOW - timedelta(hours=26)
    for bad in ("1e9", "-1", "1.5", "99999999999999", ""):
        with pytest.raises(BadBillError, match="Line 2: the time"):
            read_bill(bill(f"r,{bad},m,1,\n"), form, NOW)


def test_a_format_that_means_nothing_is_refused() -> None:
    wrong: dict[str, object] = {
        "time_form": "odd",
        "unit_microusd": 0,
        "columns": {},
        "slack_seconds": -1,
    }
    for bad in ({name: value} for name, value in wrong.items()):
        with pytest.raises(msgspec.ValidationError):
            msgspec.convert(bad, BillFormat)
