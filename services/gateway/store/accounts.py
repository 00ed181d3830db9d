"""Users, and the copies of their credit accounts."""

from datetime import datetime
from uuid import UUID

from msgspec import Struct

from libs.runtime.db import Connection
from services.gateway.domain.credits import AccountCopy
from services.gateway.domain.identity import Role

INSERT_USER = """
    INSERT INTO users (user_id, email, password_hash, display_name, role, created_at, updated_at)
    VALUES ($1, $2, $3, $4, $5, $6, $6)
    ON CONFLICT (lower(btrim(email))) DO NOTHING
    RETURNING user_id
"""
SELECT_USER = """
    SELECT u.user_id, u.email, u.display_name, u.role, u.profile_image,
           u.created_at, u.updated_at, u.session_epoch, a.version, a.settled, a.grace, a.held
      FROM users u JOIN credit_account a ON a.account_id = u.user_id
     WHERE u.user_id = $1
"""
# No row comes back where the caller's API key or log-in is good no more.
SELECT_RIGHTS = """
    SELECT role, banned_at IS NOT NULL AS is_banned FROM users
     WHERE user_id = $1 AND ($3::integer IS NULL OR session_epoch = $3)
       AND ($2::uuid IS NULL OR EXISTS (
           SELECT FROM api_key k WHERE k.key_id = $2 AND k.user_id = $1 AND k.revoked_at IS NULL))
"""
LOCK_BAN = "SELECT banned_at FROM users WHERE user_id = $1 FOR UPDATE"
WRITE_BAN = "UPDATE users SET banned_at = $2, ban_reason = $3 WHERE user_id = $1"
EMAIL_EXISTS = "SELECT EXISTS (SELECT FROM users WHERE lower(btrim(email)) = lower(btrim($1)))"


class User(Struct, frozen=True, kw_only=True):
    """A user with the copy of their own credit account."""

    user_id: UUID
    email: str | None  # unknown if the account came back from the streams: nobody can log in
    display_name: str | None
    role: Role
    profile_image: str | None
    created_at: datetime
    updated_at: datetime
    session_epoch: int
    account: AccountCopy


class NewUser(Struct, frozen=True, kw_only=True):
    """What a sign-up leaves behind, apart from the user's own account, which has the user's id."""

    user_id: UUID
    email: str | None  # none: an outside issuer lets them in
    password_hash: str | None
    display_name: str | None
    role: Role
    created_at: datetime


async def add_user(connection: Connection, user: NewUser) -> bool:
    """Write a user. False: the e-mail is taken, nothing was written."""
    added = await connection.fetchval(
        INSERT_USER,
        user.user_id,
        user.email,
        user.password_hash,
        user.display_name,
        user.role.value,
        user.created_at,
    )
    return added is not None


async def find_user(connection: Connection, user_id: UUID) -> User | None:
    row = await connection.fetchrow(SELECT_USER, user_id)
    if row is None:
        return None
    return User(
        user_id=row["user_id"],
        email=row["email"],
        display_name=row["display_name"],
        role=Role(row["role"]),
        profile_image=row["profile_image"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
        session_epoch=row["session_epoch"],
        account=AccountCopy(
            version=row["version"],
            settled=row["settled"],
            grace=row["grace"],
            held=row["held"],
        ),
    )


class Rights(Struct, frozen=True, kw_only=True):
    """What a user may do now. Who is banned may read."""

    role: Role
    is_banned: bool


async def find_rights(
    connection: Connection, user_id: UUID, api_key_id: UUID | None, session_epoch: int | None
) -> Rights | None:
    """A user's rights; none when there is no such user, or key or log-in were revoked."""
    row = await connection.fetchrow(SELECT_RIGHTS, user_id, api_key_id, session_epoch)
    return None if row is None else Rights(role=Role(row["role"]), is_banned=row["is_banned"])


class Ban(Struct, frozen=True, kw_only=True):
    """Since when a user may not generate; none: they may."""

    banned_at: datetime | None


async def lock_ban(connection: Connection, user_id: UUID) -> Ban | None:
    """Lock a user; none when there is no such user."""
    row = await connection.fetchrow(LOCK_BAN, user_id)
    return None if row is None else Ban(banned_at=row["banned_at"])


async def write_ban(
    connection: Connection, user_id: UUID, banned_at: datetime | None, reason: str | None
) -> None:
    await connection.execute(WRITE_BAN, user_id, banned_at, reason)


async def is_registered(connection: Connection, email: str) -> bool:
    return bool(await connection.fetchval(EMAIL_EXISTS, email))
