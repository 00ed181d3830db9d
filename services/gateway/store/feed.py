"""What users are told, in order: rows with a position per user."""

from collections import Counter
from collections.abc import Sequence
from typing import Final
from uuid import UUID

import msgspec
from msgspec import Struct

from libs.runtime.db import Connection
from services.gateway.domain.books import FeedEntry, FeedKind
from services.gateway.domain.jobs import JobState
from services.gateway.store.jobs import STATE_COLUMNS, OwnJob, own_job

FEED_CHANNEL: Final = "feed"
"""Wake-ups by user: their feed has grown."""

# Positions are given out under the locks of the users' head rows, so they are in commit order.
ADVANCE_HEADS = """
    INSERT INTO feed_head (user_id, position)
    SELECT user_id, position FROM unnest($1::uuid[], $2::bigint[]) AS told (user_id, position)
     WHERE EXISTS (SELECT FROM users WHERE users.user_id = told.user_id)
    ON CONFLICT (user_id) DO UPDATE SET position = feed_head.position + excluded.position
    RETURNING user_id, position
"""
APPEND = """
    INSERT INTO feed (user_id, position, job_id, kind, state)
    SELECT * FROM unnest($1::uuid[], $2::bigint[], $3::uuid[], $4::text[], $5::jsonb[])
"""
# One statement sees job and position as of one instant: projections change both together.
SELECT_SNAPSHOT = f"""
    SELECT job_id, operation, provider, model, prompt, units, unit_credits, price_book_version,
           created_at, deadline_at, {STATE_COLUMNS},
           coalesce((SELECT h.position FROM feed_head h WHERE h.user_id = $2), 0) AS head,
           (SELECT min(f.position) FROM feed f WHERE f.user_id = $2) AS first
      FROM job WHERE job_id = $1 AND user_id = $2
"""  # noqa: S608  -- put together from constants alone
# A row without a position says that there is nothing new; no row, that nobody may listen any more.
SELECT_AFTER = """
    SELECT f.position, f.kind, f.state
      FROM users u
      LEFT JOIN LATERAL (
           SELECT position, kind, state FROM feed
            WHERE user_id = u.user_id AND position > $2 AND job_id = $3
            ORDER BY position LIMIT 500) f ON true
     WHERE u.user_id = $1 AND u.banned_at IS NULL
       AND ($5::integer IS NULL OR u.session_epoch = $5) AND ($4::uuid IS NULL OR EXISTS (
           SELECT FROM api_key k WHERE k.key_id = $4 AND k.revoked_at IS NULL))
     ORDER BY f.position
"""


class Snapshot(Struct, frozen=True, kw_only=True):
    """A job and its user's feed at one instant: positions `first` to `head` are kept."""

    job: OwnJob
    head: int
    first: int

    def can_resume(self, position: int) -> bool:
        """Whether the position was given out, and everything behind it is still there."""
        return self.first - 1 <= position <= self.head


class Listener(Struct, frozen=True, kw_only=True):
    """Whose jobs are followed, by which API key, if by one, or by a log-in of which epoch."""

    user_id: UUID
    api_key_id: UUID | None = None
    session_epoch: int | None = None


class FeedRow(Struct, frozen=True, kw_only=True):
    """Something told about a job."""

    position: int
    kind: FeedKind
    state: JobState


async def append(connection: Connection, entries: Sequence[FeedEntry]) -> None:
    """Add entries, in their order, behind whatever their users have been told before.

    Who was erased is told nothing any more.
    """
    counts = Counter(entry.user_id for entry in entries)
    users = sorted(counts)
    rows = await connection.fetch(ADVANCE_HEADS, users, [counts[user] for user in users])
    following = {row["user_id"]: row["position"] - counts[row["user_id"]] + 1 for row in rows}
    entries = [entry for entry in entries if entry.user_id in following]
    positions = []
    for entry in entries:
        positions.append(following[entry.user_id])
        following[entry.user_id] += 1
    await connection.execute(
        APPEND,
        [entry.user_id for entry in entries],
        positions,
        [entry.job_id for entry in entries],
        [entry.kind.value for entry in entries],
        [msgspec.json.encode(entry.state).decode() for entry in entries],
    )


async def snapshot(connection: Connection, job_id: UUID, user_id: UUID) -> Snapshot | None:
    """A user's job and feed now; none when the job is not theirs."""
    row = await connection.fetchrow(SELECT_SNAPSHOT, job_id, user_id)
    if row is None:
        return None
    head = row["head"]
    first = head + 1 if row["first"] is None else row["first"]
    return Snapshot(job=own_job(row), head=head, first=first)


class NoListenerError(Exception):
    """The user is banned, or key or log-in were revoked: they are told nothing more."""


async def rows_after(
    connection: Connection, listener: Listener, position: int, job_id: UUID
) -> list[FeedRow]:
    """What was told about a job behind a position.

    Raises:
        NoListenerError: the listener may not listen, or no more.
    """
    rows = await connection.fetch(
        SELECT_AFTER,
        listener.user_id,
        position,
        job_id,
        listener.api_key_id,
        listener.session_epoch,
    )
    if not rows:
        raise NoListenerError
    return [
        FeedRow(
            position=row["position"],
            kind=FeedKind(row["kind"]),
            state=msgspec.json.decode(row["state"], type=JobState),
        )
        for row in rows
        if row["position"] is not None
    ]
