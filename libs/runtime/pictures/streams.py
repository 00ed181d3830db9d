"""A picture as it comes in: known by its head, freed of what says more, whole at its end."""

from collections.abc import AsyncIterator

from libs.runtime.pictures.cleaning import cleaner
from libs.runtime.pictures.heads import NotAPictureError, Picture, inspect


async def begin(
    stream: AsyncIterator[bytes], *, side_pixels_max: int, pixels_max: int
) -> tuple[Picture, AsyncIterator[bytes]]:
    """What the picture is, and all of it, cleaned; only its head has been read.

    A small file can unfold into a picture that no viewer of it survives: its size says so first.

    Raises, also as the picture is read:
        NotAPictureError: it is none, too large a one, or cut off.
    """
    head, picture = await _read_head(stream)
    width, height = picture.width, picture.height
    if max(width, height) > side_pixels_max or width * height > pixels_max:
        raise NotAPictureError(f"a picture of {width} x {height} pixels is too large")
    return picture, _cleaned(picture, head, stream)


async def _read_head(stream: AsyncIterator[bytes]) -> tuple[bytes, Picture]:
    head = b""
    async for chunk in stream:
        head += chunk
        picture = inspect(head)
        if picture is not None:
            return head, picture
    picture = inspect(head, is_whole=True)
    if picture is None:
        raise NotAPictureError("the picture is cut off")
    return head, picture


async def _cleaned(
    picture: Picture, head: bytes, rest: AsyncIterator[bytes]
) -> AsyncIterator[bytes]:
    clean = cleaner(picture.content_type)
    yield clean.feed(head)
    async for chunk in rest:
        yield clean.feed(chunk)
    yield clean.close()
