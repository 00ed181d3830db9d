"""The export of usage."""

from collections.abc import AsyncIterator

from libs.runtime.db import Database
from libs.runtime.paging import NEWEST, Position
from services.billing.domain import exports
from services.billing.domain.exports import ExportForm
from services.billing.store import usage as store
from services.billing.store.usage import Filter

ROWS_AT_ONCE = 1_000


async def exported(database: Database, wanted: Filter, form: ExportForm) -> AsyncIterator[bytes]:
    """The file, piece by piece: no connection is held while a slow client takes its time."""
    yield exports.head(form)
    position, is_first = NEWEST, True
    while True:
        async with database.read() as connection:
            rows = await store.list_usage(connection, wanted, position, ROWS_AT_ONCE)
        if rows:
            yield exports.part(form, rows, is_first=is_first)
            position, is_first = Position(rows[-1].occurred_at, rows[-1].id), False
        if len(rows) < ROWS_AT_ONCE:
            break
    yield exports.tail(form)
