"""How an asset is served: full, in part, not again."""

import msgspec
import pytest

from libs.events.testing import NOW, stored_image
from services.gallery.domain.delivery import (
    Conditions,
    Delivery,
    Span,
    UnsatisfiableRangeError,
    decide_delivery,
    parse_range,
)
from services.gallery.domain.pictures import Asset

IMAGE = stored_image(b"0123456789")
ASSET = Asset(
    key=IMAGE.key,
    sha256=IMAGE.sha256,
    content_type="image/png",
    size_bytes=10,
    width=4,
    height=4,
    stored_at=NOW,
)
TAG = f'"{IMAGE.sha256}"'


@pytest.mark.parametrize(
    ("header", "first", "last"),
    [
        ("bytes=0-0", 0, 0),
        ("bytes=0-3", 0, 3),
        ("bytes=4-", 4, 9),
        ("bytes=9-9", 9, 9),
        ("bytes=4-4000", 4, 9),
        ("bytes=-3", 7, 9),
        ("bytes=-10", 0, 9),
        ("bytes=-4000", 0, 9),
        ("Bytes = 1-2", 1, 2),
    ],
)
def test_a_range_is_cut_to_the_object(header: str, first: int, last: int) -> None:
    assert parse_range(header, 10) == Span(first, last)


@pytest.mark.parametrize(
    "header",
    [
        "",
        "bytes",
        "bytes=",
        "bytes=-",
        "bytes=3-2",
        "bytes=a-b",
        "bytes=0-1,3-4",
        "bytes=--1",
        "bytes=1.5-2",
        "bytes=\u00b2-",
        "lines=0-1",
        f"bytes=0-{'9' * 5000}",
    ],
)
def test_a_range_that_cannot_be_read_is_ignored(header: str) -> None:
    assert parse_range(header, 10) is None


@pytest.mark.parametrize("header", ["bytes=10-", "bytes=10-20", "bytes=-0", "bytes=999999999999-"])
def test_a_range_without_a_byte_is_refused(header: str) -> None:
    with pytest.raises(UnsatisfiableRangeError):
        parse_range(header, 10)


@pytest.mark.parametrize("header", ["bytes=0-", "bytes=-1", "bytes=0-0"])
def test_an_empty_object_has_no_range(header: str) -> None:
    with pytest.raises(UnsatisfiableRangeError):
        parse_range(header, 0)


def public(asset: Asset, conditions: Conditions) -> Delivery:
    """How a picture is served that everybody may see."""
    return decide_delivery(asset, conditions, is_public=True)


def test_a_whole_asset_is_described_by_its_row() -> None:
    delivery = public(ASSET, Conditions())
    assert delivery.status == 200
    assert delivery.sent == Span(0, 9)
    assert delivery.headers == {
        "ETag": TAG,
        "Cache-Control": "public, max-age=31536000, immutable",
        "Accept-Ranges": "bytes",
        "Access-Control-Expose-Headers": "Accept-Ranges, Content-Length, Content-Range, ETag",
        "X-Content-Type-Options": "nosniff",
        "CDN-Cache-Control": "public, max-age=300",
        "Content-Security-Policy": "default-src 'none'; sandbox",
        "Last-Modified": "Fri, 02 Jan 2026 03:04:06 GMT",
        "Content-Type": "image/png",
        "Content-Length": "10",
    }


def test_an_empty_asset_has_headers_and_nothing_to_send() -> None:
    empty = public(msgspec.structs.replace(ASSET, size_bytes=0), Conditions())
    assert (empty.status, empty.sent) == (200, None)
    assert empty.headers["Content-Length"] == "0"


def test_a_part_says_where_it_lies() -> None:
    delivery = public(ASSET, Conditions(range="bytes=2-5"))
    assert delivery.status == 206
    assert delivery.sent == Span(2, 5)
    assert delivery.headers["Content-Range"] == "bytes 2-5/10"
    assert delivery.headers["Content-Length"] == "4"


def test_a_refused_range_says_how_long_the_asset_is_and_is_not_cached() -> None:
    delivery = public(ASSET, Conditions(range="bytes=10-"))
    assert delivery.status == 416
    assert delivery.sent is None
    assert delivery.headers["Content-Range"] == "bytes */10"
    assert delivery.headers["Cache-Control"] == "no-store"
    assert delivery.headers["CDN-Cache-Control"] == "no-store"


def test_what_not_everybody_may_see_is_kept_by_browsers_alone() -> None:
    headers = decide_delivery(ASSET, Conditions(), is_public=False).headers
    assert headers["Cache-Control"] == "private, max-age=31536000, immutable"
    assert headers["CDN-Cache-Control"] == "no-store"


@pytest.mark.parametrize("tags", [TAG, f"W/{TAG}", f'"other", {TAG}', "*", f' {TAG} ,"other"'])
def test_what_a_client_holds_is_not_sent_again(tags: str) -> None:
    delivery = public(ASSET, Conditions(if_none_match=tags, range="bytes=0-1"))
    assert delivery.status == 304
    assert delivery.sent is None
    assert delivery.headers["ETag"] == TAG
    assert "Content-Length" not in delivery.headers


@pytest.mark.parametrize("tags", ['"other"', IMAGE.sha256, ""])
def test_what_a_client_does_not_hold_is_sent(tags: str) -> None:
    assert public(ASSET, Conditions(if_none_match=tags)).status == 200


@pytest.mark.parametrize(
    ("if_range", "status"),
    [(TAG, 206), (f"W/{TAG}", 200), ('"other"', 200), ("Fri, 02 Jan 2026 03:04:05 GMT", 200)],
)
def test_a_continued_download_needs_the_same_content(if_range: str, status: int) -> None:
    delivery = public(ASSET, Conditions(range="bytes=2-5", if_range=if_range))
    assert delivery.status == status


@pytest.mark.parametrize(
    ("since", "status"),
    [
        ("Fri, 02 Jan 2026 03:04:06 GMT", 304),
        ("Fri, 02 Jan 2026 03:04:07 GMT", 304),
        ("Fri, 02 Jan 2026 03:04:05 GMT", 200),  # stored in the middle of that second
        ("yesterday", 200),
        ("", 200),
    ],
)
def test_a_date_decides_where_no_tag_was_sent(since: str, status: int) -> None:
    answer = public(ASSET, Conditions(if_modified_since=since))
    assert answer.status == status
    assert answer.headers["Last-Modified"] == "Fri, 02 Jan 2026 03:04:06 GMT"
    other = Conditions(if_modified_since="Fri, 02 Jan 2026 03:04:07 GMT", if_none_match='"other"')
    assert public(ASSET, other).status == 200


@pytest.mark.parametrize(
    "content_type", ["text/html", "image/svg+xml", "application/xhtml+xml", "text/xml", "IMAGE/PNG"]
)
def test_what_could_run_in_a_browser_is_saved_and_not_shown(content_type: str) -> None:
    asset = msgspec.structs.replace(ASSET, content_type=content_type)
    headers = public(asset, Conditions()).headers
    assert headers["Content-Disposition"] == "attachment"
    assert headers["Content-Security-Policy"] == "default-src 'none'; sandbox"
    shown = public(ASSET, Conditions()).headers
    assert "Content-Disposition" not in shown
    assert shown["Content-Security-Policy"] == "default-src 'none'; sandbox"
