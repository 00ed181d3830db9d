"""Rows go into bare tables some at a time, all of them, and one COPY at once."""

import asyncio
from collections.abc import Sequence
from typing import cast

import pytest

from libs.runtime.db import Connection
from libs.runtime.rebuild.filling import Filling
from libs.runtime.rebuild.projection import Row, Table

PARENT = Table(name="parent", key=("id",), loaded=("id",))
CHILD = Table(name="child", key=("id",), loaded=("id", "parent_id"))


class _Postgres:
    """A connection that takes its time for a COPY, and bears one only."""

    def __init__(self) -> None:
        self.copied: list[tuple[str, Sequence[str], int]] = []
        self.rows: list[Row] = []
        self.may_go_on = asyncio.Event()
        self.may_go_on.set()
        self.is_busy = False
        self.was_cancelled = False

    async def copy_records_to_table(
        self, table: str, *, records: Sequence[Row], columns: Sequence[str]
    ) -> None:
        assert not self.is_busy
        self.is_busy = True
        try:
            await asyncio.sleep(0)
            await self.may_go_on.wait()
        except asyncio.CancelledError:
            self.was_cancelled = True
            raise
        finally:
            self.is_busy = False
        self.copied.append((table, columns, len(records)))
        self.rows += records


def _filling(postgres: _Postgres) -> Filling:
    return Filling(cast("Connection", postgres), (PARENT, CHILD), rows_max=3)


async def test_rows_are_written_when_they_are_many_and_the_rest_at_the_end() -> None:
    postgres = _Postgres()
    async with _filling(postgres) as filling:
        for number in range(4):
            await filling.add({"child": [(number, number)], "parent": [(number,)]})
        await filling.add({})
        await filling.add({"child": [(4, 4), (5, 5)]})
    assert postgres.copied == [
        ("parent", ("id",), 3),
        ("child", ("id", "parent_id"), 3),
        ("parent", ("id",), 1),
        ("child", ("id", "parent_id"), 3),
    ]
    assert sorted(postgres.rows, key=lambda row: (len(row), row)) == [
        *[(number,) for number in range(4)],
        *[(number, number) for number in range(6)],
    ]


async def test_the_next_rows_are_taken_while_some_are_written() -> None:
    postgres = _Postgres()
    postgres.may_go_on.clear()
    async with _filling(postgres) as filling:
        await filling.add({"parent": [(1,), (2,), (3,)]})
        await filling.add({"parent": [(4,)]})
        await asyncio.sleep(0)
        assert postgres.is_busy
        postgres.may_go_on.set()
    assert postgres.rows == [(1,), (2,), (3,), (4,)]


async def test_what_cannot_be_gone_on_with_is_not_written_on() -> None:
    postgres = _Postgres()
    postgres.may_go_on.clear()

    async def fill() -> None:
        async with _filling(postgres) as filling:
            await filling.add({"parent": [(1,), (2,), (3,)]})
            await asyncio.sleep(0)
            raise ValueError("unreadable")

    with pytest.raises(ValueError, match="unreadable"):
        await fill()
    assert postgres.was_cancelled
    assert postgres.rows == []


async def test_a_copy_that_fails_ends_the_filling() -> None:
    async def refuse(*_: object, **__: object) -> None:
        raise OSError("hung up")

    postgres = _Postgres()
    postgres.copy_records_to_table = refuse  # type: ignore[method-assign]
    with pytest.raises(OSError, match="hung up"):
        async with _filling(postgres) as filling:
            await filling.add({"parent": [(1,)]})
