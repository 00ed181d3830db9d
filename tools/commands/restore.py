"""Put a backup of the gateway's facts back, while the system is down."""

import argparse
import asyncio
from pathlib import Path

from infra.local import backup, ports, postgres
from infra.local.cluster import ROLES
from infra.local.home import Home, load_secrets, read_json
from infra.local.supervisor import Supervisor
from tools.commands.backup import summary
from tools.places import add_home, home_of


def configure(parser: argparse.ArgumentParser) -> None:
    add_home(parser)
    parser.add_argument("file", type=Path, help="what `backup` has written")


def run(arguments: argparse.Namespace) -> int:
    home = home_of(arguments)
    file = arguments.file.resolve()
    manifest = backup.read(file)  # before anything is started
    asyncio.run(_restore(home, file))
    print(f"Restored, as of {manifest['made_at']}: {summary(manifest)}.")
    up = home.command("up")
    print(f"`{up}` starts the system; the gateway reads on Kafka what came after the backup.")
    return 0


async def _restore(home: Home, file: Path) -> None:
    """With Postgres alone: nobody else may write while the schema is replaced."""
    with home.locked(), ports.Reserved() as reserved:
        secrets = load_secrets(home, ROLES)
        remembered = read_json(home.ports_file)
        at = ports.choose((postgres.NAME,), remembered=remembered, free=reserved.take)
        program = postgres.program(home, at[postgres.NAME], secrets.postgres)
        supervisor = Supervisor([program], report=print)
        try:
            await supervisor.start()
            password = secrets.postgres[postgres.SUPERUSER]
            await backup.restore(
                postgres.dsn(at[postgres.NAME], postgres.SUPERUSER, password), file
            )
        finally:
            await supervisor.stop()
