"""API keys: their facts, which never change, and whether they are good still."""

from collections.abc import Collection, Sequence
from datetime import datetime
from uuid import UUID

from asyncpg import Record
from msgspec import Struct

from libs.runtime.db import Connection
from services.gateway.domain.api_keys import Scope

_COLUMNS = "key_id, user_id, account_id, name, scopes, created_at, last_used_at, revoked_at"
# Whoever makes a key waits here for others that the same user makes: they are counted.
LOCK_USER = "SELECT user_id FROM users WHERE user_id = $1 FOR UPDATE"
COUNT_LIVE = "SELECT count(*) FROM api_key WHERE user_id = $1 AND revoked_at IS NULL"
INSERT = """
    INSERT INTO api_key (key_id, user_id, account_id, name, scopes, secret_sha256, created_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7)
"""
_SELECT = f"SELECT {_COLUMNS} FROM api_key"  # noqa: S608  -- put together from constants alone
SELECT_OWN = f"{_SELECT} WHERE user_id = $1 ORDER BY key_id"
LOCK_OWN = f"{_SELECT} WHERE key_id = $1 AND user_id = $2 FOR UPDATE"
REVOKE = "UPDATE api_key SET revoked_at = $2 WHERE key_id = $1"
SELECT_FACTS = """
    SELECT key_id, user_id, account_id, scopes, secret_sha256 FROM api_key
     WHERE key_id = $1 AND revoked_at IS NULL
"""
NOTE_USE = """
    UPDATE api_key SET last_used_at = date_trunc('minute', clock_timestamp())
     WHERE key_id = ANY($1::uuid[])
       AND last_used_at IS DISTINCT FROM date_trunc('minute', clock_timestamp())
"""


class ApiKey(Struct, frozen=True, kw_only=True):
    """A key as its owner sees it. `last_used_at` is exact to the minute."""

    key_id: UUID
    user_id: UUID
    account_id: UUID
    name: str
    scopes: tuple[Scope, ...]
    created_at: datetime
    last_used_at: datetime | None = None
    revoked_at: datetime | None = None


class KeyFacts(Struct, frozen=True, kw_only=True):
    """What of a key never changes."""

    key_id: UUID
    user_id: UUID
    account_id: UUID
    scopes: frozenset[str]
    secret_sha256: bytes


async def lock_user(connection: Connection, user_id: UUID) -> int:
    """Let nobody else make keys for the user until the commit; answers how many are good."""
    await connection.execute(LOCK_USER, user_id)
    count: int = await connection.fetchval(COUNT_LIVE, user_id)
    return count


async def add(connection: Connection, key: ApiKey, secret_sha256: bytes) -> None:
    await connection.execute(
        INSERT,
        key.key_id,
        key.user_id,
        key.account_id,
        key.name,
        [scope.value for scope in key.scopes],
        secret_sha256,
        key.created_at,
    )


async def find_own(connection: Connection, user_id: UUID) -> Sequence[ApiKey]:
    """A user's keys, the oldest first, revoked ones too."""
    return [_key(row) for row in await connection.fetch(SELECT_OWN, user_id)]


async def lock_own(connection: Connection, key_id: UUID, user_id: UUID) -> ApiKey | None:
    """Lock a user's key; none when it is somebody else's."""
    row = await connection.fetchrow(LOCK_OWN, key_id, user_id)
    return None if row is None else _key(row)


async def revoke(connection: Connection, key_id: UUID, at: datetime) -> None:
    await connection.execute(REVOKE, key_id, at)


async def find_facts(connection: Connection, key_id: UUID) -> KeyFacts | None:
    """The facts of a key that is not revoked."""
    row = await connection.fetchrow(SELECT_FACTS, key_id)
    if row is None:
        return None
    return KeyFacts(
        key_id=row["key_id"],
        user_id=row["user_id"],
        account_id=row["account_id"],
        scopes=frozenset(row["scopes"]),
        secret_sha256=row["secret_sha256"],
    )


async def note_use(connection: Connection, key_ids: Collection[UUID]) -> None:
    """Keep that these keys were used in this minute."""
    await connection.execute(NOTE_USE, list(key_ids))


def _key(row: Record) -> ApiKey:
    return ApiKey(**{**row, "scopes": tuple(Scope(scope) for scope in row["scopes"])})
