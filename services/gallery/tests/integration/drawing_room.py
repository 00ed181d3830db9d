"""Thumbnails without pictures: storage in memory, and a hand that may be stopped."""

import hashlib
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from uuid import UUID

from msgspec.structs import replace
from prometheus_client import CollectorRegistry

from libs.events.gallery import GalleryItemUploaded, GalleryThumbnailMade
from libs.events.registry import REGISTRY
from libs.events.testing import stored_image
from libs.runtime.clock import SystemClock
from libs.runtime.objects import (
    ByteRange,
    ListedObject,
    ObjectBody,
    ObjectInfo,
    ObjectNotFound,
    StoredObject,
)
from libs.runtime.testing import Streams
from services.gallery import store
from services.gallery.domain.thumbnails import Shrunk
from services.gallery.handlers.custody import Custody
from services.gallery.handlers.thumbnails import Thumbnails
from services.gallery.ports import AssetSink, AssetSource, Shrinker
from services.gallery.worker import Sweeper


class Died(BaseException):
    """The process is gone: nothing of it goes on, and nothing cleans up behind it."""


class Ahead(SystemClock):
    """The same clock, as far ahead as wanted, and nobody to wait for."""

    def __init__(self, ahead: timedelta = timedelta()) -> None:
        self.ahead = ahead

    def now(self) -> datetime:
        return super().now() + self.ahead

    async def sleep(self, seconds: float) -> None:
        await super().sleep(min(seconds, 0))


class Bucket(AssetSource, AssetSink):
    """Objects in memory."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.after_put: Callable[[], Awaitable[None]] | None = None

    @asynccontextmanager
    async def open(
        self, key: str, byte_range: ByteRange | None = None
    ) -> AsyncIterator[ObjectBody]:
        if key not in self.objects:
            raise ObjectNotFound(key)
        content = self.objects[key]

        async def chunks() -> AsyncIterator[bytes]:
            yield content

        info = ObjectInfo(
            key=key,
            size_bytes=len(content),
            content_type="",
            cache_control=None,
            etag="",
            modified_at=SystemClock().now(),
        )
        yield ObjectBody(info=info, start=0, length_bytes=len(content), chunks=chunks)

    async def put(
        self,
        key: str,
        body: bytes | AsyncIterable[bytes],
        *,
        content_type: str,
        cache_control: str | None = None,
    ) -> StoredObject:
        content = body if isinstance(body, bytes) else b"".join([each async for each in body])
        self.objects[key] = content
        if self.after_put is not None:
            await self.after_put()
        return StoredObject(
            key=key,
            size_bytes=len(content),
            sha256=hashlib.sha256(content).hexdigest(),
            content_type=content_type,
        )

    async def list(self, prefix: str) -> AsyncIterator[ListedObject]:
        for key in sorted(self.objects):
            if key.startswith(prefix):
                yield ListedObject(key=key, size_bytes=1, modified_at=SystemClock().now())

    async def delete(self, keys: Iterable[str]) -> None:
        for key in keys:
            self.objects.pop(key, None)

    @property
    def small(self) -> set[str]:
        """What is stored of thumbnails."""
        return {key for key in self.objects if key.startswith("thumbnails/")}


class Hand(Shrinker):
    """Each time it makes something else, as another release might; `before` is called first."""

    def __init__(self) -> None:
        self.made = 0
        self.given: list[bytes] = []
        self.before: Callable[[], Awaitable[None]] | None = None

    async def shrink(self, content: AsyncIterator[bytes], size_bytes: int) -> Shrunk:
        self.made += 1
        self.given.append(b"".join([chunk async for chunk in content]))
        made = b"%d small of " % self.made + self.given[-1]
        if self.before is not None:
            await self.before()
        return Shrunk(content=made, width=4, height=3, blur_hash="LEHV6nWB2yk8pyo0adR*.7kCMdnj")

    async def close(self) -> None:
        pass


class Room:
    """A gallery's tables, a bucket, and whoever works there."""

    def __init__(self, streams: Streams) -> None:
        self.streams = streams
        self.bucket = Bucket()
        self.clock = Ahead()

    def worker(self, hand: Shrinker | None = None) -> Thumbnails:
        return Thumbnails(
            database=self.streams.database,
            source=self.bucket,
            sink=self.bucket,
            shrinker=hand or Hand(),
            wakeups=self.streams.wakeups,
            clock=self.clock,
            ids=self.streams.ids,
            registry=CollectorRegistry(),
        )

    def custody(self) -> Custody:
        return Custody(
            database=self.streams.database,
            source=self.bucket,
            sink=self.bucket,
            clock=self.clock,
            registry=CollectorRegistry(),
        )

    async def swept(self) -> None:
        """What is doomed is deleted; here everything counts as published."""
        async with self.streams.database.transaction() as transaction:
            await transaction.connection.execute("DELETE FROM outbox_pending")
        sweeper = Sweeper(
            database=self.streams.database,
            assets=self.bucket,
            wakeups=self.streams.wakeups,
            clock=self.clock,
        )
        while await sweeper.work():
            pass

    async def upload(self, user_id: UUID) -> UUID:
        """A picture of somebody's own, which is to get a thumbnail."""
        item_id = self.streams.ids.new()
        content = b"picture %d" % item_id.int
        image = replace(stored_image(content), key=f"uploads/{item_id}.png")
        self.bucket.objects[image.key] = content
        data = GalleryItemUploaded(
            item_id=item_id,
            account_id=user_id,
            user_id=user_id,
            image=image,
            purpose="upload",
            file_name="dusk.png",
            prompt="dusk",
            model="",
        )
        async with self.streams.database.transaction() as transaction:
            await store.follow(transaction.connection, [transaction.publish(data)])
            await store.want_thumbnails(transaction.connection, [image.key])
        return item_id

    async def told(self) -> list[GalleryThumbnailMade]:
        published = await self.streams.published()
        data = [REGISTRY.decode(encoded).data for event_id, encoded in published if event_id]
        return [each for each in data if isinstance(each, GalleryThumbnailMade)]

    async def noted(self) -> dict[str, str]:
        """(thumbnail's key, SHA-256) as the table has it."""
        async with self.streams.database.read() as connection:
            rows = await connection.fetch("SELECT key, sha256 FROM thumbnail")
        return {row["key"]: row["sha256"] for row in rows}

    async def count(self, query: str) -> int:
        async with self.streams.database.read() as connection:
            return int(await connection.fetchval(query))

    async def assert_exactly_one(self) -> None:
        """One row, one event and one object, and they are of each other."""
        await self.swept()
        (told,) = await self.told()
        assert told.thumbnail is not None
        stored = {
            key: hashlib.sha256(self.bucket.objects[key]).hexdigest() for key in self.bucket.small
        }
        assert stored == await self.noted() == {told.thumbnail.key: told.thumbnail.sha256}
        assert await self.count("SELECT count(*) FROM thumbnail_work") == 0
