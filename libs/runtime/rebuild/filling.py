"""Rows into bare tables by COPY: some are written while the next are made."""

import asyncio
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from libs.runtime.db import Connection
from libs.runtime.rebuild.projection import Row, Rows, Table

ROWS_MAX = 5_000  # of a table in one COPY


class Filling:
    """`async with Filling(...) as filling`: all that was added is written at the end of the block.

    When the block raises, what is under way is cancelled.
    """

    def __init__(
        self, connection: Connection, tables: Sequence[Table], *, rows_max: int = ROWS_MAX
    ) -> None:
        self._connection = connection
        self._tables = tables
        self._rows_max = rows_max
        self._rows: dict[str, list[Row]] = {}
        self._writing: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if error is None:
                await self._write()
                await self._written()
        finally:
            if self._writing is not None:
                self._writing.cancel()
                await asyncio.gather(self._writing, return_exceptions=True)

    async def add(self, rows: Rows) -> None:
        """Take rows, and begin to write once they are many: before that, others are finished."""
        for table, records in rows.items():
            self._rows.setdefault(table, []).extend(records)
        if any(len(records) >= self._rows_max for records in self._rows.values()):
            await self._write()
        await asyncio.sleep(0)  # what Kafka and Postgres have sent is taken in between

    async def _write(self) -> None:
        await self._written()
        rows, self._rows = self._rows, {}
        self._writing = asyncio.create_task(self._copy(rows))

    async def _written(self) -> None:
        if self._writing is not None:
            await self._writing

    async def _copy(self, rows: Rows) -> None:
        for table in self._tables:
            if records := rows.get(table.name):
                await self._connection.copy_records_to_table(
                    table.name, records=records, columns=table.loaded
                )
