"""Looks at an MP4 as it passes: whole, with a picture track, and of which size.

Only the `moov` box is kept for a moment; the frames pass. Sources: ISO 14496-12 (4.2 boxes, 8.2
movie, 8.3 tracks).
"""

from collections.abc import Callable, Iterator

from libs.runtime.pictures.cleaning import Cleaner
from libs.runtime.pictures.heads import NotAPictureError

MOVIE_BYTES_MAX = 16 * 1024 * 1024


class VideoCheck(Cleaner):
    """Lets all pass, box by box."""

    def __init__(self, require_sane: Callable[[int, int], None]) -> None:
        self.size: tuple[int, int] | None = None
        self._require_sane = require_sane
        self._head = bytearray()  # of the box that begins
        self._left = 0  # bytes of what is passing
        self._movie: bytearray | None = None
        self._goes_to_the_end = False
        self._has_frames = False

    def feed(self, chunk: bytes) -> bytes:
        place = 0
        while place < len(chunk):
            if self._goes_to_the_end:
                break
            if self._left:
                taken = min(self._left, len(chunk) - place)
                if self._movie is not None:
                    self._movie += chunk[place : place + taken]
                self._left -= taken
                place += taken
                self._end_movie()
            else:
                self._head.append(chunk[place])
                place += 1
                self._begin()
        return chunk

    def _begin(self) -> None:
        """A box, once its head is there: 32 bits of size, its kind, maybe 64 bits of size."""
        if len(self._head) < 8:
            return
        size, kind, used = int.from_bytes(self._head[:4], "big"), bytes(self._head[4:8]), 8
        if size == 1:
            if len(self._head) < 16:
                return
            size, used = int.from_bytes(self._head[8:16], "big"), 16
        self._head.clear()
        self._has_frames = self._has_frames or kind in {b"mdat", b"moof"}
        if size == 0:
            self._goes_to_the_end = True
            return
        if size < used:
            raise NotAPictureError("the MP4's boxes are damaged")
        self._left = size - used
        if kind == b"moov":
            if self._left > MOVIE_BYTES_MAX:
                raise NotAPictureError("the MP4's index is too large")
            self._movie = bytearray()
            self._end_movie()

    def _end_movie(self) -> None:
        if self._movie is not None and not self._left:
            self.size = _largest_track(bytes(self._movie))
            self._require_sane(*(self.size or (0, 0)))
            self._movie = None

    def close(self) -> bytes:
        if self._left or self._head or not self._has_frames:
            raise NotAPictureError("the MP4 is cut off")
        if self.size is None:
            raise NotAPictureError("the MP4 has no picture track")
        return b""


def _boxes(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    place = 0
    while place + 8 <= len(content):
        size = int.from_bytes(content[place : place + 4], "big")
        if size < 8 or place + size > len(content):
            raise NotAPictureError("the MP4's index is damaged")
        yield content[place + 4 : place + 8], content[place + 8 : place + size]
        place += size


def _largest_track(movie: bytes) -> tuple[int, int] | None:
    """Width and height of the largest track; sound has none."""
    sizes = [
        (int.from_bytes(header[-8:-6], "big"), int.from_bytes(header[-4:-2], "big"))
        for kind, track in _boxes(movie)
        if kind == b"trak"
        for inner, header in _boxes(track)
        if inner == b"tkhd" and len(header) >= 8
    ]
    shown = [(width, height) for width, height in sizes if width and height]
    if not shown:
        return None
    return max(shown, key=lambda each: each[0] * each[1])
