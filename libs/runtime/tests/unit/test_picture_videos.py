"""An MP4 as it passes: its size, and whether it is whole."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.simulators import videos
from libs.runtime.pictures.heads import MP4, NotAPictureError, inspect
from libs.runtime.pictures.videos import VideoCheck

VIDEO = videos.draw("test", 128, 72)


def passed(content: bytes, size: int = 65_536) -> VideoCheck:
    check = VideoCheck(lambda _width, _height: None)
    pieces = [content[place : place + size] for place in range(0, len(content), size)]
    assert b"".join(map(check.feed, pieces)) == content
    assert check.close() == b""
    return check


def box(kind: bytes, content: bytes = b"") -> bytes:
    return (len(content) + 8).to_bytes(4, "big") + kind + content


def test_its_beginning_tells_what_it_is() -> None:
    picture = inspect(VIDEO[:64])
    assert picture is not None
    assert (picture.content_type, picture.extension) == (MP4, "mp4")


@given(size=st.integers(1, 4_000))
def test_its_index_tells_the_size_however_it_is_cut(size: int) -> None:
    assert passed(VIDEO, size).size == (128, 72)


def test_an_index_in_front_and_a_long_box_are_read_too() -> None:
    at = VIDEO.index(b"moov") - 4
    frames = VIDEO[at - 1_000 : at]
    long = (1).to_bytes(4, "big") + b"mdat" + (16 + len(frames)).to_bytes(8, "big") + frames
    assert passed(VIDEO[:28] + VIDEO[at:] + long).size == (128, 72)
    endless = (0).to_bytes(4, "big") + b"mdat" + frames
    assert passed(VIDEO[:28] + VIDEO[at:] + endless).size == (128, 72)


@pytest.mark.parametrize("missing", [1, 100, 1_000, len(VIDEO) - 40])
def test_one_that_ends_early_is_refused(missing: int) -> None:
    with pytest.raises(NotAPictureError, match="cut off"):
        passed(VIDEO[:-missing])


@pytest.mark.parametrize(
    "content",
    [
        box(b"ftyp", bytes(20)) + box(b"mdat", bytes(9)),
        box(b"ftyp", bytes(20)) + box(b"mdat", bytes(9)) + box(b"moov"),
        box(b"ftyp", bytes(20)) + (3).to_bytes(4, "big") + b"mdat",
        box(b"moov", b"\0\0\0\xffabcd") + box(b"mdat"),
        (2**31).to_bytes(4, "big") + b"moov",
    ],
    ids=["no index", "no track", "a box of 3 bytes", "a broken index", "a huge index"],
)
def test_what_is_no_video_is_refused(content: bytes) -> None:
    with pytest.raises(NotAPictureError):
        passed(content)
