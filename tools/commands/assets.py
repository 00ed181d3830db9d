"""Compare storage with what refers to it: sweep what nobody needs, verify what somebody shows."""

import argparse
import asyncio
import json
import os
import re
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import asyncpg
import msgspec
from pydantic import SecretStr

from infra.local import state
from infra.local.home import Home
from infra.local.problem import Problem
from libs.runtime.objects import ObjectStore, StorageUnavailable
from libs.runtime.objects_s3 import S3ObjectStore, S3Options
from tools.assets.store import Connection
from tools.assets.sweep import Sweep, sweep
from tools.assets.verify import Verification, verify
from tools.places import add_home, home_of
from tools.projections.places import log_to_stderr

EXIT_FOUND: Final = 1
# Longer than any upload or attempt is under way, and than the day under which inputs are named.
KEPT: Final = "2d"
AGE: Final = re.compile(r"(?P<count>\d{1,6})(?P<unit>[smhd])")
UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
SHOWN_MAX: Final = 20
HOLDERS: Final = {
    "shown": "shown by somebody",
    "under_way": "of work under way",
    "to_be_deleted": "about to be deleted",
}


def configure(parser: argparse.ArgumentParser) -> None:
    kinds = parser.add_subparsers(dest="kind", metavar="sweep|verify", required=True)
    sweeping = kinds.add_parser("sweep", help="objects that nobody refers to; a dry run at first")
    sweeping.add_argument("--delete", action="store_true", help="delete them: otherwise a dry run")
    sweeping.add_argument(
        "--older-than",
        type=_age,
        default=_age(KEPT),
        metavar="AGE",
        help=f"leave what is younger alone, as 36h (default: {KEPT})",
    )
    verifying = kinds.add_parser("verify", help="objects that are missing, or hold something else")
    for each in (sweeping, verifying):
        each.add_argument("--json", action="store_true", help="for programs")
        add_home(each)


def run(arguments: argparse.Namespace) -> int:
    """Exit code 1 if an orphan is left, or a reference is broken."""
    log_to_stderr()
    try:
        found = asyncio.run(_work(home_of(arguments), arguments))
    except StorageUnavailable as error:
        raise Problem(f"Object storage does not answer ({error.reason}): try again.") from error
    except (asyncpg.PostgresError, OSError) as error:
        raise Problem(f"The database cannot be used: {error}.") from error
    if arguments.json:
        print(json.dumps(_as_json(found), indent=2))
    else:
        print("\n".join(_as_text(found, arguments)))
    is_well = found.is_clean if isinstance(found, Sweep) else found.is_whole
    return 0 if is_well else EXIT_FOUND


async def _work(home: Home, arguments: argparse.Namespace) -> Sweep | Verification:
    if arguments.kind == "sweep":
        return await _sweep(home, arguments)
    return await _verify(home)


async def _sweep(home: Home, arguments: argparse.Namespace) -> Sweep:
    now = await state.load(home)
    # A service that has lost its tables and makes them anew knows of no picture until it is ready.
    asleep = [name for name, each in now["services"].items() if not each["ready"]]
    if arguments.delete and asleep:
        raise Problem(
            f"{', '.join(asleep)} is not ready and may not know yet what it needs: start it with "
            f"`{home.command('up')}` before you delete."
        )
    before = datetime.now(UTC) - arguments.older_than
    async with _opened(home, now) as (connection, objects):
        return await sweep(
            connection, objects, before=before, is_deleting=arguments.delete, say=_say
        )


async def _verify(home: Home) -> Verification:
    async with _opened(home, await state.load(home)) as (connection, objects):
        return await verify(connection, objects, say=_say)


@asynccontextmanager
async def _opened(home: Home, now: state.State) -> AsyncIterator[tuple[Connection, ObjectStore]]:
    """The database with all services' tables, and the bucket that they share.

    Raises:
        Problem: one of them does not run.
    """
    for part in ("postgres", "s3"):
        if not now.get(part, {}).get("ready"):
            raise Problem(
                f"{part} of {home.root} does not run: start it with `{home.command('up')}`."
            )
    connection = await asyncpg.connect(now["postgres"]["dsn"])
    try:
        async with S3ObjectStore.connect(_options(now["s3"])) as objects:
            yield connection, objects
    finally:
        await connection.close()


def _options(embedded: dict[str, str]) -> S3Options:
    """Where the gallery stores: what the environment says wins, as for the service itself."""

    def of(name: str) -> str:
        return os.environ.get(f"GALLERY_S3_{name.upper()}") or embedded[name]

    return S3Options(
        endpoint=of("endpoint"),
        region=of("region"),
        bucket=of("bucket"),
        access_key=SecretStr(of("access_key")),
        secret_key=SecretStr(of("secret_key")),
    )


def _age(text: str) -> timedelta:
    found = AGE.fullmatch(text)
    if found is None:
        raise argparse.ArgumentTypeError("write an age as 36h or 2d")
    return timedelta(**{UNITS[found["unit"]]: int(found["count"])})


def _as_json(found: Sweep | Verification) -> dict[str, Any]:
    figures: dict[str, Any] = msgspec.to_builtins(found)
    verdict = {"clean": found.is_clean} if isinstance(found, Sweep) else {"whole": found.is_whole}
    return figures | verdict


def _as_text(found: Sweep | Verification, arguments: argparse.Namespace) -> list[str]:
    if isinstance(found, Verification):
        return [
            f"References: {found.objects:,} objects, {found.size_bytes:,} bytes read",
            *_lines("missing", found.missing, found.missing_keys),
            *_lines("changed", found.changed, found.changed_keys),
            "Every reference has its object." if found.is_whole else "References are broken.",
        ]
    lines = [f"Storage: {found.objects:,} objects, {found.size_bytes:,} bytes"]
    lines += [f"  {found.held[kind]:>9,} {words}" for kind, words in HOLDERS.items()]
    lines.append(f"  {found.young:>9,} too young to be judged")
    lines += _lines(f"orphaned, {found.orphan_bytes:,} bytes", found.orphans, found.orphan_keys)
    lines += _lines("of nobody here, left alone", found.strangers, found.stranger_keys)
    if not found.orphans:
        return [*lines, "No orphans."]
    if arguments.delete:
        return [*lines, f"Deleted: {found.deleted:,}."]
    return [*lines, "A dry run: nothing was deleted. Add --delete to delete what is orphaned."]


def _lines(what: str, count: int, keys: list[str]) -> list[str]:
    lines = [f"  {count:>9,} {what}", *(f"            {key}" for key in keys[:SHOWN_MAX])]
    return lines + ([f"            ... {count - SHOWN_MAX:,} more"] if count > SHOWN_MAX else [])


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
