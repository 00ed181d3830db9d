"""Brings a provider's pictures home: streamed into object storage, described by their own bytes.

What else a file says (EXIF, XMP, texts) is left behind, see `domain/metadata.py`.
"""

from collections.abc import AsyncIterator
from uuid import UUID

from libs.events.generation import FailureCode, StoredImage
from libs.runtime.objects import ObjectStore, ObjectTooLarge
from services.generation.domain.jobs import object_key
from services.generation.domain.metadata import cleaner
from services.generation.domain.pictures import NotAPictureError, Picture, inspect
from services.generation.ports import ByteStream, ProviderError

PICTURE_BYTES_MAX = 64 * 1024 * 1024
# A small file can unfold into a picture that no viewer of it survives.
SIDE_PIXELS_MAX = 16_384
PIXELS_MAX = 100_000_000


async def store_picture(
    objects: ObjectStore, job_id: UUID, attempt_id: UUID, number: int, stream: ByteStream
) -> StoredImage:
    """Store one picture of an attempt without ever holding it whole.

    Raises:
        ProviderError: what came is no picture, or too large a one.
        StorageUnavailable: the object store does not answer.
    """
    try:
        head, picture = await _read_head(stream)
        _require_sane(picture)
        stored = await objects.put(
            object_key(job_id, attempt_id, number, picture.extension),
            _cleaned(picture, head, stream),
            content_type=picture.content_type,
            size_bytes_max=PICTURE_BYTES_MAX,
        )
    except (NotAPictureError, ObjectTooLarge) as error:
        message = "The provider answered with something that is not a picture we can store."
        raise ProviderError(FailureCode.BAD_OUTPUT, message, detail=str(error)) from error
    return StoredImage(
        key=stored.key,
        sha256=stored.sha256,
        content_type=picture.content_type,
        size_bytes=stored.size_bytes,
        width=picture.width,
        height=picture.height,
    )


async def _read_head(stream: ByteStream) -> tuple[bytes, Picture]:
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


def _require_sane(picture: Picture) -> None:
    width, height = picture.width, picture.height
    if max(width, height) > SIDE_PIXELS_MAX or width * height > PIXELS_MAX:
        raise NotAPictureError(f"a picture of {width} x {height} pixels is too large")


async def _cleaned(picture: Picture, head: bytes, rest: ByteStream) -> AsyncIterator[bytes]:
    """The picture without what says more than the picture; raises at its end if it is cut off."""
    clean = cleaner(picture.content_type)
    yield clean.feed(head)
    async for chunk in rest:
        yield clean.feed(chunk)
    yield clean.close()
