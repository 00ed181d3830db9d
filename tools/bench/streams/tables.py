"""The least that writing some rows can cost: asyncpg's COPY of them into the same tables."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from libs.runtime.testing import Streams

COLUMNS = """
    SELECT array_agg(column_name::text ORDER BY ordinal_position)
      FROM information_schema.columns
     WHERE table_schema = current_schema() AND table_name = $1 AND is_generated = 'NEVER'
"""


@dataclass(frozen=True, slots=True)
class Rows:
    """What a table holds."""

    table: str
    columns: tuple[str, ...]
    values: Sequence[tuple[Any, ...]]


async def rows_of(streams: Streams, tables: Sequence[str]) -> list[Rows]:
    """The rows as our own machinery has written them, in that order."""
    found = []
    async with streams.database.read() as connection:
        for table in tables:
            columns = await connection.fetchval(COLUMNS, table)
            names = ", ".join(columns)
            select = f"SELECT {names} FROM {table} ORDER BY {table}.ctid"  # noqa: S608
            records = await connection.fetch(select)
            found.append(Rows(table, tuple(columns), [tuple(each) for each in records]))
    return found


async def copy(streams: Streams, rows: Sequence[Rows]) -> float:
    """Seconds to COPY everything in one transaction."""
    began = time.monotonic()
    async with streams.database.transaction() as transaction:
        for each in rows:
            await transaction.connection.copy_records_to_table(
                each.table, records=each.values, columns=each.columns
            )
    return time.monotonic() - began


async def empty(streams: Streams, tables: Sequence[str]) -> None:
    async with streams.database.read() as connection:
        await connection.execute(f"TRUNCATE {', '.join(tables)}")
