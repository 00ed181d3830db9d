"""Pin the Python requirements and Kafka's jars anew, with hashes and without index addresses."""

import argparse
import subprocess
import sys
from pathlib import Path

from infra.local import jars
from infra.local.problem import Problem
from tools.places import ROOT

REQUIREMENTS = Path("requirements")
# Each lock is compiled under the ones before it, so that all of them fit into one environment.
LOCKS = {
    "runtime.txt": ("pyproject.toml", "--all-extras"),
    "local.txt": ("requirements/local.in",),
    "dev.txt": ("requirements/dev.in", "--override", "requirements/overrides.in"),
}


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--upgrade", action="store_true", help="take the newest that fit")


def run(arguments: argparse.Namespace) -> int:
    constraints: list[str] = []
    for name, sources in LOCKS.items():
        target = str(REQUIREMENTS / name)
        _compile(target, (*sources, *constraints, *(["--upgrade"] if arguments.upgrade else [])))
        constraints += ["--constraint", target]
        print(f"{target} is pinned")
    jars.LOCK.write_text(jars.resolve_lock(print))
    return 0


def _compile(target: str, words: tuple[str, ...]) -> None:
    result = subprocess.run(
        [
            *(str(Path(sys.executable).parent / "uv"), "pip", "compile", "--quiet"),
            *("--universal", "--python-version", "3.11", "--generate-hashes"),
            *("--no-emit-index-url", "--no-header", "--no-annotate", "--output-file", target),
            *words,
        ],
        cwd=ROOT,
        check=False,
    )
    if result.returncode != 0:
        raise Problem(f"{target} could not be compiled: see the lines above.")
