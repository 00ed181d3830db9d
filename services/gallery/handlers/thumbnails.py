"""Makes a thumbnail of each picture, once: beside the requests, in a process of its own.

What dies in the middle leaves a lease that ends and an object that nothing refers to; the next
attempt takes over under another key, and the first can finish no more.
"""

import hashlib
from datetime import datetime, timedelta
from typing import Final

import structlog
from prometheus_client import CollectorRegistry, Counter

from libs.events.gallery import GalleryThumbnailMade
from libs.events.generation import StoredImage
from libs.runtime import erasure
from libs.runtime.clock import Clock
from libs.runtime.db import Database
from libs.runtime.faults import Backoff
from libs.runtime.ids import Ids
from libs.runtime.objects import ObjectNotFound, StorageUnavailable
from libs.runtime.wakeups import Wakeups
from services.gallery import store
from services.gallery.domain import thumbnails
from services.gallery.domain.delivery import CACHE_CONTROL
from services.gallery.domain.thumbnails import SOURCE_BYTES_MAX, Shrunk
from services.gallery.ports import (
    AssetSink,
    AssetSource,
    Shrinker,
    ShrinkerFailedError,
    UnshrinkableError,
)
from services.gallery.store import DOOMED_CHANNEL, THUMBNAILS_CHANNEL, Claim, Shower

ATTEMPTS_MAX: Final = 3
LEASE: Final = timedelta(minutes=2)  # a picture takes seconds, and is given up long before
AGAIN: Final = timedelta(seconds=10)
SAFETY_SECONDS: Final = 60.0

logger = structlog.get_logger(__name__)


class Thumbnails:
    """One picture at a time; more of them with more replicas."""

    def __init__(
        self,
        *,
        database: Database,
        source: AssetSource,
        sink: AssetSink,
        shrinker: Shrinker,
        wakeups: Wakeups,
        clock: Clock,
        ids: Ids,
        registry: CollectorRegistry,
    ) -> None:
        self._database = database
        self._source = source
        self._sink = sink
        self._shrinker = shrinker
        self._wakeups = wakeups
        self._clock = clock
        self._ids = ids
        self.count = Counter(
            "daygen_gallery_thumbnails",
            "Attempts at thumbnails, by how they ended.",
            ["outcome"],
            registry=registry,
        )

    async def run(self) -> None:
        """Work until cancelled; an outage is waited for."""
        backoff = Backoff()
        try:
            with self._wakeups.listen(THUMBNAILS_CHANNEL) as wakeup:
                while True:
                    try:
                        if not await self.work():
                            await wakeup.wait(SAFETY_SECONDS)
                        backoff.reset()
                    except Exception as error:  # noqa: BLE001  # whatever it is, the work stays
                        logger.warning("thumbnails_interrupted", error=repr(error))
                        await self._clock.sleep(backoff.next_seconds(0.5))
        finally:
            await self._shrinker.close()

    async def work(self) -> bool:
        """Make the next thumbnail; False if none is due.

        Raises:
            StorageUnavailable: the picture waits.
        """
        claim = await self._claim()
        if claim is None:
            return False
        try:
            shrunk = await self._shrink(claim)
            await self._sink.put(
                claim.object_key,
                shrunk.content,
                content_type=thumbnails.CONTENT_TYPE,
                cache_control=CACHE_CONTROL,
            )
        except UnshrinkableError as error:
            await self._give_up(claim, str(error))
        except (ObjectNotFound, ShrinkerFailedError) as error:
            await self._try_again(claim, str(error))
        except StorageUnavailable:
            await self._postpone(claim, is_counted=False)
            raise
        else:
            # A death before this leaves an object that nothing refers to: the next attempt, or
            # the sweeper, has it deleted.
            await self._finish(claim, shrunk)
        return True

    async def _claim(self) -> Claim | None:
        now = self._clock.now()
        object_key = thumbnails.key_of(self._ids.new())
        async with self._database.transaction() as transaction:
            connection = transaction.connection
            claim = await store.claim_thumbnail(connection, object_key, now, now + LEASE)
            if claim is not None and claim.abandoned_key is not None:
                await store.doom(connection, [claim.abandoned_key])
                transaction.wake(DOOMED_CHANNEL)
        return claim

    async def _shrink(self, claim: Claim) -> Shrunk:
        if claim.attempts > ATTEMPTS_MAX:
            raise UnshrinkableError(f"no process has lived through it in {ATTEMPTS_MAX} attempts")
        async with self._source.open(claim.asset_key) as body:
            if body.length_bytes > SOURCE_BYTES_MAX:
                raise UnshrinkableError(f"{body.length_bytes} bytes are too many")
            return await self._shrinker.shrink(body.chunks(), body.length_bytes)

    async def _finish(self, claim: Claim, shrunk: Shrunk) -> None:
        """Tell and write it, if this attempt still may and the picture is still there."""
        async with self._database.read() as connection:
            shower = await store.find_shower(connection, claim.asset_key)
        async with self._database.transaction() as transaction:
            connection = transaction.connection
            if shower is not None and await erasure.is_erased(transaction, shower.account_id):
                shower = None
            if (
                shower is not None
            ):  # as everybody does who changes pictures: first it, then its asset
                await store.lock_item(connection, shower.item_id)
            # Nobody frees the object from here to the commit.
            await store.lock_asset(connection, claim.asset_key)
            now_shown = await store.find_shower(connection, claim.asset_key)
            is_wanted = (
                shower is not None
                and shower == now_shown
                and await store.finish_thumbnail(connection, claim)
            )
            if is_wanted and shower is not None:
                await store.follow(connection, [transaction.publish(_made(claim, shower, shrunk))])
            else:
                await store.doom(connection, [claim.object_key])
                transaction.wake(DOOMED_CHANNEL)
                if now_shown is None:
                    await store.forget_thumbnail_work(connection, claim.asset_key)
                else:  # another picture shows it now: its owner is told of the next one
                    await store.postpone_thumbnail(
                        connection, claim, self._again(), is_counted=True
                    )
        self.count.labels("made" if is_wanted else "late").inc()

    async def _try_again(self, claim: Claim, reason: str) -> None:
        async with self._database.read() as connection:
            is_shown = await store.find_shower(connection, claim.asset_key) is not None
        if not is_shown:
            async with self._database.transaction() as transaction:
                await store.forget_thumbnail_work(transaction.connection, claim.asset_key)
            self.count.labels("late").inc()
        elif claim.attempts >= ATTEMPTS_MAX:
            await self._give_up(claim, reason)
        else:
            await self._postpone(claim, is_counted=True)
            self.count.labels("failed").inc()

    async def _postpone(self, claim: Claim, *, is_counted: bool) -> None:
        async with self._database.transaction() as transaction:
            await store.postpone_thumbnail(
                transaction.connection, claim, self._again(), is_counted=is_counted
            )

    def _again(self) -> datetime:
        return self._clock.now() + AGAIN

    async def _give_up(self, claim: Claim, reason: str) -> None:
        async with self._database.transaction() as transaction:
            await store.give_up_thumbnail(transaction.connection, claim, reason)
        self.count.labels("refused").inc()
        logger.warning("thumbnail_refused", key=claim.asset_key, reason=reason)


def _made(claim: Claim, shower: Shower, shrunk: Shrunk) -> GalleryThumbnailMade:
    return GalleryThumbnailMade(
        asset_key=claim.asset_key,
        item_id=shower.item_id,
        account_id=shower.account_id,
        thumbnail=StoredImage(
            key=claim.object_key,
            sha256=hashlib.sha256(shrunk.content).hexdigest(),
            content_type=thumbnails.CONTENT_TYPE,
            size_bytes=len(shrunk.content),
            width=shrunk.width,
            height=shrunk.height,
        ),
        blur_hash=shrunk.blur_hash,
    )
