"""Statements about mails to be sent, and about the tokens that came with one."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from uuid import UUID

import msgspec
from msgspec import Struct

from libs.runtime.db import Connection
from services.gateway.domain.mails import Template
from services.gateway.domain.notices import Notice

MAIL_CHANNEL = "mail"
"""A mail is due."""

QUEUE_BY_EMAIL = """
    INSERT INTO mail (mail_id, template, email, created_at, due_at) VALUES ($1, $2, $3, $4, $4)
"""
QUEUE_BY_USER = """
    INSERT INTO mail (mail_id, template, user_id, created_at, due_at) VALUES ($1, $2, $3, $4, $4)
"""
# Of an event that comes again, or of somebody who is there no more, no mail.
QUEUE_NOTICES = """
    INSERT INTO mail (mail_id, template, user_id, parameters, created_at, due_at)
    SELECT n.mail_id, n.template, u.user_id, n.parameters, n.at, clock_timestamp()
      FROM unnest($1::uuid[], $2::text[], $3::uuid[], $4::jsonb[], $5::timestamptz[])
           AS n (mail_id, template, user_id, parameters, at)
      JOIN users u ON u.user_id = n.user_id FOR KEY SHARE OF u
    ON CONFLICT (mail_id) DO NOTHING
"""
NEXT = "SELECT min(due_at) FROM mail WHERE failed_at IS NULL"
# Nobody else takes what is taken before the lease has run out: then its process has died.
TAKE = """
    UPDATE mail SET due_at = $1::timestamptz + $2::interval, attempts = attempts + 1
     WHERE mail_id IN (
           SELECT mail_id FROM mail WHERE failed_at IS NULL AND due_at <= $1
            ORDER BY due_at LIMIT $3 FOR UPDATE SKIP LOCKED)
    RETURNING mail_id, template, user_id, email, parameters, attempts
"""
RECIPIENT = """
    SELECT user_id, email FROM users
     WHERE email IS NOT NULL AND (user_id = $1 OR lower(btrim(email)) = lower(btrim($2)))
"""
REMOVE = "DELETE FROM mail WHERE mail_id = $1 AND attempts = $2"
DELAY = """
    UPDATE mail SET due_at = $3, error = $4 WHERE mail_id = $1 AND attempts = $2
"""
GIVE_UP = """
    UPDATE mail SET failed_at = $3, error = $4 WHERE mail_id = $1 AND attempts = $2
"""
REMOVE_FAILED = "DELETE FROM mail WHERE failed_at < $1"
ADD_RESET = """
    WITH over AS (DELETE FROM password_reset WHERE expires_at < $4)
    INSERT INTO password_reset (token_sha256, user_id, expires_at) VALUES ($1, $2, $3)
"""
FIND_RESET = "SELECT user_id FROM password_reset WHERE token_sha256 = $1 AND expires_at > $2"
# All of the user's go with the one that was used; of two at once the second finds nothing.
USE_RESET = """
    WITH used AS (
        DELETE FROM password_reset WHERE token_sha256 = $1 AND expires_at > $2 RETURNING user_id
    ), others AS (
        DELETE FROM password_reset WHERE user_id IN (SELECT user_id FROM used)
           AND token_sha256 <> $1
    )
    SELECT user_id FROM used
"""
RESET_HASH = "UPDATE users SET password_hash = $2, updated_at = $3 WHERE user_id = $1"


class Due(Struct, frozen=True, kw_only=True):
    """A mail that this process is to send now; `attempts` says that it is still its turn."""

    mail_id: UUID
    template: Template
    user_id: UUID | None
    email: str | None
    parameters: Mapping[str, str]
    attempts: int


class Recipient(Struct, frozen=True, kw_only=True):
    user_id: UUID
    email: str


async def queue_to_email(
    connection: Connection, mail_id: UUID, template: Template, email: str, at: datetime
) -> None:
    """A mail to whoever has this e-mail, if anybody has."""
    await connection.execute(QUEUE_BY_EMAIL, mail_id, template.value, email, at)


async def queue_to_user(
    connection: Connection, mail_id: UUID, template: Template, user_id: UUID, at: datetime
) -> None:
    """A mail to a user, at the e-mail that they have when it is sent."""
    await connection.execute(QUEUE_BY_USER, mail_id, template.value, user_id, at)


async def queue_notices(connection: Connection, notices: Sequence[Notice]) -> None:
    """Mails that events ask for: each event is one mail, however often it comes."""
    await connection.execute(
        QUEUE_NOTICES,
        [each.mail_id for each in notices],
        [each.template.value for each in notices],
        [each.user_id for each in notices],
        [msgspec.json.encode(each.parameters).decode() for each in notices],
        [each.at for each in notices],
    )


async def next_at(connection: Connection) -> datetime | None:
    at: datetime | None = await connection.fetchval(NEXT)
    return at


async def take(connection: Connection, at: datetime, lease: timedelta, most: int) -> Sequence[Due]:
    """Take mails that are due, for as long as the lease lasts."""
    rows = await connection.fetch(TAKE, at, lease, most)
    return [
        Due(
            mail_id=row["mail_id"],
            template=Template(row["template"]),
            user_id=row["user_id"],
            email=row["email"],
            parameters=msgspec.json.decode(row["parameters"], type=dict[str, str]),
            attempts=row["attempts"],
        )
        for row in rows
    ]


async def recipient(connection: Connection, due: Due) -> Recipient | None:
    """Whom a mail is for; None: nobody, or nobody with an e-mail."""
    row = await connection.fetchrow(RECIPIENT, due.user_id, due.email)
    return None if row is None else Recipient(**row)


async def remove(connection: Connection, due: Due) -> None:
    """It was sent, or is for nobody."""
    await connection.execute(REMOVE, due.mail_id, due.attempts)


async def delay(connection: Connection, due: Due, until: datetime, error: str) -> None:
    await connection.execute(DELAY, due.mail_id, due.attempts, until, error)


async def give_up(connection: Connection, due: Due, at: datetime, error: str) -> None:
    await connection.execute(GIVE_UP, due.mail_id, due.attempts, at, error)


async def remove_failed(connection: Connection, before: datetime) -> None:
    await connection.execute(REMOVE_FAILED, before)


async def add_token(
    connection: Connection, token_sha256: bytes, user_id: UUID, expires_at: datetime, at: datetime
) -> None:
    """Keep a token's hash; those that have expired go."""
    await connection.execute(ADD_RESET, token_sha256, user_id, expires_at, at)


async def find_token(connection: Connection, token_sha256: bytes, at: datetime) -> UUID | None:
    user_id: UUID | None = await connection.fetchval(FIND_RESET, token_sha256, at)
    return user_id


async def use_token(connection: Connection, token_sha256: bytes, at: datetime) -> UUID | None:
    """The user of a token, which opens nothing any more; None: it did not before."""
    user_id: UUID | None = await connection.fetchval(USE_RESET, token_sha256, at)
    return user_id


async def reset_hash(
    connection: Connection, user_id: UUID, password_hash: str, at: datetime
) -> None:
    await connection.execute(RESET_HASH, user_id, password_hash, at)
