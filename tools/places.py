"""Where the repository and the chosen home are; shared by the commands."""

import argparse
import os
from pathlib import Path

from infra.local.home import Home

ROOT = Path(__file__).parents[1]


def add_home(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--home",
        type=Path,
        default=_default_home(),
        help="directory that keeps everything of this system (default: .daygen)",
    )


def home_of(arguments: argparse.Namespace) -> Home:
    return Home(arguments.home.expanduser().resolve())


def command_on(home: Path, command: str) -> str:
    """What to type so that `command` is about this home, and not about the default one."""
    is_default = home == _default_home().expanduser().resolve()
    return f"./daygen {command}" if is_default else f"./daygen {command} --home {home}"


def port_number(text: str) -> int:
    """The type of an argument that is a port to listen on."""
    if not text.isdecimal() or not 0 < int(text) < 65536:
        raise argparse.ArgumentTypeError("a port is a number from 1 to 65535")
    return int(text)


def _default_home() -> Path:
    return Path(os.environ.get("DAYGEN_HOME", ROOT / ".daygen"))
