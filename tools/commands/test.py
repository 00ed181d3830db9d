"""Run the tests: unit, integration, e2e or all (default), with any of pytest's own options."""

import argparse
import os
import sys
from collections.abc import Sequence

from tools.places import ROOT

SUITES = ("unit", "integration", "e2e")
USAGE = """\
./daygen test [unit|integration|e2e|all] [PYTEST OPTION OR PATH ...]
  ./daygen test unit                  no I/O, in seconds
  ./daygen test integration -k kafka  real Postgres, Kafka and S3
  ./daygen test e2e -x                the whole embedded system
"""


def configure(parser: argparse.ArgumentParser) -> None:
    # Every word is pytest's, options too: nothing starts with this character.
    parser.prefix_chars = "\0"
    parser.add_argument("words", nargs=argparse.REMAINDER)


def run(arguments: argparse.Namespace) -> int:
    """Become pytest, so that its last lines are ours."""
    words: list[str] = arguments.words
    if words not in (["-h"], ["--help"]):
        os.chdir(ROOT)
        command = [sys.executable, "-m", "pytest", *pytest_words(words)]
        os.execv(sys.executable, command)  # noqa: S606 - our own interpreter, no shell
    print(USAGE, end="")
    return 0


def pytest_words(words: Sequence[str]) -> list[str]:
    if words and words[0] in SUITES:
        return ["-m", *words]
    return list(words[1:] if words and words[0] == "all" else words)
