"""An SVG as it passes: its size, and that nothing in it acts or leads elsewhere."""

import pytest

from infra.simulators import drawings
from libs.runtime.pictures.drawings import DrawingCheck
from libs.runtime.pictures.heads import SVG, NotAPictureError, inspect

NAMESPACE = 'xmlns="http://www.w3.org/2000/svg"'


def passed(content: bytes, size: int = 7) -> tuple[int, int] | None:
    check = DrawingCheck(lambda _width, _height: None)
    for place in range(0, len(content), size):
        check.feed(content[place : place + size])
    check.close()
    return check.size


def drawing(inside: str = "", attributes: str = 'width="40" height="30"') -> bytes:
    return f"<svg {NAMESPACE} {attributes}>{inside}</svg>".encode()


@pytest.mark.parametrize(
    "content",
    [
        drawings.draw("test", 40, 30),
        b'\xef\xbb\xbf<?xml version="1.0"?>\n<!-- made by hand -->\n' + drawing(),
        b"<!DOCTYPE svg PUBLIC '-//W3C//DTD SVG 1.1//EN' 'http://www.w3.org/x.dtd'>" + drawing(),
    ],
)
def test_its_beginning_tells_what_it_is(content: bytes) -> None:
    picture = inspect(content)
    assert picture is not None
    assert (picture.content_type, picture.extension) == (SVG, "svg")
    assert passed(content) == (40, 30)


def test_markup_of_another_kind_is_none() -> None:
    with pytest.raises(NotAPictureError, match="no SVG"):
        inspect(b"<!doctype html><html><body>Bad gateway</body></html>")


@pytest.mark.parametrize(
    ("attributes", "size"),
    [
        ('width="12.6px" height="8"', (13, 8)),
        ('viewBox="0 0 640 480"', (640, 480)),
        ('width="100%" height="100%" viewBox="0,0,64,48"', (64, 48)),
        ("", (300, 150)),
    ],
)
def test_the_size_is_what_viewers_show(attributes: str, size: tuple[int, int]) -> None:
    assert passed(drawing(attributes=attributes)) == size


@pytest.mark.parametrize(
    "inside",
    [
        "<script>alert(1)</script>",
        '<rect onload="alert(1)"/>',
        "<foreignObject><b/></foreignObject>",
        '<image href="https://example.org/a.png"/>',
        '<use xmlns:xlink="http://www.w3.org/1999/xlink" xlink:href="//example.org/a"/>',
        '<rect fill="url(https://example.org/a)"/>',
        "<style>@import 'https://example.org/a.css';</style>",
        '<a href="#x"/>',
        '<set attributeName="href" to="javascript:alert(1)"/>',
    ],
)
def test_one_that_acts_or_leads_elsewhere_is_refused(inside: str) -> None:
    with pytest.raises(NotAPictureError):
        passed(drawing(inside))


def test_what_stays_inside_may_stay() -> None:
    inside = '<rect fill="url(#p)"/><use href="#r"/><image href="data:image/png;base64,aGk="/>'
    assert passed(drawing(inside + "<style>rect { fill: red }</style>")) == (40, 30)


@pytest.mark.parametrize(
    "content",
    [
        drawing()[:-3],
        b"<!DOCTYPE svg [<!ENTITY a 'aaaa'>]>" + drawing("&a;"),
        b"<?xml-stylesheet href='https://example.org/a.css'?>" + drawing(),
        drawing(attributes='width="0" height="5"'),
        b"<svg " + NAMESPACE.encode() + b">" + b"<g>" * 300,
    ],
    ids=["cut off", "entities", "stylesheet", "empty", "deep"],
)
def test_one_that_is_not_sound_is_refused(content: bytes) -> None:
    with pytest.raises(NotAPictureError):
        passed(content)
