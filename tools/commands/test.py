"""Run the tests: unit, integration, e2e or all (default), with any of pytest's own options."""

import argparse
import os
import sys

from tools.places import ROOT

SUITES = ("unit", "integration", "e2e", "all")


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("suite", nargs="?", choices=SUITES, default="all")
    parser.add_argument("pytest", nargs=argparse.REMAINDER, help="passed to pytest as it is")


def run(arguments: argparse.Namespace) -> int:
    """Become pytest, so that its last lines are ours."""
    selection = [] if arguments.suite == "all" else ["-m", arguments.suite]
    os.chdir(ROOT)
    os.execv(  # noqa: S606 - our own interpreter, no shell
        sys.executable, [sys.executable, "-m", "pytest", *selection, *arguments.pytest]
    )
