"""Allowances: what was set for whom, and what they have used."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from uuid import UUID

from asyncpg import Record
from msgspec import Struct

from libs.runtime.db import Connection
from services.gateway.domain.limits import (
    Allowance,
    Kind,
    Meter,
    OwnPolicy,
    Policy,
    Settlement,
    Subject,
    Throttle,
)

LOCK = "SELECT * FROM lock_allowances($1::text[], $2::text[])"
SELECT = """
    SELECT a.* FROM unnest($1::text[], $2::text[]) AS w (kind, subject)
      JOIN allowance a ON a.kind = w.kind AND a.subject = w.subject
"""
SETTLE = """
    UPDATE allowance a
       SET credits = greatest(0, a.credits + change.credits),
           tokens = greatest(0, a.tokens + change.tokens)
      FROM unnest($1::text[], $2::text[], $3::date[], $4::bigint[], $5::bigint[])
           AS change (kind, subject, day, credits, tokens)
     WHERE a.kind = change.kind AND a.subject = change.subject AND a.day = change.day
"""
WRITE_POLICY = """
    UPDATE allowance SET per_minute = $3, credits_per_day = $4, tokens_per_day = $5,
           throttle_per_minute = $6, throttled_until = $7
     WHERE kind = $1 AND subject = $2
"""
SELECT_OWNER = {
    Kind.USER: "SELECT user_id FROM users WHERE user_id = $1",
    Kind.KEY: "SELECT account_id FROM api_key WHERE key_id = $1",
    Kind.WORKSPACE: "SELECT account_id FROM credit_account WHERE account_id = $1",
}
SELECT_NOW = "SELECT clock_timestamp()"


class Row(Struct, frozen=True, kw_only=True):
    """A subject's own policy, and what it has used."""

    subject: Subject
    own: OwnPolicy
    meter: Meter

    def allowance(self, defaults: Mapping[Kind, Policy], now: datetime) -> Allowance:
        """What the subject may do now."""
        policy = self.own.over(defaults[self.subject.kind], now)
        return Allowance(subject=self.subject, policy=policy, meter=self.meter)


async def lock(connection: Connection, subjects: Sequence[Subject]) -> list[Row]:
    """Lock the subjects' rows, which begin here if they are new, in the one order of locks."""
    rows = await connection.fetch(LOCK, *in_lock_order(subjects))
    return [row_of(row) for row in rows]


def in_lock_order(subjects: Iterable[Subject]) -> tuple[list[str], list[str]]:
    """Kinds and names of these subjects, each once, in the one order of locks."""
    return _names(sorted(set(subjects), key=lambda subject: subject.lock_order))


async def find(connection: Connection, subjects: Sequence[Subject]) -> list[Row]:
    """The subjects' rows as they are; of those that nobody has used yet, what they begin with."""
    rows = await connection.fetch(SELECT, *_names(subjects))
    found = {row.subject: row for row in map(row_of, rows)}
    return [
        found.get(subject, Row(subject=subject, own=OwnPolicy(), meter=Meter()))
        for subject in subjects
    ]


async def settle(connection: Connection, settlements: Sequence[Settlement]) -> None:
    """Correct the sums of a day. What is of a day gone by counts for nothing any more."""
    await connection.fetch(LOCK, *_names([each.subject for each in settlements]))
    await connection.execute(
        SETTLE,
        *_names([each.subject for each in settlements]),
        [each.day for each in settlements],
        [each.credits for each in settlements],
        [each.tokens for each in settlements],
    )


async def write_policy(connection: Connection, subject: Subject, own: OwnPolicy) -> None:
    """Write what is set for a locked subject."""
    throttle = own.throttle
    await connection.execute(
        WRITE_POLICY,
        subject.kind.value,
        subject.id,
        own.per_minute,
        own.credits_per_day,
        own.tokens_per_day,
        throttle and throttle.per_minute,
        throttle and throttle.until,
    )


async def find_owner(connection: Connection, kind: Kind, subject_id: UUID) -> UUID | None:
    """The account that a user, workspace or key belongs to; none when there is no such subject."""
    owner: UUID | None = await connection.fetchval(SELECT_OWNER[kind], subject_id)
    return owner


async def database_now(connection: Connection) -> datetime:
    """The clock that limits go by."""
    now: datetime = await connection.fetchval(SELECT_NOW)
    return now


def _names(subjects: Sequence[Subject]) -> tuple[list[str], list[str]]:
    return [each.kind.value for each in subjects], [each.id for each in subjects]


def row_of(row: Record) -> Row:
    """The allowance in a row of its table."""
    throttle = None
    if row["throttled_until"] is not None:
        throttle = Throttle(per_minute=row["throttle_per_minute"], until=row["throttled_until"])
    return Row(
        subject=Subject(Kind(row["kind"]), row["subject"]),
        own=OwnPolicy(
            per_minute=row["per_minute"],
            credits_per_day=row["credits_per_day"],
            tokens_per_day=row["tokens_per_day"],
            throttle=throttle,
        ),
        meter=Meter(
            drained_at=row["drained_at"],
            day=row["day"],
            credits=row["credits"],
            tokens=row["tokens"],
        ),
    )
