"""Statements about what people show of themselves, and about the objects of their pictures."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from libs.runtime.db import Connection

PROFILE_CHANNEL = "profile-objects"
"""An object may go."""

SET_NAME = "UPDATE users SET display_name = $2, updated_at = $3 WHERE user_id = $1"
LOOK_AFTER = """
    INSERT INTO profile_object (key, due_at) VALUES ($1, $2)
    ON CONFLICT (key) DO UPDATE SET due_at = greatest(profile_object.due_at, excluded.due_at)
"""
LOCK_PICTURE = "SELECT profile_image FROM users WHERE user_id = $1 FOR UPDATE"
# The old picture's object may go at once; the new one's needs nobody to look after it any more.
SET_PICTURE = """
    WITH doomed AS (
        INSERT INTO profile_object (key, due_at) SELECT $4::text, $3::timestamptz
         WHERE $4::text <> coalesce($2::text, '')
        ON CONFLICT (key) DO UPDATE SET due_at = excluded.due_at
    ), kept AS (
        DELETE FROM profile_object WHERE key = $2
    )
    UPDATE users SET profile_image = $2, updated_at = $3 WHERE user_id = $1
"""
NEXT = "SELECT min(due_at) FROM profile_object"
# Whoever stores the same picture again meanwhile waits for these rows.
LOCK_DUE = """
    SELECT key, EXISTS (SELECT FROM users WHERE profile_image = key) AS is_shown
      FROM profile_object WHERE due_at <= $1 ORDER BY due_at LIMIT 20 FOR UPDATE SKIP LOCKED
"""
FORGET = "DELETE FROM profile_object WHERE key = ANY($1::text[])"


async def set_name(connection: Connection, user_id: UUID, name: str | None, at: datetime) -> None:
    await connection.execute(SET_NAME, user_id, name, at)


async def look_after(connection: Connection, key: str, until: datetime) -> None:
    """Somebody is about to store an object; if no user has it by then, it is deleted."""
    await connection.execute(LOOK_AFTER, key, until)


async def set_picture(connection: Connection, user_id: UUID, key: str | None, at: datetime) -> None:
    """Show a stored object, or none."""
    old = await connection.fetchval(LOCK_PICTURE, user_id)
    await connection.execute(SET_PICTURE, user_id, key, at, old)


async def next_at(connection: Connection) -> datetime | None:
    at: datetime | None = await connection.fetchval(NEXT)
    return at


async def lock_due(connection: Connection, at: datetime) -> tuple[list[str], list[str]]:
    """Lock objects whose time has come: those that nobody shows, and all of them."""
    rows = await connection.fetch(LOCK_DUE, at)
    return [row["key"] for row in rows if not row["is_shown"]], [row["key"] for row in rows]


async def forget(connection: Connection, keys: Sequence[str]) -> None:
    await connection.execute(FORGET, keys)
