"""Brings a service's schema up to date: numbered SQL files, forward only, each applied once.

A file is `NNNN_verb_object.sql`; its first line is a `-- reason`. It is known by `directory/file`,
where the directory is named by its parent (`runtime/0001_create_outbox.sql`).
"""

import hashlib
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final, TypeAlias

import asyncpg
import structlog
from asyncpg.pool import PoolConnectionProxy
from msgspec import Struct

RUNTIME_MIGRATIONS: Final = Path(__file__).parent / "migrations"
"""The tables that every service has."""

_FILE_NAME: Final = re.compile(r"(?P<number>\d{4})_[a-z0-9]+(_[a-z0-9]+)+\.sql")
_REASON: Final = re.compile(r"--[ \t]*\w")
_SCHEMA: Final = re.compile(r"[a-z_][a-z0-9_]{0,62}")

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record] | PoolConnectionProxy[asyncpg.Record]"

logger = structlog.get_logger(__name__)


class MigrationError(Exception):
    """The files and the database do not fit together; the text says what to do."""


class Migration(Struct, frozen=True, kw_only=True):
    """One file."""

    name: str
    sql: str

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.sql.encode()).hexdigest()


async def migrate(
    connection: Connection, schema: str, directories: Sequence[Path]
) -> list[Migration]:
    """Apply what is missing, in the order of the directories, and answer what that was.

    Replicas that start together wait for one another here, and all but the first find it done.

    Raises:
        MigrationError: a file was changed, is missing, or does not follow from the one before.
    """
    if not _SCHEMA.fullmatch(schema):
        raise MigrationError(f"{schema!r} is no schema's name: use lower-case letters and _.")
    migrations = [each for directory in directories for each in read_migrations(directory)]
    async with _alone(connection, schema):
        await _create_bookkeeping(connection, schema)
        recorded = await _recorded(connection, schema)
        _check(migrations, recorded)
        missing = [each for each in migrations if each.name not in recorded]
        for migration in missing:
            await _apply(connection, schema, migration)
    return missing


def read_migrations(directory: Path) -> list[Migration]:
    """The files of a directory in order, checked for names, gaps and reasons.

    Raises:
        MigrationError: one of those is wrong.
    """
    if not directory.is_dir():
        raise MigrationError(f"{directory} holds no migrations: it is not a directory.")
    prefix = directory.parent.name
    migrations = []
    for expected, path in enumerate(sorted(directory.glob("*.sql")), start=1):
        name = f"{prefix}/{path.name}"
        found = _FILE_NAME.fullmatch(path.name)
        if found is None:
            raise MigrationError(f"Rename {name}: a migration is called NNNN_verb_object.sql.")
        if int(found["number"]) != expected:
            raise MigrationError(f"Renumber {name}: the next number there is {expected:04}.")
        sql = path.read_text(encoding="utf-8")
        if not _REASON.match(sql):
            raise MigrationError(f"Begin {name} with a comment line that gives its reason.")
        migrations.append(Migration(name=name, sql=sql))
    return migrations


@asynccontextmanager
async def _alone(connection: Connection, schema: str) -> AsyncIterator[None]:
    """Hold the schema's lock for the session: each file commits by itself underneath."""
    key = f"daygen.migrate.{schema}"
    await connection.execute("SELECT pg_advisory_lock(hashtextextended($1, 0))", key, timeout=None)
    try:
        yield
    finally:
        if not connection.is_closed():
            await connection.execute("SELECT pg_advisory_unlock(hashtextextended($1, 0))", key)


async def _create_bookkeeping(connection: Connection, schema: str) -> None:
    # A service's role may have no right to create schemas, which `IF NOT EXISTS` would ask for.
    if await connection.fetchval("SELECT to_regnamespace($1) IS NULL", schema):
        await connection.execute(f"CREATE SCHEMA {schema}")
    if await connection.fetchval("SELECT to_regclass($1) IS NULL", f"{schema}.migrations"):
        await connection.execute(
            f"CREATE TABLE {schema}.migrations ("
            " name text PRIMARY KEY, sha256 text NOT NULL,"
            " applied_at timestamptz NOT NULL DEFAULT clock_timestamp())"
        )


async def _recorded(connection: Connection, schema: str) -> dict[str, str]:
    rows = await connection.fetch(
        f"SELECT name, sha256 FROM {schema}.migrations ORDER BY name"  # noqa: S608  # checked name
    )
    return {row["name"]: row["sha256"] for row in rows}


def _check(migrations: Sequence[Migration], recorded: Mapping[str, str]) -> None:
    """Refuse when history was rewritten: what ran is no longer what the files say."""
    files = {migration.name: migration for migration in migrations}
    if len(files) < len(migrations):
        raise MigrationError("Two directories of migrations have the same name; rename one.")
    for name, sha256 in recorded.items():
        if name not in files:
            raise MigrationError(
                f"{name} was applied to this database and its file is gone: restore it, or start"
                " the release that has it."
            )
        if files[name].sha256 != sha256:
            raise MigrationError(
                f"{name} was changed after it was applied: restore it and write a new migration."
            )


async def _apply(connection: Connection, schema: str, migration: Migration) -> None:
    try:
        async with connection.transaction():
            await connection.execute(f"SET LOCAL search_path TO {schema}")
            await connection.execute(migration.sql, timeout=None)
            await connection.execute(
                f"INSERT INTO {schema}.migrations (name, sha256)"  # noqa: S608  # checked name
                " VALUES ($1, $2)",
                migration.name,
                migration.sha256,
            )
    except asyncpg.PostgresError as error:
        if isinstance(error, asyncpg.PostgresConnectionError | asyncpg.OperatorInterventionError):
            raise  # the database went away: nothing is wrong with the file
        raise MigrationError(
            f"{migration.name} failed and was rolled back: {type(error).__name__}: {error}."
        ) from error
    logger.info("migration_applied", migration=migration.name)
