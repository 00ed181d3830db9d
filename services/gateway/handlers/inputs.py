"""Pictures that come with requests: read, checked, and stored under what they hold.

A key names a day and the content. Nothing is uploaded under a day that is over, so what nobody
refers to can be swept without asking whether somebody is just about to.
"""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import timedelta
from typing import Any, Final, TypeGuard
from uuid import UUID

import structlog
from msgspec import Struct

from libs.events.media import INPUT_TYPES
from libs.runtime.carriers import Carrier, Spool, UnreadableError, decoded
from libs.runtime.clock import Clock
from libs.runtime.db import Database
from libs.runtime.objects import ObjectStore, StorageUnavailable
from libs.runtime.pictures.heads import NotAPictureError, Picture
from libs.runtime.pictures.streams import begin
from services.gateway.domain.inputs import Given, Input
from services.gateway.handlers.assets import call_for
from services.gateway.handlers.errors import BadImage, ImageTooLarge
from services.gateway.handlers.turns import Turns
from services.gateway.ports import (
    Owners,
    OwnerUnreachableError,
    References,
    UnreachableReferenceError,
)
from services.gateway.store import inputs as store

PREFIX: Final = "inputs/"
PICTURE_BYTES_MAX: Final = 50_000_000
SIDE_PIXELS_MAX: Final = 8_192
STEP_BYTES: Final = 64 * 1024
KEPT: Final = timedelta(days=1)  # after a key's day: nobody is still about to refer to it
SWEEP_SECONDS: Final = 3_600.0
AT_ONCE_MAX: Final = 8  # pictures that came with their requests, being read in one process
# Others' servers may be as slow as they like: whoever names them waits, and nobody else does.
FETCHES_MAX: Final = 32
FETCHES_OF_ONE_MAX: Final = 2
_ADDRESS_CHARS_MAX: Final = 2_048

logger = structlog.get_logger(__name__)


class Shown(Struct, frozen=True, kw_only=True):
    """A picture by value."""

    content: bytes
    content_type: str


class Inputs:
    """Stores what clients send, and tells what cannot be an input."""

    def __init__(
        self,
        *,
        references: References,
        owners: Owners,
        clock: Clock,
        assets_at: str,
    ) -> None:
        self._objects: ObjectStore | None = None
        self._references = references
        self._owners = owners
        self._clock = clock
        self._assets_at = assets_at
        self._turns = asyncio.Semaphore(AT_ONCE_MAX)
        self._fetches = Turns(most=FETCHES_MAX, most_of_one=FETCHES_OF_ONE_MAX)

    def keep_in(self, objects: ObjectStore) -> None:
        """Where pictures are stored from now on; the client lives as long as the process serves."""
        self._objects = objects

    async def store(self, given: Sequence[Given], sender: UUID) -> tuple[Input, ...]:
        """Store the pictures of a user, in their order.

        Raises:
            BadImage, ImageTooLarge: one of them is not a picture that we take.
            StorageUnavailable: the object store does not answer.
        """
        return tuple([await self._store_one(each, sender) for each in given])

    async def show(self, given: Given, sender: UUID, *, bytes_max: int) -> Shown:
        """A picture of a user as it would be stored, by value; nothing is kept of it.

        Raises:
            BadImage, ImageTooLarge: as `store`, and larger than `bytes_max`.
        """
        async with self._turn(given, sender):
            picture, spool, _ = await self._read(given)
        if spool.length > bytes_max:
            raise ImageTooLarge(given.field, bytes_max)
        return Shown(content=spool.read(0, spool.length), content_type=picture.content_type)

    async def _store_one(self, given: Given, sender: UUID) -> Input:
        async with self._turn(given, sender):
            picture, spool, sha256 = await self._read(given)
            return await self._put(given, spool, sha256, picture)

    def _turn(self, given: Given, sender: UUID) -> AbstractAsyncContextManager[None]:
        return self._fetches.of(sender) if self._is_elsewhere(given) else self._turns

    async def _read(self, given: Given) -> tuple[Picture, Spool, str]:
        """A picture with its content and the SHA-256 of it, if it is one that we take."""
        spool, digest = Spool(), hashlib.sha256()
        try:
            picture, content = await begin(
                self._bytes_of(given),
                side_pixels_max=SIDE_PIXELS_MAX,
                pixels_max=SIDE_PIXELS_MAX**2,
                taken=INPUT_TYPES,
            )
            async for chunk in content:
                digest.update(chunk)
                spool.append(chunk)
        except (NotAPictureError, UnreadableError) as error:
            raise BadImage(given.field, str(error)) from None
        except UnreachableReferenceError as error:
            raise BadImage(given.field, f"its address cannot be used: {error}") from None
        return picture, spool, digest.hexdigest()

    async def _put(self, given: Given, spool: Spool, sha256: str, picture: Picture) -> Input:
        if self._objects is None:
            raise StorageUnavailable("no client yet")
        day = self._clock.now().date().isoformat()
        key = f"{PREFIX}{day}/{sha256}.{picture.extension}"
        await self._objects.put(key, _all_of(spool), content_type=picture.content_type)
        return Input(role=given.role, sha256=sha256, key=key)

    async def _bytes_of(self, given: Given) -> AsyncIterator[bytes]:
        """A picture by whatever way it came, never more of it than we take."""
        read = 0
        async for chunk in self._source(given.content):
            read += len(chunk)
            if read > PICTURE_BYTES_MAX:
                raise ImageTooLarge(given.field, PICTURE_BYTES_MAX)
            yield chunk

    def _is_elsewhere(self, given: Given) -> bool:
        return _is_address(given.content) and not given.content.startswith(f"{self._assets_at}/")

    def _source(self, content: Any) -> AsyncIterator[bytes]:
        if isinstance(content, AsyncIterator):
            return content
        if _is_address(content):
            return self._fetched(content)
        if isinstance(content, str | Carrier):
            return decoded(content)
        raise UnreadableError("send a data URL, base64 text, or an address")

    def _fetched(self, url: str) -> AsyncIterator[bytes]:
        """What lies at an address; our own pictures come from the gallery without a detour."""
        if len(url) > _ADDRESS_CHARS_MAX:
            raise UnreadableError("the address is too long")
        key = url.removeprefix(f"{self._assets_at}/")
        return self._asset(key) if key != url else self._references.fetch(url)

    async def _asset(self, key: str) -> AsyncIterator[bytes]:
        call = call_for(key)
        if call is None:
            raise UnreachableReferenceError("there is no such picture")
        try:
            async with self._owners.call(call) as answer:
                if answer.status != 200:
                    raise UnreachableReferenceError("there is no such picture")
                async for chunk in answer.chunks():
                    yield chunk
        except OwnerUnreachableError as error:
            raise UnreachableReferenceError("the gallery does not answer") from error


def _is_address(content: Any) -> TypeGuard[str]:
    return isinstance(content, str) and content[:8].lower().startswith(("http://", "https://"))


async def _all_of(spool: Spool) -> AsyncIterator[bytes]:
    place = 0
    while place < spool.length:
        yield (chunk := spool.read(place, STEP_BYTES))
        place += len(chunk)


class InputSweeping:
    """Deletes the inputs that no job under way refers to: under `inputs/`, nobody else's objects.

    The listing is what is there, so nothing can be forgotten; what is swept twice is gone once.
    """

    def __init__(self, *, database: Database, objects: ObjectStore, clock: Clock) -> None:
        self._database = database
        self._objects = objects
        self._clock = clock

    async def run(self) -> None:
        """Sweep now and then, until cancelled."""
        while True:
            await self.sweep()
            await self._clock.sleep(SWEEP_SECONDS)

    async def sweep(self) -> int:
        """Delete what may go; answers how many objects that were."""
        over = (self._clock.now() - KEPT).date().isoformat()
        old = [
            each.key
            async for each in self._objects.list(PREFIX)
            if each.key.removeprefix(PREFIX).partition("/")[0] < over
        ]
        if not old:
            return 0
        async with self._database.read() as connection:
            needed = await store.open_keys(connection)
        swept = [key for key in old if key not in needed]
        await self._objects.delete(swept)
        logger.info("inputs_swept", objects=len(swept))
        return len(swept)
