"""Statements about people whom an outside issuer logs in."""

from datetime import datetime
from uuid import UUID

from msgspec import Struct

from libs.runtime.db import Connection

FIND = """
    SELECT i.user_id, i.accounts, i.closed_at, u.session_epoch, u.sessions_from
      FROM outside_identity i LEFT JOIN users u ON u.user_id = i.user_id
     WHERE i.identity = $1
"""
# Of several first requests at once, the others wait here for the first one's commit.
LOCK = """
    INSERT INTO outside_identity AS i (identity) VALUES ($1)
    ON CONFLICT (identity) DO UPDATE SET accounts = i.accounts
    RETURNING user_id, accounts, closed_at
"""
OPEN = """
    UPDATE outside_identity SET user_id = $2, accounts = $3, closed_at = NULL WHERE identity = $1
"""
IS_ERASED = "SELECT EXISTS (SELECT FROM erased_account WHERE account_id = $1)"
LOCK_OWNER_OF_EMAIL = """
    SELECT u.user_id, u.role = 'USER' AND NOT EXISTS (
           SELECT FROM outside_identity i WHERE i.user_id = u.user_id) AS is_free
      FROM users u WHERE lower(btrim(u.email)) = lower(btrim($1)) FOR UPDATE OF u
"""
EMPTY_HASH = "UPDATE users SET password_hash = NULL WHERE user_id = $1"
REVOKE_KEYS = """
    UPDATE api_key SET revoked_at = $2 WHERE user_id = $1 AND revoked_at IS NULL RETURNING key_id
"""


class Identity(Struct, frozen=True, kw_only=True):
    """What is known of somebody from outside."""

    user_id: UUID | None
    accounts: int
    closed_at: datetime | None
    session_epoch: int | None = None
    sessions_from: datetime | None = None


class Owner(Struct, frozen=True, kw_only=True):
    """Who has an e-mail, and whether they may be joined with somebody from outside."""

    user_id: UUID
    is_free: bool


async def find(connection: Connection, identity: bytes) -> Identity | None:
    row = await connection.fetchrow(FIND, identity)
    return None if row is None else Identity(**row)


async def lock(connection: Connection, identity: bytes) -> Identity:
    """Somebody from outside, new ones without a user; nobody else opens their account now."""
    return Identity(**await connection.fetchrow(LOCK, identity))  # type: ignore[arg-type]


async def attach(connection: Connection, identity: bytes, user_id: UUID, accounts: int) -> None:
    """They are this user from now on."""
    await connection.execute(OPEN, identity, user_id, accounts)


async def is_erased(connection: Connection, user_id: UUID) -> bool:
    return bool(await connection.fetchval(IS_ERASED, user_id))


async def lock_owner(connection: Connection, email: str) -> Owner | None:
    row = await connection.fetchrow(LOCK_OWNER_OF_EMAIL, email)
    return None if row is None else Owner(**row)


async def drop_credentials(connection: Connection, user_id: UUID, at: datetime) -> list[UUID]:
    """Take from a user the password and all API keys; answers which."""
    await connection.execute(EMPTY_HASH, user_id)
    return [row["key_id"] for row in await connection.fetch(REVOKE_KEYS, user_id, at)]
