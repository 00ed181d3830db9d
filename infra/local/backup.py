"""Backups of the gateway's schema: a consistent dump, and a manifest that tells what is in it."""

import asyncio
import hashlib
import io
import json
import os
import tarfile
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import asyncpg

from infra.local import postgres
from infra.local.problem import Problem
from infra.postgres.roles import quoted
from libs.events.names import Service

SCHEMA = Service.GATEWAY.value
MANIFEST, DUMP = "manifest.json", "gateway.dump"
FORMAT = 1

TABLES = """
    SELECT relname AS name FROM pg_class
     WHERE relnamespace = $1::regnamespace AND relkind IN ('r', 'p') AND NOT relispartition
     ORDER BY 1
"""

Manifest = dict[str, Any]


async def write(dsn: str, file: Path) -> Manifest:
    """Back the gateway's schema up while it serves: everything in it is of one instant.

    Raises:
        Problem: the file cannot be written, or Postgres refuses.
    """
    with tempfile.TemporaryDirectory() as scratch:
        dump = Path(scratch) / DUMP
        connection = await asyncpg.connect(dsn)
        try:
            async with connection.transaction(isolation="repeatable_read", readonly=True):
                snapshot = await connection.fetchval("SELECT pg_export_snapshot()")
                manifest = await _describe(connection)
                await _run(
                    "pg_dump",
                    *("--format=custom", f"--schema={SCHEMA}", f"--snapshot={snapshot}"),
                    f"--file={dump}",
                    dsn=dsn,
                )
        finally:
            await connection.close()
        manifest["sha256"] = await asyncio.to_thread(_sha256, dump)
        await asyncio.to_thread(_pack, file, manifest, dump)
    return manifest


async def _describe(connection: "asyncpg.Connection[asyncpg.Record]") -> Manifest:
    if await connection.fetchval("SELECT to_regclass($1) IS NULL", f"{SCHEMA}.migrations"):
        raise Problem("There is no gateway in this database yet: start the system once.")
    names = [row["name"] for row in await connection.fetch(TABLES, SCHEMA)]
    counts = {}
    for name in names:
        statement = f"SELECT count(*) FROM {SCHEMA}.{quoted(name)}"  # noqa: S608  # names of ours
        counts[name] = await connection.fetchval(statement)
    statement = f"SELECT name FROM {SCHEMA}.migrations ORDER BY name"  # noqa: S608  # as above
    migrations = await connection.fetch(statement)
    return {
        "format": FORMAT,
        "made_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "schema": SCHEMA,
        "migrations": [row["name"] for row in migrations],
        "rows": counts,
    }


def read(file: Path) -> Manifest:
    """What a backup says of itself, once its content has been checked against that.

    Raises:
        Problem: it is no backup, of another release, or damaged.
    """
    try:
        with tarfile.open(file) as archive:
            manifest: Manifest = json.loads(_member(archive, MANIFEST).read())
            digest = hashlib.file_digest(_member(archive, DUMP), "sha256").hexdigest()
    except (OSError, tarfile.TarError, ValueError, KeyError) as error:
        raise Problem(
            f"{file} is not a backup of the gateway ({error}): choose another."
        ) from error
    if manifest.get("format") != FORMAT:
        raise Problem(f"{file} has format {manifest.get('format')}, known here is {FORMAT}.")
    if manifest["sha256"] != digest:
        raise Problem(f"{file} is damaged, its content is not what was saved: choose another.")
    return manifest


async def restore(dsn: str, file: Path) -> Manifest:
    """Put the backup in the place of the gateway's schema, in one transaction: whole or not at all.

    The gateway then reads on Kafka what it has said since, before it serves.

    Raises:
        Problem: it is no backup, or does not fit this database.
    """
    manifest = await asyncio.to_thread(read, file)
    with tempfile.TemporaryDirectory() as scratch:
        dump, script = Path(scratch) / DUMP, Path(scratch) / "restore.sql"
        await asyncio.to_thread(_unpack, file, dump)
        await _run("pg_restore", f"--file={script}.part", str(dump))
        await asyncio.to_thread(_wrap, script)
        await _run(
            "psql",
            *("--no-psqlrc", "--quiet", "--single-transaction", "--set=ON_ERROR_STOP=1"),
            *(f"--file={script}", "--output=/dev/null"),
            dsn=dsn,
        )
    return manifest


def _wrap(script: Path) -> None:
    """Before the dump what it replaces, after it that the schema does not know its present."""
    part = script.with_name(f"{script.name}.part")
    with script.open("wb") as whole, part.open("rb") as dump:
        whole.write(f"DROP SCHEMA IF EXISTS {SCHEMA} CASCADE;\n".encode())
        while chunk := dump.read(1 << 20):
            whole.write(chunk)
        whole.write(f"\nDELETE FROM {SCHEMA}.recovery;\n".encode())


def _pack(file: Path, manifest: Manifest, dump: Path) -> None:
    """Write beside its place, then move: a backup is whole or not there."""
    draft = file.with_name(f".{file.name}.part")
    text = json.dumps(manifest, indent=2).encode() + b"\n"
    head = tarfile.TarInfo(MANIFEST)
    head.size, head.mode = len(text), 0o600
    try:
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with (
            os.fdopen(descriptor, "wb") as output,
            tarfile.open(fileobj=output, mode="w") as archive,
        ):
            archive.addfile(head, io.BytesIO(text))
            archive.add(dump, DUMP)
            output.flush()
            os.fsync(descriptor)
        draft.replace(file)
    except OSError as error:
        draft.unlink(missing_ok=True)
        raise Problem(f"{file} cannot be written ({error.strerror}): choose another.") from error


def _unpack(file: Path, dump: Path) -> None:
    with tarfile.open(file) as archive, dump.open("wb") as output:
        member = _member(archive, DUMP)
        while chunk := member.read(1 << 20):
            output.write(chunk)


def _member(archive: tarfile.TarFile, name: str) -> Any:
    member = archive.extractfile(name)
    if member is None:
        raise KeyError(name)
    return member


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


async def _run(program: str, *arguments: str, dsn: str = "") -> None:
    """Run one of the programs that come with Postgres.

    Raises:
        Problem: it fails; with the first line of what it says.
    """
    process = await asyncio.create_subprocess_exec(
        postgres.binaries() / program,
        *arguments,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
        env=postgres.environment() | _login(dsn),
    )
    _, said = await process.communicate()
    if process.returncode:
        first = next(iter(said.decode(errors="replace").splitlines()), "it says nothing")
        raise Problem(f"{program} has failed, and nothing was changed: {first}")


def _login(dsn: str) -> dict[str, str]:
    """A database's address for libpq; on a command line everybody could read the password."""
    if not dsn:
        return {}
    at = urlsplit(dsn)
    return {
        "PGHOST": at.hostname or "",
        "PGPORT": str(at.port),
        "PGUSER": unquote(at.username or ""),
        "PGPASSWORD": unquote(at.password or ""),
        "PGDATABASE": at.path.removeprefix("/"),
    }
