"""Print the logs of the parts and services, or of one of them."""

import argparse
import time
from pathlib import Path

from infra.local.home import Home
from infra.local.problem import Problem
from tools.places import add_home, home_of

LINES_DEFAULT = 20
POLL_SECONDS = 0.2


def configure(parser: argparse.ArgumentParser) -> None:
    add_home(parser)
    parser.add_argument("part", nargs="?", help="one part or service (default: all)")
    parser.add_argument("-f", "--follow", action="store_true", help="go on as lines come")
    parser.add_argument("-n", "--lines", type=int, default=LINES_DEFAULT, help="how many of each")


def run(arguments: argparse.Namespace) -> int:
    files = chosen(home_of(arguments), arguments.part)
    prefix = len(files) > 1
    places = {file: show_tail(file, arguments.lines, prefix=prefix) for file in files}
    while arguments.follow:
        time.sleep(POLL_SECONDS)
        for file, place in places.items():
            places[file] = show_from(file, place, prefix=prefix)
    return 0


def chosen(home: Home, part: str | None) -> list[Path]:
    logs = home.logs
    files = sorted(logs.glob("*.log"))
    if part is not None:
        files = [file for file in files if file.stem == part]
    if not files:
        names = ", ".join(sorted(file.stem for file in logs.glob("*.log")))
        raise Problem(
            f"There is no log of {part}: choose one of {names}."
            if names
            else f"There are no logs in {logs}: start the system with `{home.command('up')}`."
        )
    return files


def show_tail(file: Path, count: int, *, prefix: bool) -> int:
    content = file.read_bytes()
    _show(file, content.decode(errors="replace").splitlines()[-count:], prefix=prefix)
    return len(content)


def show_from(file: Path, place: int, *, prefix: bool) -> int:
    """Print whole lines past the place and return the new one."""
    with file.open("rb") as log:
        log.seek(place)
        fresh = log.read()
    whole = fresh[: fresh.rfind(b"\n") + 1]
    _show(file, whole.decode(errors="replace").splitlines(), prefix=prefix)
    return place + len(whole)


def _show(file: Path, lines: list[str], *, prefix: bool) -> None:
    for line in lines:
        print(f"{file.stem:<11} {line}" if prefix else line, flush=True)
