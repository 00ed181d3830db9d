"""What happens to a job, told as it happens: from the feed, woken by the projection."""

from collections.abc import AsyncIterator
from datetime import datetime
from typing import Final
from uuid import UUID

from msgspec import Struct

from libs.runtime.clock import Clock
from libs.runtime.db import Database
from libs.runtime.wakeups import Wakeup, Wakeups
from services.gateway.domain.jobs import JobState
from services.gateway.handlers.errors import JobNotFound, UserBanned
from services.gateway.store import feed as store
from services.gateway.store.feed import FEED_CHANNEL, Listener, NoListenerError, Snapshot
from services.gateway.store.jobs import OwnJob

# A process may die between its commit and its wake-up call to the others: so every listener
# looks by itself now and then.
SAFETY_SECONDS: Final = 15.0

SNAPSHOT: Final = "snapshot"
RESYNC: Final = "resync"


class Told(Struct, frozen=True, kw_only=True):
    """One pushed event: the job as it was then, and the feed position to resume from."""

    kind: str
    position: int
    job: OwnJob
    state: JobState


class Streams:
    """Opens streams of a user's jobs."""

    def __init__(self, *, database: Database, wakeups: Wakeups, clock: Clock) -> None:
        self._database = database
        self._wakeups = wakeups
        self._clock = clock

    async def open(
        self, job_id: UUID, listener: Listener, *, after: int | None, until: datetime | None
    ) -> "Stream | None":
        """A stream of a job from behind a position on, or from now; it ends with the log-in.

        None: there will be nothing more.

        Raises:
            JobNotFound: there is no such job, or it is somebody else's.
            UserBanned: the user is banned, or their key was revoked just now.
        """
        async with self._database.read() as connection:
            start = await store.snapshot(connection, job_id, listener.user_id)
            if start is None:
                raise JobNotFound
            try:
                rows = await store.rows_after(
                    connection, listener, start.head if after is None else after, job_id
                )
            except NoListenerError:
                raise UserBanned from None
        if after is not None and start.job.state.is_final and start.can_resume(after) and not rows:
            return None
        return Stream(
            database=self._database,
            wakeups=self._wakeups,
            clock=self._clock,
            listener=listener,
            start=start,
            after=after,
            until=until,
        )


class Stream:
    """The events of one job, up to its end."""

    def __init__(
        self,
        *,
        database: Database,
        wakeups: Wakeups,
        clock: Clock,
        listener: Listener,
        start: Snapshot,
        after: int | None,
        until: datetime | None,
    ) -> None:
        self._database = database
        self._wakeups = wakeups
        self._clock = clock
        self._until = until
        self._listener = listener
        self._start = start
        self._after = after

    async def events(self) -> AsyncIterator[Told | None]:
        """Events as they come; None where nothing came for a while."""
        start, position = self._start, self._after
        with self._wakeups.listen(FEED_CHANNEL, str(self._listener.user_id)) as wakeup:
            if position is None or not start.can_resume(position):
                kind = SNAPSHOT if position is None else RESYNC
                position = start.head
                yield Told(kind=kind, position=position, job=start.job, state=start.job.state)
                if start.job.state.is_final:
                    return
            async for told in self._follow(wakeup, position):
                yield told

    async def _follow(self, wakeup: Wakeup, position: int) -> AsyncIterator[Told | None]:
        while self._until is None or self._clock.now() < self._until:
            try:
                async with self._database.read() as connection:
                    rows = await store.rows_after(
                        connection, self._listener, position, self._start.job.job_id
                    )
            except NoListenerError:
                return  # banned, or the key was revoked: coming back is refused
            for row in rows:
                position = row.position
                yield Told(
                    kind=row.kind.value,
                    position=position,
                    job=self._start.job,
                    state=row.state,
                )
                if row.kind.is_last:
                    return
            if not rows and not await wakeup.wait(SAFETY_SECONDS):
                yield None
