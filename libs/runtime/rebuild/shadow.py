"""The shadow schema: made by the service's own migrations, filled bare, moved into place."""

from collections.abc import Sequence

import asyncpg
from msgspec import Struct

from libs.runtime.db import Connection
from libs.runtime.migrate import RUNTIME_MIGRATIONS, migrate
from libs.runtime.rebuild.projection import Projection, RebuildError, Table

# ruff: noqa: S608  -- names of tables, columns and schemas are the declarations' own

# Everything that migrations make; what hangs on it goes with it.
FOUND = """
    SELECT format('DROP %s IF EXISTS %I.%I CASCADE',
                  CASE relkind WHEN 'S' THEN 'SEQUENCE' WHEN 'v' THEN 'VIEW'
                               WHEN 'm' THEN 'MATERIALIZED VIEW' ELSE 'TABLE' END,
                  nspname, relname) AS statement
      FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
     WHERE nspname = $1 AND relkind IN ('r', 'p', 'v', 'm', 'S') AND NOT relispartition
       AND NOT EXISTS (SELECT FROM pg_depend  -- a sequence goes with its column
                        WHERE classid = 'pg_class'::regclass AND objid = pg_class.oid
                          AND relkind = 'S' AND deptype IN ('a', 'i'))
    UNION ALL
    SELECT format('DROP ROUTINE IF EXISTS %I.%I(%s) CASCADE', nspname, proname,
                  pg_get_function_identity_arguments(pg_proc.oid))
      FROM pg_proc JOIN pg_namespace ON pg_namespace.oid = pronamespace
     WHERE nspname = $1
    UNION ALL
    SELECT format('DROP TYPE IF EXISTS %I.%I CASCADE', nspname, typname)
      FROM pg_type JOIN pg_namespace ON pg_namespace.oid = typnamespace
     WHERE nspname = $1 AND typtype IN ('d', 'e', 'r')
"""
CONSTRAINTS = """
    SELECT relname AS owner, conname AS name, pg_get_constraintdef(pg_constraint.oid) AS definition,
           (SELECT array_agg(attname::text) FROM pg_attribute
             WHERE attrelid = conrelid AND attnum = ANY(conkey)) AS columns
      FROM pg_constraint JOIN pg_class ON pg_class.oid = conrelid
     WHERE conrelid = ANY($1::text[]::regclass[]) AND contype IN ('p', 'u', 'x', 'f')
     ORDER BY contype = 'f' DESC, conrelid, conname
"""
INDEXES = """
    SELECT indexrelid::regclass::text AS name, pg_get_indexdef(indexrelid) AS definition
      FROM pg_index
     WHERE indrelid = ANY($1::text[]::regclass[])
       AND NOT EXISTS (SELECT FROM pg_constraint WHERE conindid = indexrelid)
     ORDER BY 1
"""
TRIGGERS = """
    SELECT tgrelid::regclass::text AS owner, tgname AS name, pg_get_triggerdef(oid) AS definition
      FROM pg_trigger WHERE NOT tgisinternal AND tgrelid = ANY($1::text[]::regclass[])
"""
PARTITIONS = """
    SELECT inhrelid::regclass::text AS name FROM pg_inherits
     WHERE inhparent = ANY($1::text[]::regclass[]) ORDER BY 1
"""
GRANTS = """
    SELECT format('GRANT %s ON TABLE %I.%I TO %s%s', privilege_type, nspname, relname,
                  CASE grantee WHEN 0 THEN 'PUBLIC' ELSE grantee::regrole::text END,
                  CASE WHEN is_grantable THEN ' WITH GRANT OPTION' ELSE '' END) AS statement
      FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
           CROSS JOIN LATERAL aclexplode(relacl)
     WHERE pg_class.oid = ANY($1::text[]::regclass[]) AND grantee <> relowner
"""


class Bare(Struct, frozen=True):
    """What was taken off tables to fill them, and is put back."""

    constraints: Sequence[asyncpg.Record]
    indexes: Sequence[asyncpg.Record]


async def clear(connection: Connection, schema: str) -> None:
    """Leave the schema empty.

    Raises:
        RebuildError: there is no such schema.
    """
    if await connection.fetchval("SELECT to_regnamespace($1) IS NULL", schema):
        raise RebuildError(
            f"The database has no schema {schema}: make it with infra/postgres/roles.py, as the "
            "next start of `./daygen up` does."
        )
    async with connection.transaction():
        for row in await connection.fetch(FOUND, schema):
            await connection.execute(row["statement"])


async def create(connection: Connection, projection: Projection) -> None:
    """Empty tables of exactly the live structure: the same migrations make them."""
    await clear(connection, projection.shadow)
    await migrate(connection, projection.shadow, [RUNTIME_MIGRATIONS, projection.migrations])


async def strip(connection: Connection, tables: Sequence[Table]) -> Bare:
    """Take off what costs time for each row, and is made and checked faster at the end."""
    names = [quoted(each.name) for each in tables]
    constraints = await connection.fetch(CONSTRAINTS, names)
    for each in constraints:
        await connection.execute(
            f"ALTER TABLE {quoted(each['owner'])} DROP CONSTRAINT {quoted(each['name'])}"
        )
    indexes = await connection.fetch(INDEXES, names)
    for each in indexes:
        await connection.execute(f"DROP INDEX {each['name']}")
    for name in names:
        await connection.execute(f"ALTER TABLE {name} DISABLE TRIGGER USER")
    return Bare(constraints, indexes)


async def dress(connection: Connection, tables: Sequence[Table], bare: Bare) -> None:
    """Put back what `strip` took off: it fails where the rows do not keep the rules.

    Raises:
        asyncpg.IntegrityConstraintViolationError: they do not.
    """
    known = {each.name: each for each in tables}
    for each in reversed(bare.constraints):  # keys before what refers to them
        await _constrain(connection, known[each["owner"]], each)
    for each in bare.indexes:
        await connection.execute(each["definition"])
    for name in known:
        await connection.execute(f"ALTER TABLE {quoted(name)} ENABLE TRIGGER USER")


async def _constrain(connection: Connection, table: Table, constraint: asyncpg.Record) -> None:
    name = quoted(table.name)
    statement = (
        f"ALTER TABLE {name} ADD CONSTRAINT {quoted(constraint['name'])} {constraint['definition']}"
    )
    try:
        await connection.execute(statement)
    except asyncpg.UniqueViolationError:
        if table.first is None:
            raise
        columns = ", ".join(map(quoted, constraint["columns"]))
        await connection.execute(
            f"DELETE FROM {name} WHERE ctid IN (SELECT ctid FROM ("
            f"SELECT ctid, row_number() OVER (PARTITION BY {columns} ORDER BY {table.first}, ctid)"
            f" AS number FROM {name}) AS numbered WHERE number > 1)"
        )
        await connection.execute(statement)


async def analyze(connection: Connection, tables: Sequence[Table]) -> None:
    """Statistics: without them the first plans after a swap would be blind."""
    await connection.execute(f"ANALYZE {', '.join(quoted(each.name) for each in tables)}")


async def move_into_place(connection: Connection, projection: Projection) -> None:
    """Replace the live tables by the shadow's: in the caller's transaction, under its locks.

    Triggers come with functions of the shadow, and are made again with the live ones; rights that
    others had been given are given again.
    """
    live, shadow = projection.service.value, projection.shadow
    names = [f"{quoted(live)}.{quoted(each.name)}" for each in projection.tables]
    drafts = [f"{quoted(shadow)}.{quoted(each.name)}" for each in projection.tables]
    grants = await connection.fetch(GRANTS, names)
    triggers = await connection.fetch(TRIGGERS, drafts)
    for each in triggers:
        await connection.execute(f"DROP TRIGGER {quoted(each['name'])} ON {each['owner']}")
    parts = await connection.fetch(PARTITIONS, drafts)
    await connection.execute(f"DROP TABLE {', '.join(names)}")
    for draft in (*drafts, *(each["name"] for each in parts)):
        await connection.execute(f"ALTER TABLE {draft} SET SCHEMA {quoted(live)}")
    for each in triggers:
        await connection.execute(each["definition"].replace(f"{shadow}.", f"{live}."))
    for each in grants:
        await connection.execute(each["statement"])


def quoted(identifier: str) -> str:
    """An identifier as SQL takes it, whatever word it is."""
    return '"' + identifier.replace('"', '""') + '"'
