"""Show what runs, where it listens and whether it is ready."""

import argparse
import asyncio
import json
from pathlib import Path

from infra.local import state
from infra.local.home import Home
from tools.places import add_home, home_of


def configure(parser: argparse.ArgumentParser) -> None:
    add_home(parser)
    parser.add_argument(
        "--json", action="store_true", help="for programs: all addresses, with passwords"
    )


def run(arguments: argparse.Namespace) -> int:
    """Exit code 0 if everything is ready, else 1."""
    home = home_of(arguments)
    now = asyncio.run(state.load(home))
    if arguments.json:
        print(json.dumps(now, indent=2))
    else:
        print(_table(now))
    return 0 if now["ready"] else 1


def _table(now: state.State) -> str:
    parts = state.parts_of(now)
    if not any(part["pid"] for part in parts.values()):
        up = Home(Path(now["home"])).command("up")
        return f"Nothing runs in {now['home']}: start it with `{up}`."
    rows = [f"{'':<11} {'state':<9} {'pid':<8} {'restarts':<9} address"]
    for name, part in parts.items():
        address = part.get("url") or part.get("bootstrap") or part.get("endpoint")
        where = address or part["dsn"].rpartition("@")[2]
        word = part["phase"] if part["ready"] or part["phase"] != "ready" else "silent"
        rows.append(f"{name:<11} {word:<9} {part['pid'] or '-':<8} {part['restarts']:<9} {where}")
    rows.append(f"Home {now['home']}, admin {now['admin']['email']}.")
    return "\n".join(rows)
