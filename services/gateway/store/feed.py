"""What users are told, in order: rows with a position per user."""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import Final, TypeAlias
from uuid import UUID

import msgspec
from asyncpg import Record
from msgspec import Struct

from libs.runtime.db import Connection
from services.gateway.domain.credits import AccountCopy
from services.gateway.domain.feed import FeedEntry, FeedKind, GalleryNews
from services.gateway.domain.jobs import JobState
from services.gateway.store.jobs import ORDER_COLUMNS, STATE_COLUMNS, OwnJob, own_job

FEED_CHANNEL: Final = "feed"
"""Wake-ups by user: their feed has grown."""
ROWS_MAX: Final = 100
"""Read at once: what a reader that is slow makes us keep."""
RECENT_MAX: Final = 100
"""Jobs that an overview looks through: older ones are past their deadlines."""

# Positions are given out under the locks of the users' head rows, so they are in commit order.
ADVANCE_HEADS = """
    INSERT INTO feed_head (user_id, position)
    SELECT user_id, position FROM unnest($1::uuid[], $2::bigint[]) AS told (user_id, position)
     WHERE EXISTS (SELECT FROM users WHERE users.user_id = told.user_id)
    ON CONFLICT (user_id) DO UPDATE SET position = feed_head.position + excluded.position
    RETURNING user_id, position
"""
# A balance is read under the head's lock, and so the last one that is told is the newest.
APPEND = """
    INSERT INTO feed (user_id, position, job_id, kind, body)
    SELECT user_id, position, job_id, kind, coalesce(body, (
           SELECT jsonb_build_object('version', version, 'settled', settled, 'grace', grace,
                                     'held', held)
             FROM credit_account WHERE account_id = user_id))
      FROM unnest($1::uuid[], $2::bigint[], $3::uuid[], $4::text[], $5::jsonb[])
           AS told (user_id, position, job_id, kind, body)
"""
_BOUNDS = """
           coalesce((SELECT h.position FROM feed_head h WHERE h.user_id = $1), 0) AS head,
           (SELECT min(f.position) FROM feed f WHERE f.user_id = $1) AS first
"""
# One statement sees job and position as of one instant: projections change both together.
SELECT_JOB = f"""
    SELECT {ORDER_COLUMNS}, {STATE_COLUMNS}, {_BOUNDS}
      FROM job WHERE user_id = $1 AND job_id = $2
"""  # noqa: S608  -- put together from constants alone
SELECT_BALANCE = f"""
    SELECT version, settled, grace, held, {_BOUNDS} FROM credit_account WHERE account_id = $1
"""  # noqa: S608  -- as above
SELECT_UNDER_WAY = f"""
    SELECT * FROM (
           SELECT {ORDER_COLUMNS}, {STATE_COLUMNS} FROM job
            WHERE user_id = $1 ORDER BY created_at DESC, job_id DESC LIMIT $2) recent
     WHERE status IN ('PENDING', 'PROCESSING')
     ORDER BY created_at DESC, job_id DESC
"""  # noqa: S608  -- as above
# A row without a position says that there is nothing new; no row, that nobody may listen any more.
SELECT_AFTER = f"""
    SELECT coalesce(h.position, 0) AS head, told.*
      FROM users u
      LEFT JOIN feed_head h ON h.user_id = u.user_id
      LEFT JOIN LATERAL (
           SELECT f.position, f.kind, f.body, {ORDER_COLUMNS}
             FROM feed f LEFT JOIN job USING (job_id)
            WHERE f.user_id = u.user_id AND f.position > $2
              AND ($3::uuid IS NULL OR (f.job_id = $3 AND f.kind <> 'job.created'))
            ORDER BY f.position LIMIT $6) told ON true
     WHERE u.user_id = $1 AND u.banned_at IS NULL
       AND ($5::integer IS NULL OR u.session_epoch = $5) AND ($4::uuid IS NULL OR EXISTS (
           SELECT FROM api_key k WHERE k.key_id = $4 AND k.revoked_at IS NULL))
     ORDER BY told.position
"""  # noqa: S608  -- as above
DELETE_OLD = """
    DELETE FROM feed WHERE (user_id, position) IN (
           SELECT user_id, position FROM feed WHERE told_at < $1 ORDER BY told_at LIMIT $2)
"""


class Overview(Struct, frozen=True, kw_only=True):
    """Where a user stands: credits, and the jobs under way, the newest first."""

    balance: AccountCopy
    jobs: tuple[OwnJob, ...]


Subject: TypeAlias = OwnJob | Overview | AccountCopy | GalleryNews
"""What is told: a job or a user as they were then, a balance, or pictures."""


class Snapshot(Struct, frozen=True, kw_only=True):
    """A job or a user, and the feed at one instant: positions `first` to `head` are kept."""

    subject: OwnJob | Overview
    head: int
    first: int

    def can_resume(self, position: int) -> bool:
        """Whether the position was given out, and everything behind it is still there."""
        return self.first - 1 <= position <= self.head

    @property
    def has_ended(self) -> bool:
        """Whether nothing more will be told."""
        return isinstance(self.subject, OwnJob) and self.subject.state.is_final


class Listener(Struct, frozen=True, kw_only=True):
    """Who listens, by which API key, if by one, or by a log-in of which epoch."""

    user_id: UUID
    api_key_id: UUID | None = None
    session_epoch: int | None = None


class FeedRow(Struct, frozen=True, kw_only=True):
    """Something told."""

    position: int
    kind: FeedKind
    subject: Subject


class News(Struct, frozen=True, kw_only=True):
    """What was told behind a position; up to `read_to` there is nothing else."""

    rows: Sequence[FeedRow]
    read_to: int


async def append(
    connection: Connection, entries: Sequence[FeedEntry]
) -> Sequence[tuple[FeedEntry, int]]:
    """Add entries, in their order, behind whatever their users have been told before.

    Who was erased is told nothing any more. Answers what is told, each with its position.
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
        [entry.body and msgspec.json.encode(entry.body).decode() for entry in entries],
    )
    return list(zip(entries, positions, strict=True))


async def job_snapshot(connection: Connection, user_id: UUID, job_id: UUID) -> Snapshot | None:
    """A user's job and feed now; none when the job is not theirs."""
    row = await connection.fetchrow(SELECT_JOB, user_id, job_id)
    return None if row is None else _snapshot(row, own_job(row))


async def overview(connection: Connection, user_id: UUID) -> Snapshot | None:
    """A user and their feed now; none when they are not there."""
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        row = await connection.fetchrow(SELECT_BALANCE, user_id)
        jobs = await connection.fetch(SELECT_UNDER_WAY, user_id, RECENT_MAX)
    if row is None:
        return None
    balance = AccountCopy(
        version=row["version"], settled=row["settled"], grace=row["grace"], held=row["held"]
    )
    return _snapshot(row, Overview(balance=balance, jobs=tuple(map(own_job, jobs))))


def _snapshot(row: Record, subject: OwnJob | Overview) -> Snapshot:
    head = row["head"]
    first = head + 1 if row["first"] is None else row["first"]
    return Snapshot(subject=subject, head=head, first=first)


class NoListenerError(Exception):
    """The user is banned, or key or log-in were revoked: they are told nothing more."""


async def news_after(
    connection: Connection, listener: Listener, position: int, job_id: UUID | None
) -> News:
    """What a user was told behind a position: of a job, or all of it.

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
        ROWS_MAX,
    )
    if not rows:
        raise NoListenerError
    told = [_feed_row(row) for row in rows if row["position"] is not None]
    is_all = len(told) < ROWS_MAX
    read_to = max(position, rows[0]["head"]) if is_all else told[-1].position
    return News(rows=told, read_to=read_to)


def _feed_row(row: Record) -> FeedRow:
    kind = FeedKind(row["kind"])
    return FeedRow(position=row["position"], kind=kind, subject=_subject(kind, row))


def _subject(kind: FeedKind, row: Record) -> Subject:
    match kind:
        case FeedKind.BALANCE_CHANGED:
            return msgspec.json.decode(row["body"], type=AccountCopy)
        case FeedKind.GALLERY_ADDED | FeedKind.GALLERY_CHANGED | FeedKind.GALLERY_REMOVED:
            return msgspec.json.decode(row["body"], type=GalleryNews)
    return own_job(row, msgspec.json.decode(row["body"], type=JobState))


async def delete_before(connection: Connection, moment: datetime, rows_max: int) -> int:
    """Forget what was told before a moment, the oldest first; answers how many rows went."""
    done = await connection.execute(DELETE_OLD, moment, rows_max)
    return int(done.rpartition(" ")[2])
