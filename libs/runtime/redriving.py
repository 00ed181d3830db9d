"""Redrives what an older release parked because it did not know it, once a release does.

An administrator could do the same by hand. It runs at the start and then once a minute: while a
release is being rolled out, the older processes may still park what the newer ones could read.
"""

from uuid import UUID

import structlog

from libs.events.names import Service
from libs.events.registry import REGISTRY, Registry, UndecodableEventError
from libs.runtime.clock import Clock
from libs.runtime.db import Database
from libs.runtime.deadletters import DeadLetters, ParkedBehindError, ParkedResolvedError

AGAIN_SECONDS = 60.0
TOO_NEW = ("unknown_type", "newer_version")
FIND = """
    SELECT parked_id FROM parked
     WHERE resolved_at IS NULL AND reason = ANY($1::text[]) AND event_type = ANY($2::text[])
     ORDER BY sequence
"""

logger = structlog.get_logger(__name__)


class Redriving:
    """Of one service; several replicas may do it at once, since a redrive locks its rows."""

    def __init__(
        self,
        letters: DeadLetters,
        *,
        service: Service,
        database: Database,
        clock: Clock,
        registry: Registry = REGISTRY,
    ) -> None:
        self._letters = letters
        self._actor = service.actor_id
        self._database = database
        self._clock = clock
        self._registry = registry
        self._types = [event_type.value for event_type in registry.models]
        self._still_too_new: set[UUID] = set()  # a process never learns: looked at once

    async def run(self) -> None:
        """Redrive until cancelled."""
        while True:
            await self.redrive_known()
            await self._clock.sleep(AGAIN_SECONDS)

    async def redrive_known(self) -> int:
        """Redrive every head that this release can read; answers how many there were."""
        async with self._database.read() as connection:
            found = await connection.fetch(FIND, TOO_NEW, self._types)
        redriven = 0
        for row in found:
            if row["parked_id"] not in self._still_too_new:
                redriven += await self._redrive(row["parked_id"])
        return redriven

    async def _redrive(self, parked_id: UUID) -> bool:
        if await self._is_too_new(parked_id):
            self._still_too_new.add(parked_id)
            return False
        try:
            steps = await self._letters.redrive(parked_id, actor=self._actor, is_dry_run=False)
        except (ParkedResolvedError, ParkedBehindError):
            return False  # another replica was quicker, or it follows what it stands behind
        logger.info("redriven_by_release", parked_id=parked_id, outcomes=[s.outcome for s in steps])
        return True

    async def _is_too_new(self, parked_id: UUID) -> bool:
        row = await self._letters.get(parked_id)
        try:
            self._registry.decode(row.encoded or b"")
        except UndecodableEventError as fault:
            return fault.reason in TOO_NEW
        return False
