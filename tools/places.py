"""Where the repository and the chosen home are; shared by the commands."""

import argparse
from pathlib import Path

from infra.local.home import Home, default_root

ROOT = Path(__file__).parents[1]


def add_home(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--home",
        type=Path,
        default=default_root(),
        help="directory that keeps everything of this system (default: .daygen)",
    )


def home_of(arguments: argparse.Namespace) -> Home:
    return Home(arguments.home.expanduser().resolve())


def port_number(text: str) -> int:
    """The type of an argument that is a port to listen on, 0 for any that is free."""
    if not text.isdecimal() or not 0 <= int(text) < 65536:
        raise argparse.ArgumentTypeError("a port is a number from 0 (any free one) to 65535")
    return int(text)
