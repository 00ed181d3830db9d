"""Makes a thumbnail of each picture, once: behind all other work, in a process of its own.

What dies in the middle leaves a lease that ends and an object that nothing refers to; the next
attempt takes over under another key, and the first can finish no more. One that fails is tried
again, however long it takes, unless the picture itself is the reason.
"""

import hashlib
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Final

import structlog
from prometheus_client import CollectorRegistry, Counter

from libs.events.gallery import GalleryThumbnailMade
from libs.events.generation import StoredImage
from libs.runtime import erasure
from libs.runtime.clock import Clock
from libs.runtime.db import Database, Transaction
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

ATTEMPTS_MAX: Final = 3  # one after the other; then it rests
LEASE: Final = timedelta(minutes=2)  # a picture takes milliseconds, and fails long before
AGAIN: Final = timedelta(seconds=10)
REST: Final = timedelta(days=1)
TOGETHER_MAX: Final = 32  # so many are told in one transaction,
TOGETHER_SECONDS: Final = 1.0  # or those of so long
PACE_SECONDS: Final = 1.0  # nobody waits: what comes meanwhile is made together
SAFETY_SECONDS: Final = 60.0

Made = tuple[Claim, Shrunk]

logger = structlog.get_logger(__name__)


class Thumbnails:
    """One picture at a time and replica. Many are told together."""

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
                        is_behind = await self.work()
                        backoff.reset()
                        if not is_behind:
                            await self._clock.sleep(PACE_SECONDS)
                            await wakeup.wait(SAFETY_SECONDS)
                    except Exception as error:  # noqa: BLE001  # whatever it is, the work stays
                        logger.warning("thumbnails_interrupted", error=repr(error))
                        await self._clock.sleep(backoff.next_seconds(0.5))
        finally:
            await self._shrinker.close()

    async def work(self) -> bool:
        """Make the next thumbnails; False if no more are due.

        Raises:
            StorageUnavailable: the pictures wait.
        """
        made: dict[str, Made] = {}
        until = self._clock.monotonic() + TOGETHER_SECONDS
        try:
            while len(made) < TOGETHER_MAX and self._clock.monotonic() < until:
                claim = await self._claim()
                if claim is None:
                    return False
                shrunk = await self._make(claim)
                if shrunk is not None:
                    made[claim.asset_key] = (claim, shrunk)
            return True
        finally:
            # A death before this leaves objects that nothing refers to: the next attempts, or the
            # sweeper, have them deleted.
            if made:
                await self._finish(made)

    async def _claim(self) -> Claim | None:
        now = self._clock.now()
        object_key = thumbnails.key_of(self._ids.new())
        async with self._database.read() as connection:
            claim = await store.claim_thumbnail(connection, object_key, now, now + LEASE)
        if claim is not None and claim.abandoned_key is not None:
            self._wakeups.wake(DOOMED_CHANNEL)
        return claim

    async def _make(self, claim: Claim) -> Shrunk | None:
        """Make one and store it; None if it has come to nothing."""
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
            await self._postpone(claim, AGAIN, attempts=claim.attempts - 1)
            raise
        else:
            return shrunk
        return None

    async def _shrink(self, claim: Claim) -> Shrunk:
        if claim.attempts > ATTEMPTS_MAX:
            raise ShrinkerFailedError(f"nobody has lived through it in {ATTEMPTS_MAX} attempts")
        async with self._source.open(claim.asset_key) as body:
            if body.length_bytes > SOURCE_BYTES_MAX:
                raise UnshrinkableError(f"{body.length_bytes} bytes are too many")
            return await self._shrinker.shrink(body.chunks(), body.length_bytes)

    async def _finish(self, made: Mapping[str, Made]) -> None:
        """Tell and write them, where the attempt still may and the picture is still there."""
        keys = sorted(made)
        async with self._database.read() as connection:
            showers = await store.find_showers(connection, keys)
        async with self._database.transaction() as transaction:
            connection = transaction.connection
            accounts = {each.account_id for each in showers.values()}
            gone = await erasure.erased_accounts(transaction, accounts)
            # As everybody does who changes pictures: first them, then their assets. Nobody frees
            # an object from here to the commit.
            await store.lock_items(connection, sorted(each.item_id for each in showers.values()))
            await store.lock_assets(connection, keys)
            now_shown = await store.find_showers(connection, keys)
            wanted = [
                made[key][0]
                for key, shower in now_shown.items()
                if shower == showers.get(key) and shower.account_id not in gone
            ]
            finished = await store.finish_thumbnails(connection, wanted)
            events = [
                transaction.publish(_made(*made[key], now_shown[key])) for key in sorted(finished)
            ]
            await store.follow(connection, events)
            late = [made[key][0] for key in keys if key not in finished]
            await self._settle_late(transaction, late, now_shown)
        self.count.labels("made").inc(len(finished))
        self.count.labels("late").inc(len(late))

    async def _settle_late(
        self, transaction: Transaction, late: Sequence[Claim], now_shown: Mapping[str, Shower]
    ) -> None:
        """What came too late is deleted; another picture that shows the object gets its own."""
        if not late:
            return
        connection = transaction.connection
        await store.doom(connection, [claim.object_key for claim in late])
        transaction.wake(DOOMED_CHANNEL)
        for claim in late:
            if claim.asset_key in now_shown:
                until = self._clock.now() + AGAIN
                await store.postpone_thumbnail(connection, claim, until, attempts=claim.attempts)
            else:
                await store.forget_thumbnail_work(connection, claim.asset_key)

    async def _try_again(self, claim: Claim, reason: str) -> None:
        """What failed for something that may pass: soon, or after a rest; but not if it is gone."""
        async with self._database.read() as connection:
            is_shown = await store.find_showers(connection, [claim.asset_key])
        if not is_shown:
            async with self._database.transaction() as transaction:
                await store.forget_thumbnail_work(transaction.connection, claim.asset_key)
            self.count.labels("late").inc()
            return
        if claim.attempts < ATTEMPTS_MAX:
            await self._postpone(claim, AGAIN, attempts=claim.attempts)
        else:
            await self._postpone(claim, REST, attempts=0)
        self.count.labels("failed").inc()
        logger.warning(
            "thumbnail_failed", key=claim.asset_key, reason=reason, attempts=claim.attempts
        )

    async def _postpone(self, claim: Claim, by: timedelta, *, attempts: int) -> None:
        async with self._database.transaction() as transaction:
            await store.postpone_thumbnail(
                transaction.connection, claim, self._clock.now() + by, attempts=attempts
            )

    async def _give_up(self, claim: Claim, reason: str) -> None:
        async with self._database.transaction() as transaction:
            await store.give_up_thumbnail(transaction.connection, claim, reason)
        self.count.labels("refused").inc()
        logger.warning("thumbnail_refused", key=claim.asset_key, reason=reason)


def _made(claim: Claim, shrunk: Shrunk, shower: Shower) -> GalleryThumbnailMade:
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
