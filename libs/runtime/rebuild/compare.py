"""Live tables beside rebuilt ones: a checksum per table, and which rows make a difference.

Both sides are summed up in buckets of keys, each by its own connection, so that a difference in a
big table is looked for in a few buckets alone.
"""

import asyncio
from collections.abc import Sequence

from msgspec import Struct

from libs.runtime.db import Connection
from libs.runtime.rebuild.projection import Table
from libs.runtime.rebuild.shadow import quoted

# ruff: noqa: S608  -- names of tables and columns are the declarations' own

BUCKETS = 4_096
BUCKETS_LOOKED_INTO_MAX = 256
EXAMPLES_MAX = 5

COLUMNS = """
    SELECT array_agg(attname::text ORDER BY attname) FROM pg_attribute
     WHERE attrelid = $1::text::regclass AND attnum > 0 AND NOT attisdropped
"""


class Difference(Struct, frozen=True, kw_only=True):
    """One row that is not the same on both sides."""

    key: str
    kind: str  # `missing` live, `extra` live, or `changed`


class Comparison(Struct, frozen=True, kw_only=True):
    """One table: equal checksums mean the same rows."""

    table: str
    live_rows: int
    rebuilt_rows: int
    live_checksum: int
    rebuilt_checksum: int
    missing: int = 0
    extra: int = 0
    changed: int = 0
    is_partial: bool = False  # there are more differences than were counted
    examples: tuple[Difference, ...] = ()

    @property
    def is_equal(self) -> bool:
        return (self.live_rows, self.live_checksum) == (self.rebuilt_rows, self.rebuilt_checksum)

    @property
    def drift_rows(self) -> int:
        """How many rows differ, or at least so many."""
        return self.missing + self.extra + self.changed


async def compare(live: Connection, rebuilt: Connection, table: Table) -> Comparison:
    """Compare a table as one connection sees it with the same table of another's search path."""
    columns = table.compared or await rebuilt.fetchval(COLUMNS, quoted(table.name))
    sides = await asyncio.gather(
        _sums(live, table, columns),
        _sums(rebuilt, table, columns),
    )
    totals = [
        (sum(count for count, _ in side.values()), sum(total for _, total in side.values()))
        for side in sides
    ]
    differing = sorted(
        bucket
        for bucket in sides[0].keys() | sides[1].keys()
        if sides[0].get(bucket) != sides[1].get(bucket)
    )
    found = await _differences(live, rebuilt, table, columns, differing[:BUCKETS_LOOKED_INTO_MAX])
    kinds = [each.kind for each in found]
    return Comparison(
        table=table.name,
        live_rows=totals[0][0],
        rebuilt_rows=totals[1][0],
        live_checksum=totals[0][1],
        rebuilt_checksum=totals[1][1],
        missing=kinds.count("missing"),
        extra=kinds.count("extra"),
        changed=kinds.count("changed"),
        is_partial=len(differing) > BUCKETS_LOOKED_INTO_MAX,
        examples=tuple(found[:EXAMPLES_MAX]),
    )


async def _sums(
    connection: Connection, table: Table, columns: Sequence[str]
) -> dict[int, tuple[int, int]]:
    """Number and sum of hashes of the rows in each bucket."""
    rows = await connection.fetch(
        f"SELECT {_bucket(table)} AS bucket, count(*) AS count,"
        f" sum({_hash(columns)}::numeric) AS total"
        f" FROM {quoted(table.name)} WHERE {table.where} GROUP BY 1",
        timeout=None,
    )
    return {row["bucket"]: (row["count"], int(row["total"])) for row in rows}


async def _differences(
    live: Connection,
    rebuilt: Connection,
    table: Table,
    columns: Sequence[str],
    buckets: Sequence[int],
) -> list[Difference]:
    if not buckets:
        return []
    query = (
        f"SELECT {_text(table.key)} AS key, {_hash(columns)} AS hash"
        f" FROM {quoted(table.name)} WHERE {table.where} AND {_bucket(table)} = ANY($1::bigint[])"
    )
    sides = await asyncio.gather(
        live.fetch(query, buckets, timeout=None), rebuilt.fetch(query, buckets, timeout=None)
    )
    there, wanted = ({row["key"]: row["hash"] for row in side} for side in sides)
    return [
        Difference(key=key.strip("()"), kind=_kind(there.get(key), wanted.get(key)))
        for key in sorted(there.keys() | wanted.keys())
        if there.get(key) != wanted.get(key)
    ]


def _kind(there: int | None, wanted: int | None) -> str:
    if there is None:
        return "missing"
    return "extra" if wanted is None else "changed"


def _bucket(table: Table) -> str:
    return f"(hashtextextended({_text(table.key)}, 1) & {BUCKETS - 1})"


def _hash(columns: Sequence[str]) -> str:
    return f"hashtextextended({_text(columns)}, 0)"


def _text(columns: Sequence[str]) -> str:
    return f"ROW({', '.join(map(quoted, columns))})::text"
