"""Takes pictures that people bring: streamed into storage, known by their content, then listed."""

from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from msgspec import Struct

from libs.events.gallery import GalleryItemUploaded
from libs.events.generation import StoredImage
from libs.runtime import erasure
from libs.runtime.auth import Principal
from libs.runtime.carriers import UnreadableError
from libs.runtime.clock import Clock
from libs.runtime.db import Database
from libs.runtime.errors import BadRequest, Conflict, PayloadTooLarge, Unauthorized, Unavailable
from libs.runtime.ids import Ids
from libs.runtime.pictures.heads import NotAPictureError
from libs.runtime.pictures.streams import begin
from services.gallery import store
from services.gallery.domain import uploads
from services.gallery.domain.delivery import CACHE_CONTROL
from services.gallery.domain.uploads import (
    PIXELS_MAX,
    PROFILE,
    SIDE_PIXELS_MAX,
    UPLOAD_BYTES_MAX,
    Described,
)
from services.gallery.ports import AssetSink
from services.gallery.store import THUMBNAILS_CHANNEL

ADDRESS_LIFETIME: Final = timedelta(minutes=15)
UNDER_WAY: Final = timedelta(days=1)  # an upload takes minutes: whatever takes longer has died


class UploadRefused(BadRequest):
    """It is no picture that we keep."""

    code = "bad_upload"


class UploadTooLarge(PayloadTooLarge):
    code = "upload_too_large"

    def __init__(self) -> None:
        super().__init__(f"The file is too large: at most {UPLOAD_BYTES_MAX} bytes are taken.")


class AddressUsed(Conflict):
    """Each address is good for one try, or two uploads could write one object."""

    code = "upload_address_used"

    def __init__(self) -> None:
        super().__init__("This address has been used: ask for another one.")


class UploadGivenUp(Unavailable):
    """It stood still for so long that its object may be deleted already."""

    code = "upload_given_up"

    def __init__(self) -> None:
        super().__init__("The upload took too long: send the file again.")


class Uploaded(Struct, frozen=True, kw_only=True):
    """A picture that is stored and listed."""

    item_id: UUID
    image: StoredImage
    is_public: bool  # a picture of oneself is: all others are their owner's alone at first


class Uploads:
    """Streams pictures in; of each no more than a part is held."""

    def __init__(self, *, database: Database, objects: AssetSink, ids: Ids, clock: Clock) -> None:
        self._database = database
        self._objects = objects
        self._ids = ids
        self._clock = clock

    def new_id(self) -> UUID:
        """The id of a picture that is yet to come."""
        return self._ids.new()

    async def take(
        self, caller: Principal, content: AsyncIterator[bytes], described: Described
    ) -> Uploaded:
        """Store and list a picture.

        Raises:
            UploadRefused, UploadTooLarge: it is none that we keep; nothing is left of it.
            StorageUnavailable: the object store does not answer.
            UploadGivenUp: it stood still for a day.
        """
        return await self._take(caller, self._ids.new(), content, described, extension=None)

    async def take_at(
        self,
        caller: Principal,
        item_id: UUID,
        content: AsyncIterator[bytes],
        described: Described,
        *,
        extension: str,
        expires_at: datetime,
    ) -> Uploaded:
        """The same under an id that was given out with an address.

        Raises:
            AddressUsed: somebody has tried before. The rest as `take`, and a type that is not the
            one that was announced.
        """
        async with self._database.transaction() as transaction:
            is_first = await store.claim_upload(transaction.connection, item_id, expires_at)
        if not is_first:
            raise AddressUsed
        return await self._take(caller, item_id, content, described, extension=extension)

    async def _take(
        self,
        caller: Principal,
        item_id: UUID,
        content: AsyncIterator[bytes],
        described: Described,
        *,
        extension: str | None,
    ) -> Uploaded:
        try:
            image = await self._store(item_id, content, extension)
        except (NotAPictureError, UnreadableError) as error:
            raise UploadRefused(
                f"This file cannot be kept: {error}; send a whole PNG, JPEG, WebP or GIF."
            ) from None
        await self._list(caller, item_id, image, described)
        return Uploaded(item_id=item_id, image=image, is_public=described.purpose == PROFILE)

    async def _store(
        self, item_id: UUID, content: AsyncIterator[bytes], extension: str | None
    ) -> StoredImage:
        picture, cleaned = await begin(
            _limited(content), side_pixels_max=SIDE_PIXELS_MAX, pixels_max=PIXELS_MAX
        )
        if extension is not None and picture.extension != extension:
            raise NotAPictureError(f"it is {picture.content_type}, and another type was announced")
        key = uploads.key_of(item_id, picture.extension)
        async with self._database.transaction() as transaction:
            await store.announce(transaction.connection, key, self._clock.now() + UNDER_WAY)
        # A death after this leaves an object that nobody shows: the sweeper finds it.
        stored = await self._objects.put(
            key,
            cleaned,
            content_type=picture.content_type,
            cache_control=CACHE_CONTROL,
        )
        return StoredImage(
            key=stored.key,
            sha256=stored.sha256,
            content_type=stored.content_type,
            size_bytes=stored.size_bytes,
            width=picture.width,
            height=picture.height,
        )

    async def _list(
        self, caller: Principal, item_id: UUID, image: StoredImage, described: Described
    ) -> None:
        data = GalleryItemUploaded(
            item_id=item_id,
            account_id=caller.account_id,
            user_id=caller.user_id,
            workspace_id=caller.workspace_id,
            image=image,
            purpose=described.purpose,
            file_name=described.file_name,
            prompt=described.prompt,
            model=described.model,
        )
        async with self._database.transaction() as transaction:
            if await erasure.is_erased(transaction, caller.user_id):
                raise Unauthorized("Unauthorized: log in again.")
            if not await store.take_announced(transaction.connection, image.key):
                raise UploadGivenUp
            await store.follow(transaction.connection, [transaction.publish(data)])
            await store.want_thumbnails(transaction.connection, [image.key])
            transaction.wake(THUMBNAILS_CHANNEL)


async def _limited(content: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    read = 0
    async for chunk in content:
        read += len(chunk)
        if read > UPLOAD_BYTES_MAX:
            raise UploadTooLarge
        yield chunk
