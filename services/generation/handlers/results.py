"""Brings a provider's pictures home: streamed into object storage, described by their own bytes.

What else a file says (EXIF, XMP, texts) is left behind, see `libs/runtime/pictures/cleaning.py`.
"""

from uuid import UUID

from libs.events.generation import FailureCode, StoredImage
from libs.runtime.objects import ObjectStore, ObjectTooLarge
from libs.runtime.pictures.heads import ALL, MP4, NotAPictureError
from libs.runtime.pictures.streams import begin
from services.generation.domain.jobs import object_key
from services.generation.ports import ByteStream, ProviderError

PICTURE_BYTES_MAX = 64 * 1024 * 1024
VIDEO_BYTES_MAX = 512 * 1024 * 1024
SIDE_PIXELS_MAX = 16_384
PIXELS_MAX = 100_000_000


async def store_picture(
    objects: ObjectStore, job_id: UUID, attempt_id: UUID, number: int, stream: ByteStream
) -> StoredImage:
    """Store one picture, drawing or video of an attempt without ever holding it whole.

    Raises:
        ProviderError: what came is no picture, or too large a one.
        StorageUnavailable: the object store does not answer.
    """
    try:
        picture, content = await begin(
            stream, side_pixels_max=SIDE_PIXELS_MAX, pixels_max=PIXELS_MAX, taken=ALL
        )
        stored = await objects.put(
            object_key(job_id, attempt_id, number, picture.extension),
            content,
            content_type=picture.content_type,
            size_bytes_max=VIDEO_BYTES_MAX if picture.content_type == MP4 else PICTURE_BYTES_MAX,
        )
    except (NotAPictureError, ObjectTooLarge) as error:
        message = "The provider answered with something that is not a picture we can store."
        raise ProviderError(FailureCode.BAD_OUTPUT, message, detail=str(error)) from error
    width, height = content.size
    return StoredImage(
        key=stored.key,
        sha256=stored.sha256,
        content_type=picture.content_type,
        size_bytes=stored.size_bytes,
        width=width,
        height=height,
    )
