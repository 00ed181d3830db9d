"""Where people want to be told of their jobs, and what signs for it."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from asyncpg import Record
from msgspec import Struct

from libs.runtime.db import Connection
from services.gateway.domain.feed import FeedKind
from services.gateway.domain.webhooks import Scheme, Signer

_COLUMNS = """endpoint_id, user_id, url, events, scheme, secret, previous_secret, previous_until,
           created_at, failing_since, disabled_at"""
LOCK_USER = "SELECT true FROM users WHERE user_id = $1 FOR UPDATE"
COUNT = "SELECT count(*) FROM webhook_endpoint WHERE user_id = $1"
ADD = """
    INSERT INTO webhook_endpoint (endpoint_id, user_id, url, events, scheme, secret, created_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING RETURNING endpoint_id
"""
SIGNS_ORDERS = "SELECT true FROM webhook_endpoint WHERE user_id = $1 AND url IS NULL"
FIND_ALL = f"""
    SELECT {_COLUMNS} FROM webhook_endpoint WHERE user_id = $1 ORDER BY created_at, endpoint_id
"""  # noqa: S608  -- put together from constants of this module alone
LOCK = f"""
    SELECT {_COLUMNS} FROM webhook_endpoint WHERE endpoint_id = $1 AND user_id = $2 FOR UPDATE
"""  # noqa: S608  -- as above
FIND = f"""
    SELECT {_COLUMNS} FROM webhook_endpoint WHERE endpoint_id = $1
"""  # noqa: S608  -- as above
WRITE = """
    UPDATE webhook_endpoint
       SET url = $2, events = $3, secret = $4, previous_secret = $5, previous_until = $6,
           failing_since = $7, disabled_at = $8
     WHERE endpoint_id = $1
"""
REMOVE = "DELETE FROM webhook_endpoint WHERE endpoint_id = $1"


class Endpoint(Struct, frozen=True, kw_only=True):
    """An address; without one, it stands for those that orders name."""

    endpoint_id: UUID
    user_id: UUID
    url: str | None
    events: tuple[FeedKind, ...]
    signer: Signer
    created_at: datetime
    failing_since: datetime | None = None
    disabled_at: datetime | None = None


async def lock_user(connection: Connection, user_id: UUID) -> int | None:
    """Lock a user; answers how many endpoints they have, none when they are not there."""
    if not await connection.fetchval(LOCK_USER, user_id):
        return None
    count: int = await connection.fetchval(COUNT, user_id)
    return count


async def add(connection: Connection, endpoint: Endpoint) -> bool:
    """Keep a new endpoint. False: there is one for the addresses of orders already."""
    added = await connection.fetchval(
        ADD,
        endpoint.endpoint_id,
        endpoint.user_id,
        endpoint.url,
        [each.value for each in endpoint.events],
        endpoint.signer.scheme.value,
        endpoint.signer.secret,
        endpoint.created_at,
    )
    return added is not None


async def signs_orders(connection: Connection, user_id: UUID) -> bool:
    """Whether something signs for the addresses that a user's orders name."""
    return bool(await connection.fetchval(SIGNS_ORDERS, user_id))


async def find_all(connection: Connection, user_id: UUID) -> Sequence[Endpoint]:
    """A user's endpoints, the oldest first."""
    return [_endpoint(row) for row in await connection.fetch(FIND_ALL, user_id)]


async def lock_own(connection: Connection, endpoint_id: UUID, user_id: UUID) -> Endpoint | None:
    """A user's endpoint, locked; none when it is somebody else's."""
    row = await connection.fetchrow(LOCK, endpoint_id, user_id)
    return None if row is None else _endpoint(row)


async def find(connection: Connection, endpoint_id: UUID) -> Endpoint | None:
    """An endpoint as it is now."""
    row = await connection.fetchrow(FIND, endpoint_id)
    return None if row is None else _endpoint(row)


async def write(connection: Connection, endpoint: Endpoint) -> None:
    """Keep what has changed of a locked endpoint."""
    signer = endpoint.signer
    await connection.execute(
        WRITE,
        endpoint.endpoint_id,
        endpoint.url,
        [each.value for each in endpoint.events],
        signer.secret,
        signer.previous_secret,
        signer.previous_until,
        endpoint.failing_since,
        endpoint.disabled_at,
    )


async def remove(connection: Connection, endpoint_id: UUID) -> None:
    """Forget an endpoint, with what was to be told there."""
    await connection.execute(REMOVE, endpoint_id)


def _endpoint(row: Record) -> Endpoint:
    return Endpoint(
        endpoint_id=row["endpoint_id"],
        user_id=row["user_id"],
        url=row["url"],
        events=tuple(FeedKind(each) for each in row["events"]),
        signer=Signer(
            scheme=Scheme(row["scheme"]),
            secret=row["secret"],
            previous_secret=row["previous_secret"],
            previous_until=row["previous_until"],
        ),
        created_at=row["created_at"],
        failing_since=row["failing_since"],
        disabled_at=row["disabled_at"],
    )
