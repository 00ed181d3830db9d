"""Type and size of a picture out of its first bytes."""

import io
from collections.abc import AsyncIterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from libs.runtime.pictures import streams
from libs.runtime.pictures.heads import (
    HEAD_BYTES_MAX,
    SVG,
    NotAPictureError,
    Picture,
    inspect,
)

FORMATS = {
    "PNG": ("image/png", "png"),
    "JPEG": ("image/jpeg", "jpg"),
    "GIF": ("image/gif", "gif"),
    "WEBP": ("image/webp", "webp"),
}


def encoded(kind: str, width: int, height: int, **options: object) -> bytes:
    content = io.BytesIO()
    Image.new("RGB", (width, height), (9, 99, 199)).save(content, kind, **options)
    return content.getvalue()


@pytest.mark.parametrize("kind", FORMATS)
@given(width=st.integers(1, 300), height=st.integers(1, 300))
def test_every_format_tells_its_type_and_size(kind: str, width: int, height: int) -> None:
    content_type, extension = FORMATS[kind]
    assert inspect(encoded(kind, width, height), is_whole=True) == Picture(
        content_type=content_type, extension=extension, width=width, height=height
    )


@pytest.mark.parametrize(
    "content",
    [
        encoded("WEBP", 33, 44, lossless=True),
        encoded("WEBP", 33, 44, exif=b"Exif\x00\x00II*\x00\x08\x00\x00\x00\x00\x00"),
        encoded("JPEG", 33, 44, progressive=True),
    ],
    ids=["lossless webp", "extended webp", "progressive jpeg"],
)
def test_variants_of_a_format_are_read_too(content: bytes) -> None:
    picture = inspect(content)
    assert picture is not None
    assert (picture.width, picture.height) == (33, 44)


def test_a_size_behind_a_long_profile_is_waited_for() -> None:
    content = encoded("JPEG", 33, 44, icc_profile=b"p" * 100_000)
    assert inspect(content[:60_000]) is None
    picture = inspect(content)
    assert picture is not None
    assert (picture.width, picture.height) == (33, 44)


@pytest.mark.parametrize("kind", FORMATS)
def test_a_picture_cut_off_before_its_size_is_refused(kind: str) -> None:
    head = encoded(kind, 33, 44)[:12]
    assert inspect(head) is None
    with pytest.raises(NotAPictureError):
        inspect(head, is_whole=True)


@given(st.binary(max_size=200))
def test_other_bytes_are_refused_and_nothing_else_is_raised(content: bytes) -> None:
    for start in (b"", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"RIFF....WEBPVP8 ", b"GIF89a"):
        try:
            inspect(start + content, is_whole=True)
        except NotAPictureError:
            continue


def test_an_endless_head_is_refused() -> None:
    segment = b"\xff\xe1\xff\xff" + b"x" * 65_533
    with pytest.raises(NotAPictureError):
        inspect((b"\xff\xd8" + segment * 5)[: HEAD_BYTES_MAX + 1])


def test_a_page_in_place_of_a_picture_is_refused() -> None:
    with pytest.raises(NotAPictureError, match="no SVG"):
        inspect(b"<!doctype html><title>Too many requests</title>")


@pytest.mark.parametrize("piece", [b"<?a?>", b"<!---->", b"<!>", b"<?a?> \n"])
def test_a_long_prologue_is_looked_at_once(piece: bytes) -> None:
    """An expression that tries every way to part it would take longer than the world has been."""
    prologue = piece * (HEAD_BYTES_MAX // len(piece) - 8)
    assert inspect(prologue + b"<x") is None
    found = inspect(b"\xef\xbb\xbf " + prologue + b"<svg >")
    assert found is not None
    assert found.content_type == SVG


async def test_whoever_sends_byte_by_byte_makes_nobody_look_at_each(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    looks = 0

    def counted(head: bytes, *, is_whole: bool = False) -> Picture | None:
        nonlocal looks
        looks += 1
        return inspect(head, is_whole=is_whole)

    async def drops() -> AsyncIterator[bytes]:
        for _ in range(50_000):
            yield b"<" if looks == 0 else b" "

    monkeypatch.setattr(streams, "inspect", counted)
    with pytest.raises(NotAPictureError):
        await streams.begin(drops(), side_pixels_max=100, pixels_max=100)
    assert looks < 20
