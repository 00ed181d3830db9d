"""Waiting until the gateway's copy of an account says what the ledger has booked."""

from collections.abc import Awaitable, Callable
from typing import Final
from uuid import UUID

from libs.runtime.clock import Clock
from libs.runtime.db import Database
from libs.runtime.wakeups import Wakeups
from services.gateway.store import deductions as store
from services.gateway.store.deductions import ACCOUNT_CHANNEL

PATIENCE_SECONDS: Final = 5.0
LOOK_SECONDS: Final = 1.0  # a wake-up may be lost with the process that had to send it


class Copies:
    """Follows the copies of accounts."""

    def __init__(self, *, database: Database, wakeups: Wakeups, clock: Clock) -> None:
        self._database = database
        self._wakeups = wakeups
        self._clock = clock

    async def has_reached(self, account_id: UUID, version: int) -> bool:
        """Whether the copy is at a version within five seconds."""

        async def is_there() -> bool:
            async with self._database.read() as connection:
                return await store.find_version(connection, account_id) >= version

        return await self.until(account_id, is_there)

    async def until(self, account_id: UUID, is_there: Callable[[], Awaitable[bool]]) -> bool:
        """Whether something about an account has become true within five seconds."""
        end = self._clock.monotonic() + PATIENCE_SECONDS
        with self._wakeups.listen(ACCOUNT_CHANNEL, str(account_id)) as wakeup:
            while not await is_there():
                left_seconds = end - self._clock.monotonic()
                if left_seconds <= 0:
                    return False
                await wakeup.wait(min(left_seconds, LOOK_SECONDS))
        return True
