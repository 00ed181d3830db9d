"""What the first bytes of a picture say about it. The content decides, whatever a provider claims.

Of a drawing and of a video the size is known when all of it has passed: `drawings.py`, `videos.py`.
Sources: PNG (W3C, third edition, 5.2 and 11.2.1), JPEG (ITU-T T.81, annex B),
WebP (RFC 9649), GIF89a (section 18), ISO 14496-12 (4.3), SVG 2 (5.1).
"""

import re

from msgspec import Struct

HEAD_BYTES_MAX = 256 * 1024  # a JPEG's size may stand behind its colour profile and thumbnail

MP4 = "video/mp4"
SVG = "image/svg+xml"
SIZED_AT_END = frozenset({MP4, SVG})
PICTURES = frozenset({"image/png", "image/jpeg", "image/webp", "image/gif"})
ALL = PICTURES | SIZED_AT_END

_BOM = b"\xef\xbb\xbf"
_BLANK = b" \t\r\n"
# What may stand before the root element, and how each of it ends.
_PROLOGUE = ((b"<?", b"?>"), (b"<!--", b"-->"), (b"<!", b">"))
_SPACE = re.compile(rb"[ \t\r\n]*")
_ROOT = re.compile(rb"<(\w+)[\s/>]")  # its whole name must be there
_PNG = b"\x89PNG\r\n\x1a\n"
_JPEG = b"\xff\xd8\xff"
_GIFS = (b"GIF87a", b"GIF89a")
_SIGNATURE_BYTES = 30
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_BARE = frozenset({0x01, *range(0xD0, 0xDA)})


class NotAPictureError(ValueError):
    """The bytes are not of a picture format that we store."""


class Picture(Struct, frozen=True, kw_only=True, gc=False):
    """Type and size of a picture; the sides are 0 where only its end tells them."""

    content_type: str
    extension: str
    width: int
    height: int


def inspect(head: bytes, *, is_whole: bool = False) -> Picture | None:
    """The picture that starts with these bytes, or None when more of it must be seen.

    Raises:
        NotAPictureError: no bytes to come could make it one, or `is_whole` and it is cut off.
    """
    if len(head) >= _SIGNATURE_BYTES:
        picture = _inspect(head)
        if picture is not None:
            if picture.content_type not in SIZED_AT_END and not (picture.width and picture.height):
                raise NotAPictureError("the picture is empty")
            return picture
    if is_whole or len(head) >= HEAD_BYTES_MAX:
        raise NotAPictureError("the picture is cut off before its size")
    return None


def _inspect(head: bytes) -> Picture | None:
    if head.startswith(_JPEG):
        return _jpeg(head)
    if head.startswith(_PNG) and head[12:16] == b"IHDR":
        return _picture("png", _big(head, 16, 4), _big(head, 20, 4))
    if head.startswith(_GIFS):
        return _picture("gif", _little(head, 6, 2), _little(head, 8, 2))
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return _webp(head)
    if head[4:8] == b"ftyp":
        return Picture(content_type=MP4, extension="mp4", width=0, height=0)
    if head.removeprefix(_BOM).lstrip(_BLANK).startswith(b"<"):
        return _drawing(head)
    raise NotAPictureError("the bytes are neither PNG, JPEG, WebP, GIF, SVG nor MP4")


def _drawing(head: bytes) -> Picture | None:
    """An SVG, if its root is one; comments and a declaration may stand before it."""
    place = _behind_prologue(head)
    root = None if place is None else _ROOT.match(head, place)
    if root is None:
        return None
    if root[1] != b"svg":
        raise NotAPictureError("the bytes are markup, but no SVG")
    return Picture(content_type=SVG, extension="svg", width=0, height=0)


def _behind_prologue(head: bytes) -> int | None:
    """Where the root element starts, or None when that lies behind what we have.

    Each byte is looked at once: one expression for all of it would try every way to part them.
    """
    place = len(_BOM) if head.startswith(_BOM) else 0
    while True:
        place = _SPACE.match(head, place).end()  # type: ignore[union-attr]  # also of no bytes
        for opens, closes in _PROLOGUE:
            if head.startswith(opens, place):
                end = head.find(closes, place + len(opens))
                if end < 0:
                    return None
                place = end + len(closes)
                break
        else:
            return place


def _jpeg(head: bytes) -> Picture | None:
    """Walk over the segments to the frame header; None when it lies behind what we have."""
    place = 2
    while place + 9 <= len(head):
        if head[place] != 0xFF:
            raise NotAPictureError("the JPEG's segments are damaged")
        marker = head[place + 1]
        if marker == 0xFF:  # a fill byte
            place += 1
        elif marker in _BARE:
            place += 2
        elif marker in _FRAMES:
            return _picture("jpeg", _big(head, place + 7, 2), _big(head, place + 5, 2))
        else:
            place += 2 + _big(head, place + 2, 2)
    return None


def _webp(head: bytes) -> Picture:
    kind = head[12:16]
    if kind == b"VP8X":
        return _picture("webp", _little(head, 24, 3) + 1, _little(head, 27, 3) + 1)
    if kind == b"VP8L":
        bits = _little(head, 21, 4)
        return _picture("webp", (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1)
    if kind == b"VP8 ":
        return _picture("webp", _little(head, 26, 2) & 0x3FFF, _little(head, 28, 2) & 0x3FFF)
    raise NotAPictureError("the WebP holds no picture")


def _picture(kind: str, width: int, height: int) -> Picture:
    extension = "jpg" if kind == "jpeg" else kind
    return Picture(content_type=f"image/{kind}", extension=extension, width=width, height=height)


def _big(head: bytes, place: int, size: int) -> int:
    return int.from_bytes(head[place : place + size], "big")


def _little(head: bytes, place: int, size: int) -> int:
    return int.from_bytes(head[place : place + size], "little")
