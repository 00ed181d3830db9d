"""Save the gateway's facts (users, jobs, holds) to a file, while the system serves."""

import argparse
import asyncio
from datetime import UTC, datetime
from pathlib import Path

from infra.local import backup, state
from infra.local.problem import Problem
from tools.places import add_home, home_of

FACTS = ("users", "credit_account", "job", "hold", "idempotency", "outbox")


def configure(parser: argparse.ArgumentParser) -> None:
    add_home(parser)
    parser.add_argument(
        "file", nargs="?", type=Path, help="default: a new file in the home's backups"
    )


def run(arguments: argparse.Namespace) -> int:
    home = home_of(arguments)
    now = asyncio.run(state.load(home))
    if not now.get("postgres", {}).get("ready"):
        up = home.command("up")
        raise Problem(f"No Postgres runs in {home.root}: start it with `{up}`.")
    file: Path = arguments.file or home.root / "backups" / _name()
    if arguments.file is None:
        file.parent.mkdir(exist_ok=True)
    manifest = asyncio.run(backup.write(now["postgres"]["dsn"], file.resolve()))
    print(f"{file}: {file.stat().st_size} bytes, sha256 of the dump {manifest['sha256']}")
    print(summary(manifest))
    return 0


def _name() -> str:
    return f"gateway-{datetime.now(UTC):%Y%m%dT%H%M%SZ}.tar"


def summary(manifest: backup.Manifest) -> str:
    """How much of what matters most."""
    rows = manifest["rows"]
    return ", ".join(f"{rows[name]} rows of {name}" for name in FACTS)
