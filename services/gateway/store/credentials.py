"""Statements about passwords and log-ins: what they are compared with, and what ends them."""

from datetime import datetime
from uuid import UUID

from msgspec import Struct

from libs.runtime.db import Connection

_COLUMNS = "user_id, password_hash, session_epoch"
SELECT_BY_EMAIL = f"""
    SELECT {_COLUMNS} FROM users WHERE lower(btrim(email)) = lower(btrim($1))
"""  # noqa: S608  -- put together from constants alone
SELECT_BY_ID = f"SELECT {_COLUMNS} FROM users WHERE user_id = $1"  # noqa: S608  -- as above
# Only in the place of the hash that was verified: somebody may have set another one since.
REPLACE_HASH = """
    UPDATE users SET password_hash = $3 WHERE user_id = $1 AND password_hash = $2
"""
EXCHANGE_HASH = """
    UPDATE users SET password_hash = $3, updated_at = $4
     WHERE user_id = $1 AND password_hash IS NOT DISTINCT FROM $2 RETURNING user_id
"""
BEGIN_EPOCH = """
    UPDATE users SET session_epoch = session_epoch + 1, sessions_from = $2
     WHERE user_id = $1 RETURNING session_epoch
"""


class Credentials(Struct, frozen=True, kw_only=True):
    """What a password is compared with; none: no password fits."""

    user_id: UUID
    password_hash: str | None
    session_epoch: int


async def find_by_email(connection: Connection, email: str) -> Credentials | None:
    row = await connection.fetchrow(SELECT_BY_EMAIL, email)
    return None if row is None else Credentials(**row)


async def find(connection: Connection, user_id: UUID) -> Credentials | None:
    row = await connection.fetchrow(SELECT_BY_ID, user_id)
    return None if row is None else Credentials(**row)


async def replace_hash(connection: Connection, user_id: UUID, old: str, new: str) -> None:
    """Keep the same password in a better form."""
    await connection.execute(REPLACE_HASH, user_id, old, new)


async def set_password(
    connection: Connection, user_id: UUID, old: str | None, new: str, at: datetime
) -> bool:
    """Another password in the place of this one; False: it is not this one any more."""
    return await connection.fetchval(EXCHANGE_HASH, user_id, old, new, at) is not None


async def begin_epoch(connection: Connection, user_id: UUID, at: datetime) -> int | None:
    """End all log-ins of a user; answers the epoch of those to come, none without such a user."""
    epoch: int | None = await connection.fetchval(BEGIN_EPOCH, user_id, at)
    return epoch
