"""Migrations on a real Postgres, run by a service's own role."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import TypeAlias

import asyncpg
import pytest

from infra.local.cluster import LocalCluster
from libs.runtime.migrate import RUNTIME_MIGRATIONS, MigrationError, migrate

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
SCHEMA = "ledger"


@pytest.fixture
def dsn(cluster: LocalCluster, database_name: str) -> str:
    return cluster.postgres_dsn(SCHEMA, database=database_name)


@pytest.fixture
async def connection(dsn: str) -> AsyncIterator[Connection]:
    connection = await asyncpg.connect(dsn)
    yield connection
    await connection.close()


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str, str], Path]:
    directory = tmp_path / SCHEMA / "migrations"
    directory.mkdir(parents=True)

    def write(name: str, sql: str) -> Path:
        (directory / name).write_text(f"-- because\n{sql}", encoding="utf-8")
        return directory

    return write


Write: TypeAlias = Callable[[str, str], Path]


async def tables(connection: Connection) -> set[str]:
    rows = await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = $1", SCHEMA)
    return {row["tablename"] for row in rows}


async def test_files_are_applied_once_and_in_order(connection: Connection, write: Write) -> None:
    write("0001_create_entry.sql", "CREATE TABLE entry (id int);")
    directory = write("0002_add_amount.sql", "ALTER TABLE entry ADD amount bigint;")
    applied = await migrate(connection, SCHEMA, [directory])
    assert [each.name for each in applied] == [
        "ledger/0001_create_entry.sql",
        "ledger/0002_add_amount.sql",
    ]
    assert await migrate(connection, SCHEMA, [directory]) == []
    write("0003_drop_amount.sql", "ALTER TABLE entry DROP amount;")
    (third,) = await migrate(connection, SCHEMA, [directory])
    assert third.name == "ledger/0003_drop_amount.sql"
    assert await tables(connection) == {"entry", "migrations"}


async def test_the_runtimes_tables_come_first(connection: Connection, write: Write) -> None:
    directory = write("0001_copy_outbox.sql", "CREATE TABLE copied AS TABLE outbox;")
    applied = await migrate(connection, SCHEMA, [RUNTIME_MIGRATIONS, directory])
    owners = [each.name.split("/")[0] for each in applied]
    assert owners == ["runtime"] * (len(applied) - 1) + ["ledger"]
    assert {"outbox", "copied"} <= await tables(connection)


async def test_a_failed_file_leaves_nothing_and_keeps_what_was_before(
    connection: Connection, write: Write
) -> None:
    write("0001_create_entry.sql", "CREATE TABLE entry (id int);")
    directory = write("0002_create_more.sql", "CREATE TABLE more (id int); SELECT 1 / 0;")
    with pytest.raises(MigrationError, match=r"0002_create_more\.sql failed and was rolled back"):
        await migrate(connection, SCHEMA, [directory])
    assert await tables(connection) == {"entry", "migrations"}
    write("0002_create_more.sql", "CREATE TABLE more (id int);")
    (mended,) = await migrate(connection, SCHEMA, [directory])
    assert mended.name == "ledger/0002_create_more.sql"


async def test_a_changed_or_deleted_file_refuses_to_start(
    connection: Connection, write: Write
) -> None:
    directory = write("0001_create_entry.sql", "CREATE TABLE entry (id int);")
    await migrate(connection, SCHEMA, [directory])
    write("0001_create_entry.sql", "CREATE TABLE entry (id bigint);")
    with pytest.raises(MigrationError, match="changed after it was applied"):
        await migrate(connection, SCHEMA, [directory])
    (directory / "0001_create_entry.sql").unlink()
    with pytest.raises(MigrationError, match="its file is gone"):
        await migrate(connection, SCHEMA, [directory])


async def test_replicas_that_start_together_apply_each_file_once(dsn: str, write: Write) -> None:
    sql = "CREATE TABLE entry (id int); INSERT INTO entry VALUES (1); SELECT pg_sleep(0.2);"
    directory = write("0001_create_entry.sql", sql)

    async def start() -> int:
        connection = await asyncpg.connect(dsn)
        try:
            return len(await migrate(connection, SCHEMA, [directory]))
        finally:
            await connection.close()

    assert sorted(await asyncio.gather(*(start() for _ in range(5)))) == [0, 0, 0, 0, 1]


async def test_the_lock_is_given_back_after_a_refusal(dsn: str, write: Write) -> None:
    directory = write("0001_create_entry.sql", "SELECT 1 / 0;")
    first, second = await asyncpg.connect(dsn), await asyncpg.connect(dsn)
    try:
        for connection in (first, second):
            async with asyncio.timeout(30):
                with pytest.raises(MigrationError, match="rolled back"):
                    await migrate(connection, SCHEMA, [directory])
    finally:
        await first.close()
        await second.close()


async def test_the_connections_own_search_path_is_left_alone(
    connection: Connection, write: Write
) -> None:
    await connection.execute("SET search_path TO pg_catalog")
    directory = write("0001_create_entry.sql", "CREATE TABLE entry (id int);")
    await migrate(connection, SCHEMA, [directory])
    assert await connection.fetchval("SHOW search_path") == "pg_catalog"
    assert "entry" in await tables(connection)


async def test_a_missing_schema_is_made_where_the_role_may(
    cluster: LocalCluster, database_name: str, write: Write
) -> None:
    directory = write("0001_create_entry.sql", "CREATE TABLE entry (id int);")
    connection = await asyncpg.connect(cluster.postgres_dsn(database=database_name))
    try:
        await migrate(connection, "fresh", [directory])
        assert await connection.fetchval("SELECT count(*) FROM fresh.entry") == 0
    finally:
        await connection.close()


async def test_a_name_that_is_no_schema_is_refused(connection: Connection) -> None:
    with pytest.raises(MigrationError, match="no schema's name"):
        await migrate(connection, 'x"; DROP', [])
