"""Deletes objects that nobody is to see any more: beside the consumer, which touches no storage."""

import structlog

from libs.runtime.clock import Clock
from libs.runtime.db import Database
from libs.runtime.faults import Backoff
from libs.runtime.wakeups import Wakeups
from services.gallery import store
from services.gallery.ports import AssetSink
from services.gallery.store import DOOMED_CHANNEL

BATCH = 100
SAFETY_SECONDS = 60.0
UNTOLD_SECONDS = 0.5  # the relay wakes nobody, and is through with an event in milliseconds

logger = structlog.get_logger(__name__)


class Sweeper:
    """An object that is not there is fine, so a crash in the middle only repeats a deletion."""

    def __init__(
        self, *, database: Database, assets: AssetSink, wakeups: Wakeups, clock: Clock
    ) -> None:
        self._database = database
        self._assets = assets
        self._wakeups = wakeups
        self._clock = clock

    async def run(self) -> None:
        """Delete until cancelled; an outage of storage is waited for."""
        backoff = Backoff()
        with self._wakeups.listen(DOOMED_CHANNEL) as wakeup:
            while True:
                try:
                    if not await self.work():
                        await wakeup.wait(await self._pause())
                    backoff.reset()
                except Exception as error:  # noqa: BLE001  # whatever it is, the rows stay
                    logger.warning("objects_not_deleted", error=repr(error))
                    await self._clock.sleep(backoff.next_seconds(0.5))

    async def _pause(self) -> float:
        async with self._database.read() as connection:
            is_untold = await store.is_untold(connection)
        return UNTOLD_SECONDS if is_untold else SAFETY_SECONDS

    async def work(self) -> int:
        """Delete some objects; answers how many.

        Raises:
            StorageUnavailable: nothing is forgotten, they stay due.
        """
        async with self._database.read() as connection:
            keys = await store.list_doomed(connection, BATCH)
        if keys:
            await self._assets.delete(keys)
            async with self._database.transaction() as transaction:
                await store.remove_doomed(transaction.connection, keys)
            logger.info("objects_deleted", objects=len(keys))
        return len(keys)
