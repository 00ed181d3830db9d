"""What happens to users and their jobs, told as it happens: the feed, read at each wake-up."""

from collections.abc import AsyncGenerator
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

import structlog
from msgspec import Struct

from libs.runtime.clock import Clock
from libs.runtime.db import Database
from libs.runtime.errors import Unauthorized
from libs.runtime.wakeups import Wakeup, Wakeups
from services.gateway.handlers.errors import JobNotFound, UnknownUser, UserBanned
from services.gateway.store import feed as store
from services.gateway.store.feed import FEED_CHANNEL, Listener, NoListenerError, Snapshot, Subject

# A process may die between its commit and its wake-up call to the others: so every listener
# looks by itself now and then.
SAFETY_SECONDS: Final = 15.0

SNAPSHOT: Final = "snapshot"
RESYNC: Final = "resync"

KEPT: Final = timedelta(days=7)
FORGET_SECONDS: Final = 3_600.0
FORGOTTEN_AT_ONCE: Final = 5_000

logger = structlog.get_logger(__name__)


class Told(Struct, frozen=True, kw_only=True):
    """One pushed event: what it is about as it was then, and the position to resume from."""

    kind: str
    position: int
    subject: Subject


class Streams:
    """Opens streams: of a job, or of everything that is a user's."""

    def __init__(self, *, database: Database, wakeups: Wakeups, clock: Clock) -> None:
        self._database = database
        self._wakeups = wakeups
        self._clock = clock

    async def open(
        self, job_id: UUID | None, listener: Listener, *, after: int | None, until: datetime | None
    ) -> "Stream | None":
        """A stream from behind a position on, or from now; it ends with the log-in.

        Without a job it is of everything. None: there will be nothing more.

        Raises:
            JobNotFound: there is no such job, or it is somebody else's.
            UnknownUser: the user is there no more.
            UserBanned: they are banned, or their key or log-in was revoked just now.
            Unauthorized: their log-in has ended.
        """
        if until is not None and until <= self._clock.now():
            raise Unauthorized("The log-in has ended: log in again.")
        async with self._database.read() as connection:
            if job_id is None:
                start = await store.overview(connection, listener.user_id)
            else:
                start = await store.job_snapshot(connection, listener.user_id, job_id)
            if start is None:
                raise UnknownUser if job_id is None else JobNotFound
            try:
                news = await store.news_after(
                    connection, listener, start.head if after is None else after, job_id
                )
            except NoListenerError:
                raise UserBanned from None
        is_known = after is not None and start.can_resume(after) and not news.rows
        if is_known and start.has_ended:
            return None
        return Stream(
            database=self._database,
            wakeups=self._wakeups,
            clock=self._clock,
            listener=listener,
            job_id=job_id,
            start=start,
            after=after,
            until=until,
        )

    async def forget(self) -> None:
        """Forget what was told long ago, now and then, until cancelled."""
        while True:
            async with self._database.read() as connection:
                gone = await store.delete_before(
                    connection, self._clock.now() - KEPT, FORGOTTEN_AT_ONCE
                )
            if gone < FORGOTTEN_AT_ONCE:
                await self._clock.sleep(FORGET_SECONDS)


class Stream:
    """What is told from a position on; of a job, up to its end."""

    def __init__(
        self,
        *,
        database: Database,
        wakeups: Wakeups,
        clock: Clock,
        listener: Listener,
        job_id: UUID | None,
        start: Snapshot,
        after: int | None,
        until: datetime | None,
    ) -> None:
        self._database = database
        self._wakeups = wakeups
        self._clock = clock
        self._listener = listener
        self._job_id = job_id
        self._start: Snapshot | None = start  # until it is told
        self._after = after
        self._until = until
        self.was_refused = False
        """Whether it has ended because nobody may listen any more."""

    async def events(self) -> AsyncGenerator[Told | None, None]:
        """Events as they come; None where nothing came for a while.

        Raises:
            DatabaseUnavailable: nobody knows what comes next; whoever comes back, finds it.
        """
        with self._wakeups.listen(FEED_CHANNEL, str(self._listener.user_id)) as wakeup:
            start, self._start = self._start, None
            assert start is not None  # noqa: S101  # a stream is read once
            position = self._after
            if position is None or not start.can_resume(position):
                kind = SNAPSHOT if position is None else RESYNC
                position = start.head
                yield Told(kind=kind, position=position, subject=start.subject)
                if start.has_ended:
                    return
            del start  # a picture of hours ago is not kept as long as the stream lasts
            async for told in self._follow(wakeup, position):
                yield told

    async def _follow(self, wakeup: Wakeup, position: int) -> AsyncGenerator[Told | None, None]:
        while self._until is None or self._clock.now() < self._until:
            try:
                async with self._database.read() as connection:
                    news = await store.news_after(
                        connection, self._listener, position, self._job_id
                    )
            except NoListenerError:
                break  # banned, or key or log-in were revoked: coming back is refused
            for row in news.rows:
                yield Told(kind=row.kind.value, position=row.position, subject=row.subject)
                if self._job_id is not None and row.kind.is_last:
                    return
            position = news.read_to
            if not news.rows and not await wakeup.wait(SAFETY_SECONDS):
                yield None
        self.was_refused = True
