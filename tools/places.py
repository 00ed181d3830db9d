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
        default=Path(os.environ.get("DAYGEN_HOME", ROOT / ".daygen")),
        help="directory that keeps everything of this system (default: .daygen)",
    )


def home_of(arguments: argparse.Namespace) -> Home:
    return Home(arguments.home.expanduser().resolve())
