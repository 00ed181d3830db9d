"""A picture as it comes in: known by its head, freed of what says more, whole at its end."""

from collections.abc import AsyncIterator

from libs.runtime.pictures.cleaning import Cleaner, cleaner
from libs.runtime.pictures.drawings import DrawingCheck
from libs.runtime.pictures.heads import (
    MP4,
    PICTURES,
    SVG,
    NotAPictureError,
    Picture,
    inspect,
)
from libs.runtime.pictures.videos import VideoCheck


class Content:
    """All of a picture, cleaned, to be read once.

    Raises, as it is read:
        NotAPictureError: it is damaged, too large, or cut off.
    """

    def __init__(
        self, picture: Picture, clean: Cleaner, head: bytes, rest: AsyncIterator[bytes]
    ) -> None:
        self._picture = picture
        self._clean = clean
        self._head = head
        self._rest = rest

    @property
    def size(self) -> tuple[int, int]:
        """Width and height; of a drawing or a video once it has been read."""
        return self._clean.size or (self._picture.width, self._picture.height)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield self._clean.feed(self._head)
        async for chunk in self._rest:
            yield self._clean.feed(chunk)
        yield self._clean.close()


async def begin(
    stream: AsyncIterator[bytes],
    *,
    side_pixels_max: int,
    pixels_max: int,
    taken: frozenset[str] = PICTURES,
) -> tuple[Picture, Content]:
    """What the picture is, and all of it, cleaned; only its head has been read.

    A small file can unfold into a picture that no viewer of it survives: its size says so first.
    Only types that are `taken` are: drawings and videos if they are asked for.

    Raises, also as the picture is read:
        NotAPictureError: it is none, too large a one, or cut off.
    """
    head, picture = await _read_head(stream)
    if picture.content_type not in taken:
        raise NotAPictureError(f"{picture.content_type} is not taken")

    def require_sane(width: int, height: int) -> None:
        if max(width, height) > side_pixels_max or width * height > pixels_max:
            raise NotAPictureError(f"a picture of {width} x {height} pixels is too large")

    require_sane(picture.width, picture.height)
    clean = cleaner(picture.content_type)
    if picture.content_type == SVG:
        clean = DrawingCheck(require_sane)
    elif picture.content_type == MP4:
        clean = VideoCheck(require_sane)
    return picture, Content(picture, clean, head, stream)


async def _read_head(stream: AsyncIterator[bytes]) -> tuple[bytes, Picture]:
    head, looked_at = b"", 0
    async for chunk in stream:
        head += chunk
        if len(head) < 2 * looked_at:  # whoever sends byte by byte makes nobody look at each
            continue
        looked_at = len(head)
        picture = inspect(head)
        if picture is not None:
            return head, picture
    picture = inspect(head, is_whole=True)
    if picture is None:
        raise NotAPictureError("the picture is cut off")
    return head, picture
