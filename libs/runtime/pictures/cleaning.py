"""Takes out of a picture what says more than the picture: EXIF, XMP, comments, made-up texts.

It works on the stream, so a picture is never held. What stays is what is needed to show it:
pixels, colour profile, and of a photograph's EXIF its orientation. On the way it sees whether the
picture is whole: one that is cut off is refused.

Sources: JPEG (ITU-T T.81, annex B; Exif 2.32, 4.5), PNG (W3C, third edition, 11.3), WebP (RFC
9649).
"""

import struct
from typing import Protocol

from libs.runtime.pictures.heads import NotAPictureError

_JPEG_DROPPED = frozenset({0xE1, 0xED, 0xFE})  # Exif and XMP, Photoshop's, comments
_JPEG_SCAN = 0xDA
_JPEG_BARE = frozenset({0x01, *range(0xD0, 0xD9)})
_PNG_DROPPED = frozenset({b"eXIf", b"tEXt", b"zTXt", b"iTXt", b"tIME"})
_WEBP_DROPPED = frozenset({b"EXIF", b"XMP "})
_WEBP_FLAGS = 0b0000_1100  # of VP8X: EXIF and XMP are there
_ORIENTATION = 0x0112


class Cleaner(Protocol):
    """Takes a picture in chunks and gives it back without what is to be dropped."""

    size: tuple[int, int] | None = None  # known at its end, where its head does not tell it

    def feed(self, chunk: bytes) -> bytes:
        """The next of the picture.

        Raises:
            NotAPictureError: it is damaged.
        """
        ...

    def close(self) -> bytes:
        """What is left at its end.

        Raises:
            NotAPictureError: it is cut off.
        """
        ...


def cleaner(content_type: str) -> Cleaner:
    """For pictures of this type. GIF carries nothing worth the trouble and passes as it is."""
    makers: dict[str, type[Cleaner]] = {
        "image/png": PngCleaner,
        "image/jpeg": JpegCleaner,
        "image/webp": WebpCleaner,
    }
    return makers.get(content_type, GifCleaner)()


class GifCleaner(Cleaner):
    """Lets all pass, and looks for the trailer."""

    def __init__(self) -> None:
        self._last = b""

    def feed(self, chunk: bytes) -> bytes:
        self._last = chunk[-1:] or self._last
        return chunk

    def close(self) -> bytes:
        if self._last != b"\x3b":
            raise NotAPictureError("the GIF is cut off")
        return b""


class PngCleaner(Cleaner):
    """Chunk by chunk; the pixels pass without waiting for their chunk's end."""

    def __init__(self) -> None:
        self._waiting = bytearray()
        self._left = 8  # bytes of what is passing: first the signature
        self._kind = b""

    def feed(self, chunk: bytes) -> bytes:
        self._waiting += chunk
        out = bytearray()
        while self._waiting and not self._is_done:
            if self._left:
                taken = self._waiting[: self._left]
                del self._waiting[: self._left]
                self._left -= len(taken)
                out += taken if self._kind not in _PNG_DROPPED else b""
            elif len(self._waiting) < 8:
                break
            else:
                self._begin()
        return bytes(out)

    @property
    def _is_done(self) -> bool:
        """Past the last chunk; what follows is not the picture."""
        return self._kind == b"IEND" and self._left == 0

    def _begin(self) -> None:
        size, self._kind = int.from_bytes(self._waiting[:4], "big"), bytes(self._waiting[4:8])
        if size >= 2**31 or not self._kind.isalpha():
            raise NotAPictureError("the PNG's chunks are damaged")
        self._left = size + 12

    def close(self) -> bytes:
        if not self._is_done:
            raise NotAPictureError("the PNG is cut off")
        return b""


class JpegCleaner(Cleaner):
    """Segment by segment up to the first scan; from there on all passes."""

    def __init__(self) -> None:
        self._waiting = bytearray()
        self._is_in_scan = False
        self._has_begun = False
        self._tail = b""

    def feed(self, chunk: bytes) -> bytes:
        if self._is_past_segments():
            return self._passed(chunk)
        self._waiting += chunk
        out = bytearray()
        while (size := self._size_of_next()) and len(self._waiting) >= size:
            segment = bytes(self._waiting[:size])
            del self._waiting[:size]
            out += segment if segment[1] not in _JPEG_DROPPED else _oriented(segment)
            self._has_begun = True
        if self._is_past_segments():
            rest = bytes(self._waiting)
            self._waiting.clear()
            out += self._passed(rest)
        return bytes(out)

    def _is_past_segments(self) -> bool:
        return self._is_in_scan

    def _passed(self, chunk: bytes) -> bytes:
        self._tail = (self._tail + chunk)[-64:]
        return chunk

    def _size_of_next(self) -> int:
        """How long the next segment is; 0 before it can be told, and where the scan begins."""
        waiting = self._waiting
        if not self._has_begun:
            return 2
        while waiting[:2] == b"\xff\xff":
            del waiting[:1]  # a fill byte
        if len(waiting) < 4:
            return 0
        if waiting[0] != 0xFF:
            raise NotAPictureError("the JPEG's segments are damaged")
        self._is_in_scan = waiting[1] == _JPEG_SCAN
        if self._is_in_scan:
            return 0
        return 2 if waiting[1] in _JPEG_BARE else 2 + int.from_bytes(waiting[2:4], "big")

    def close(self) -> bytes:
        # Some writers pad behind the end mark.
        if not self._is_in_scan or b"\xff\xd9" not in self._tail:
            raise NotAPictureError("the JPEG is cut off")
        return b""


class WebpCleaner(Cleaner):
    """Its size stands in front, so nothing is taken out: what is dropped is made blank in place."""

    def __init__(self) -> None:
        self._waiting = bytearray()
        self._left = 0
        self._blanks = False
        self._expected = -1
        self._seen = 0

    def feed(self, chunk: bytes) -> bytes:
        self._seen += len(chunk)
        self._waiting += chunk
        out = bytearray()
        if self._expected < 0:
            if len(self._waiting) < 12:
                return b""
            self._expected = 8 + int.from_bytes(self._waiting[4:8], "little")
            out += self._waiting[:12]
            del self._waiting[:12]
        while self._waiting:
            if self._left:
                taken = self._waiting[: self._left]
                del self._waiting[: self._left]
                self._left -= len(taken)
                out += bytes(len(taken)) if self._blanks else taken
            elif len(self._waiting) < 9:
                break
            else:
                self._begin(out)
        return bytes(out)

    def _begin(self, out: bytearray) -> None:
        head = bytes(self._waiting[:8])
        kind, size = head[:4], int.from_bytes(head[4:8], "little")
        self._blanks = kind in _WEBP_DROPPED
        out += b"JUNK" + head[4:] if self._blanks else head
        del self._waiting[:8]
        self._left = size + size % 2
        if kind == b"VP8X":
            out.append(self._waiting[0] & ~_WEBP_FLAGS)
            del self._waiting[:1]
            self._left -= 1

    def close(self) -> bytes:
        if self._expected < 0 or self._seen < self._expected or self._left > 1:
            raise NotAPictureError("the WebP is cut off")
        rest = bytes(self._waiting)
        self._waiting.clear()
        return rest


def _oriented(segment: bytes) -> bytes:
    """An Exif segment that says how the picture is held, and nothing else; none if it need not."""
    orientation = _orientation(segment)
    if orientation in {0, 1}:
        return b""
    body = struct.pack(
        ">6s2sHIHHHIHHI", b"Exif\0\0", b"MM", 42, 8, 1, _ORIENTATION, 3, 1, orientation, 0, 0
    )
    return b"\xff\xe1" + (len(body) + 2).to_bytes(2, "big") + body


def _orientation(segment: bytes) -> int:
    """The orientation in an Exif segment (1 to 8), 0 if there is none that can be read."""
    tiff = segment[10:]
    if segment[1] != 0xE1 or segment[4:10] != b"Exif\0\0" or tiff[:2] not in {b"MM", b"II"}:
        return 0
    order = ">" if tiff[:2] == b"MM" else "<"
    try:
        (place,) = struct.unpack_from(order + "I", tiff, 4)
        (count,) = struct.unpack_from(order + "H", tiff, place)
        for number in range(count):
            tag, _, _, value = struct.unpack_from(order + "HHIH", tiff, place + 2 + 12 * number)
            if tag == _ORIENTATION:
                return value if 1 <= value <= 8 else 0
    except struct.error:
        pass
    return 0
