"""Run the tests: unit, integration, e2e or all (default), with any of pytest's own options.

One worker process a core and one more, since they wait a lot, each with real parts of its own.
"""

import argparse
import os
import sys
from collections.abc import Sequence

from infra.local import jars
from tools.places import ROOT

SUITES = ("unit", "integration", "e2e")
# Its jars are fetched before the first test, not under the limits of time of one.
NEED_KAFKA = ("integration", "e2e", "all")
WORKERS_MAX = 4  # each starts a Kafka, a Postgres and an S3 server: about 1 GB
# With these pytest runs in one process: the word says how many, or somebody wants to talk to it.
ONE_PROCESS = ("-n", "--numprocesses", "-s", "--pdb", "--trace", "--collect-only", "--co")
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
        if not words or words[0] in NEED_KAFKA:
            jars.ensure(jars.read_lock(), jars.cache_directory(), print)
        command = [sys.executable, "-m", "pytest", *pytest_words(words)]
        os.execv(sys.executable, command)  # noqa: S606 - our own interpreter, no shell
    print(USAGE, end="")
    return 0


def pytest_words(words: Sequence[str]) -> list[str]:
    """What pytest is told: the suite as its mark, and how many processes share the work."""
    if words and words[0] in SUITES:
        words = ["-m", *words]
    elif words and words[0] == "all":
        words = words[1:]
    if any(word.startswith(ONE_PROCESS) for word in words):
        return list(words)
    workers = min((os.cpu_count() or 1) + 1, WORKERS_MAX)
    return [f"--numprocesses={workers}", *words]
