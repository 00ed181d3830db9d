"""Stories out of the trail: of one job, or of whatever was asked for."""

from collections.abc import Sequence
from uuid import UUID

from libs.runtime.auth import Principal
from libs.runtime.db import Connection, Database
from libs.runtime.errors import BadRequest, NotFound, Unprocessable
from libs.runtime.paging import Position
from services.ledger.domain.story.story import Story, lots_in, tell
from services.ledger.domain.story.telling import Telling
from services.ledger.domain.trail import TrailRow
from services.ledger.store import trail
from services.ledger.store.trail import Found, Wanted


class JobUnknown(NotFound):
    code = "job_not_found"

    def __init__(self) -> None:
        super().__init__(
            "There is no such job of yours: check its id; of a new one, ask again in a second."
        )


class NoPath(BadRequest):
    code = "invalid_path"

    def __init__(self) -> None:
        super().__init__("Write `path` as a JSON path of SQL, such as $.request.units > 2.")


class SearchTooWide(Unprocessable):
    code = "search_too_wide"

    def __init__(self) -> None:
        super().__init__("The search took too long: narrow it by a time, a type or an account.")


class Stories:
    """Answers out of the trail, by connections that no booking waits for."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def of_job(self, job_id: UUID, caller: Principal) -> Story:
        """A job's story, for the person who asked for it or an administrator.

        Raises:
            JobUnknown: nothing of it is on the trail, or it is somebody else's.
        """
        async with self._database.read() as connection:
            rows = await self._job(connection, job_id, caller)
            (story,) = await _stories(connection, [rows], is_admin=caller.is_admin)
            return story

    async def events_of_job(self, job_id: UUID, caller: Principal) -> Sequence[TrailRow]:
        """A job's events, the oldest first.

        Raises:
            JobUnknown: as above.
        """
        async with self._database.read() as connection:
            return await self._job(connection, job_id, caller)

    async def of_chain(self, correlation_id: UUID) -> list[Story]:
        """What one cause has led to; nothing if it is not known. For administrators."""
        async with self._database.read() as connection:
            chains = await trail.find_chains(connection, [correlation_id])
            return await _stories(connection, chains, is_admin=True)

    async def newest(self, several: Sequence[Wanted], limit: int) -> list[Story]:
        """The newest stories in which an event fits one of these. For administrators.

        Raises:
            SearchTooWide: it took too long.
        """
        async with self._database.read() as connection:
            ids: list[UUID] = []
            for wanted in several:
                try:
                    ids += await trail.list_chains(connection, wanted, limit)
                except TimeoutError:
                    raise SearchTooWide from None
            chains = await trail.find_chains(connection, set(ids))
            stories = await _stories(connection, chains, is_admin=True)
        return sorted(stories, key=lambda story: story.began_at, reverse=True)[:limit]

    async def search(self, wanted: Wanted, after: Position, limit: int) -> Found:
        """A page of events.

        Raises:
            NoPath: what was given as one is none. SearchTooWide: it took too long.
        """
        async with self._database.read() as connection:
            if wanted.path is not None and not await trail.is_path(connection, wanted.path):
                raise NoPath
            try:
                return await trail.search(connection, wanted, after, limit)
            except TimeoutError:
                raise SearchTooWide from None

    async def _job(
        self, connection: Connection, job_id: UUID, caller: Principal
    ) -> Sequence[TrailRow]:
        rows = await trail.find_job(connection, job_id)
        if not rows or not (caller.is_admin or _is_of(caller, rows, job_id)):
            raise JobUnknown
        return rows


def _is_of(caller: Principal, rows: Sequence[TrailRow], job_id: UUID) -> bool:
    """Who acted has the job; where nobody can tell, who pays for it."""
    own = [row for row in rows if row.subject == str(job_id)]
    actor = next((row.user_id for row in own if row.user_id is not None), None)
    if actor is not None:
        return actor == caller.user_id
    return caller.account_id in {row.account_id for row in own}


async def _stories(
    connection: Connection, chains: Sequence[Sequence[TrailRow]], *, is_admin: bool
) -> list[Story]:
    several = [[row.envelope for row in rows] for rows in chains]
    spoken_of = set[UUID]().union(*map(lots_in, several))
    telling = Telling(is_admin=is_admin, lots=await trail.find_lots(connection, spoken_of))
    return [tell(envelopes, telling) for envelopes in several]
