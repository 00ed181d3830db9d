"""What people show of themselves: a name, and a picture in object storage.

Before an object is stored, a row says until when somebody looks after it; the row goes when a user
shows the picture. A process that dies in between leaves the row, and the object is deleted later.
"""

import hashlib
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from libs.runtime.carriers import UnreadableError, decoded
from libs.runtime.clock import Clock
from libs.runtime.db import Database
from libs.runtime.objects import ObjectStore, StorageUnavailable
from libs.runtime.pictures.heads import NotAPictureError
from libs.runtime.pictures.streams import begin
from services.gateway.domain.identity import check_display_name
from services.gateway.domain.text import InvalidRequestError
from services.gateway.handlers.errors import BadImage, ImageTooLarge, InvalidRequest
from services.gateway.store import profiles as store

PREFIX: Final = "profiles/"
BYTES_MAX: Final = 5_000_000
SIDE_PIXELS_MAX: Final = 8_192
STORING: Final = timedelta(minutes=10)  # longer than storing takes
FIELD: Final = "profileImage"
CACHE: Final = "public, max-age=31536000, immutable"  # another picture has another address


class Profiles:
    """Changes profiles, and deletes what is shown no more."""

    def __init__(self, *, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._opened: ObjectStore | None = None

    def keep_in(self, objects: ObjectStore) -> None:
        """Where pictures are stored from now on."""
        self._opened = objects

    @property
    def objects(self) -> ObjectStore:
        """Where pictures are.

        Raises:
            StorageUnavailable: not yet.
        """
        if self._opened is None:
            raise StorageUnavailable("not open")
        return self._opened

    async def set_name(self, user_id: UUID, name: str | None) -> None:
        """Show another name, or none.

        Raises:
            InvalidRequest: it is too long, or no plain text.
        """
        try:
            checked = check_display_name(name)
        except InvalidRequestError as error:
            raise InvalidRequest(error) from None
        async with self._database.transaction() as transaction:
            now = self._clock.now()
            await store.set_name(transaction.connection, user_id, checked, now)

    async def set_picture(self, user_id: UUID, text: str) -> None:
        """Show the picture in a data URL or in base64 text; what it is, its content says.

        Raises:
            BadImage, ImageTooLarge: it is not a picture that we take.
            StorageUnavailable: the object store does not answer.
        """
        try:
            side, pixels = SIDE_PIXELS_MAX, SIDE_PIXELS_MAX**2
            picture, chunks = await begin(_limited(text), side_pixels_max=side, pixels_max=pixels)
            content = b"".join([chunk async for chunk in chunks])
        except (NotAPictureError, UnreadableError) as error:
            raise BadImage(FIELD, str(error)) from None
        name = hashlib.sha256(content).hexdigest()
        key = f"{PREFIX}{user_id}/{name}.{picture.extension}"
        async with self._database.transaction() as transaction:
            until = self._clock.now() + STORING
            await store.look_after(transaction.connection, key, until)
        await self.objects.put(key, content, content_type=picture.content_type, cache_control=CACHE)
        await self._show(user_id, key)

    async def remove_picture(self, user_id: UUID) -> None:
        """Show no picture."""
        await self._show(user_id, None)

    async def _show(self, user_id: UUID, key: str | None) -> None:
        async with self._database.transaction() as transaction:
            now = self._clock.now()
            await store.set_picture(transaction.connection, user_id, key, now)
            transaction.wake(store.PROFILE_CHANNEL)

    async def next_at(self) -> datetime | None:
        """When the next object may go."""
        async with self._database.read() as connection:
            return await store.next_at(connection)

    async def work(self) -> None:
        """Delete objects whose time has come and that nobody shows."""
        async with self._database.transaction() as transaction:
            connection = transaction.connection
            doomed, due = await store.lock_due(connection, self._clock.now())
            if doomed:
                await self.objects.delete(doomed)
            await store.forget(connection, due)


async def _limited(text: str) -> AsyncIterator[bytes]:
    read = 0
    async for chunk in decoded(text):
        read += len(chunk)
        if read > BYTES_MAX:
            raise ImageTooLarge(FIELD, BYTES_MAX)
        yield chunk
