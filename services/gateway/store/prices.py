"""Price books: rows that are added and never changed."""

from collections.abc import Sequence
from datetime import datetime

from asyncpg import Record
from msgspec import Struct

from libs.runtime.db import Connection
from services.gateway.domain.pricing import PriceBook, read_book

LOCK = "SELECT pg_advisory_xact_lock(hashtextextended(current_schema || '.price_book', 0))"
_IN_FORCE = """
    version = (SELECT p.version FROM price_book p WHERE p.effective_from <= clock_timestamp()
                ORDER BY p.effective_from DESC, p.version DESC LIMIT 1)
"""
_COLUMNS = f"version, sha256, effective_from, body, {_IN_FORCE} AS is_in_force"
_SELECT = f"SELECT {_COLUMNS} FROM price_book"  # noqa: S608  -- put together from constants alone
SELECT_NEWEST = f"{_SELECT} ORDER BY version DESC LIMIT 1"
SELECT_ALL = f"{_SELECT} ORDER BY version"
SELECT_ONE = f"{_SELECT} WHERE version = $1"
SELECT_BODY_IN_FORCE = f"SELECT body FROM price_book WHERE {_IN_FORCE}"  # noqa: S608  -- constants
# No row comes back where the instant has passed already.
INSERT = """
    INSERT INTO price_book (version, effective_from, sha256, body)
    SELECT coalesce((SELECT max(p.version) FROM price_book p), 0) + 1, coalesce($1, moment), $2, $3
      FROM clock_timestamp() AS moment
     WHERE $1::timestamptz IS NULL OR $1 >= moment
    RETURNING version
"""


class StoredBook(Struct, frozen=True, kw_only=True):
    """A price book as it was added, byte by byte."""

    version: int
    sha256: str
    effective_from: datetime
    body: str
    is_in_force: bool

    @property
    def book(self) -> PriceBook:
        return read_book(self.body)


async def lock(connection: Connection) -> StoredBook | None:
    """Let others add no book until the commit; answers the newest."""
    await connection.execute(LOCK)
    row = await connection.fetchrow(SELECT_NEWEST)
    return None if row is None else _stored(row)


async def add(
    connection: Connection, body: str, sha256: str, effective_from: datetime | None
) -> StoredBook | None:
    """Write a new version, in force from then, or now. None: that instant has passed."""
    version = await connection.fetchval(INSERT, effective_from, sha256, body)
    return None if version is None else await find(connection, version)


async def find_all(connection: Connection) -> Sequence[StoredBook]:
    """Every version, the oldest first."""
    return [_stored(row) for row in await connection.fetch(SELECT_ALL)]


async def find(connection: Connection, version: int) -> StoredBook | None:
    row = await connection.fetchrow(SELECT_ONE, version)
    return None if row is None else _stored(row)


async def book_in_force(connection: Connection) -> PriceBook | None:
    """The book that prices a request now."""
    body = await connection.fetchval(SELECT_BODY_IN_FORCE)
    return None if body is None else read_book(body)


def _stored(row: Record) -> StoredBook:
    return StoredBook(**row)
