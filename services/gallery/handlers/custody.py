"""Looks after the objects: deletes what nothing shows, and reads what pictures show.

A process that died before it listed an upload or a thumbnail leaves an object that nobody knows.
And a store may lose or damage what it holds: then better an alarm than a stranger's complaint.
"""

import hashlib
from collections.abc import Sequence
from datetime import timedelta
from typing import Final

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge

from libs.runtime.clock import Clock
from libs.runtime.db import Database
from libs.runtime.objects import ObjectNotFound
from services.gallery import store
from services.gallery.domain import thumbnails, uploads
from services.gallery.ports import AssetSink, AssetSource
from services.gallery.store import DOOMED_CHANNEL, THUMBNAILS_CHANNEL

PREFIXES: Final = (uploads.PREFIX, thumbnails.PREFIX)
KEPT: Final = timedelta(days=1)  # both take minutes: nobody is still about to list it
BATCH: Final = 500
ROUND_SECONDS: Final = 24 * 3_600.0
PAUSE_SECONDS: Final = 0.05  # after each object: nobody waits for this

logger = structlog.get_logger(__name__)


class Custody:
    """One round a day and process; each alone is enough, and two do no harm."""

    def __init__(
        self,
        *,
        database: Database,
        source: AssetSource,
        sink: AssetSink,
        clock: Clock,
        registry: CollectorRegistry,
    ) -> None:
        self._database = database
        self._source = source
        self._sink = sink
        self._clock = clock
        self.swept = Counter(
            "daygen_gallery_swept_uploads",
            "Uploads and thumbnails that nothing showed and that were given up for deletion.",
            registry=registry,
        )
        self.broken = Gauge(
            "daygen_gallery_broken_objects",
            "Objects that pictures show and that the last round found missing or changed.",
            registry=registry,
        )
        self.read = Counter(
            "daygen_gallery_verified_objects",
            "Objects that were read and compared with their checksums.",
            registry=registry,
        )
        self.rounds = Gauge(
            "daygen_gallery_custody_finished_seconds",
            "When the last whole round ended, in seconds since 1970; 0 before the first.",
            registry=registry,
        )

    async def run(self) -> None:
        """Work until cancelled; an outage ends a round and is told."""
        while True:
            try:
                await self.sweep()
                await self.verify()
                await self.complete()
                self.rounds.set(self._clock.now().timestamp())
            except Exception as error:  # noqa: BLE001  # whatever it is, the next round comes
                logger.warning("custody_interrupted", error=repr(error))
            await self._clock.sleep(ROUND_SECONDS)

    async def sweep(self) -> int:
        """Give up uploads and thumbnails that nothing shows; answers how many.

        Raises:
            StorageUnavailable: the rest comes with the next round.
        """
        now = self._clock.now()
        found, keys = 0, list[str]()
        for prefix in PREFIXES:
            async for each in self._sink.list(prefix):
                if each.modified_at < now - KEPT:
                    keys.append(each.key)
                if len(keys) == BATCH:
                    found += await self._sweep_some(keys)
                    keys.clear()
        found += await self._sweep_some(keys)
        async with self._database.transaction() as transaction:
            await store.forget_claims(transaction.connection, now)
        return found

    async def complete(self) -> int:
        """Have thumbnails made where nobody is about to; answers of how many pictures."""
        found, after = 0, ""
        while True:
            async with self._database.transaction() as transaction:
                last, lacking = await store.want_lacking_thumbnails(
                    transaction.connection, after, BATCH
                )
                if lacking:
                    transaction.wake(THUMBNAILS_CHANNEL)
            found += lacking
            if last is None:
                return found
            after = last

    async def _sweep_some(self, keys: Sequence[str]) -> int:
        async with self._database.transaction() as transaction:
            # First: whoever is just listing one of them is waited for, and then it is known.
            await store.give_up_announced(transaction.connection, self._clock.now())
            known = await store.known_keys(transaction.connection, keys)
            unknown = [key for key in keys if key not in known]
            if unknown:
                await store.doom(transaction.connection, unknown)
                transaction.wake(DOOMED_CHANNEL)
        self.swept.inc(len(unknown))
        return len(unknown)

    async def verify(self) -> int:
        """Read every object that a picture shows; answers how many are not what they should be.

        Raises:
            StorageUnavailable: the round begins again with the next.
        """
        broken, after = 0, ""
        while True:
            async with self._database.read() as connection:
                assets = await store.list_checksums(connection, after, BATCH)
            for key, sha256 in assets:
                if not await self._is_whole(key, sha256):
                    broken += 1
                self.read.inc()
                await self._clock.sleep(PAUSE_SECONDS)
            if len(assets) < BATCH:
                break
            after = assets[-1][0]
        self.broken.set(broken)
        return broken

    async def _is_whole(self, key: str, sha256: str) -> bool:
        digest = hashlib.sha256()
        try:
            async with self._source.open(key) as body:
                async for chunk in body.chunks():
                    digest.update(chunk)
        except ObjectNotFound:
            async with self._database.read() as connection:
                if not await store.known_keys(connection, [key]):
                    return True  # it was deleted meanwhile
            logger.warning("object_missing", key=key)
            return False
        if digest.hexdigest() != sha256:
            logger.warning("object_changed", key=key)
            return False
        return True
