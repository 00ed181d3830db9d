"""Check format, lint, types, imports and the tree's own rules; every step runs."""

import argparse
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from tools.places import ROOT

SCRIPTS = Path(sys.executable).parent


@dataclass(frozen=True, slots=True)
class Step:
    """One tool; its output is shown if it fails."""

    name: str
    command: tuple[str, ...]
    always_shown: bool = False


STEPS = (
    Step("format", (str(SCRIPTS / "ruff"), "format", "--check", ".")),
    Step("lint", (str(SCRIPTS / "ruff"), "check", ".")),
    Step("types", (sys.executable, "-m", "mypy")),
    Step("imports", (str(SCRIPTS / "lint-imports"), "--no-logo")),
    Step("events", (sys.executable, "-m", "tools.cli", "events", "schema", "--check")),
    Step("tidy", (sys.executable, "-m", "tools.tidy"), always_shown=True),
)
NAMES = ", ".join(step.name for step in STEPS)


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("steps", nargs="*", type=_step_name, metavar="STEP", help=f"of {NAMES}")


def _step_name(text: str) -> str:
    if all(step.name != text for step in STEPS):
        raise argparse.ArgumentTypeError(f"there is no step {text}: choose from {NAMES}")
    return text


def run(arguments: argparse.Namespace) -> int:
    wanted = [step for step in STEPS if not arguments.steps or step.name in arguments.steps]
    failed = [step.name for step in wanted if not _passes(step)]
    if failed:
        print(f"check failed: {', '.join(failed)}")
    return 1 if failed else 0


def _passes(step: Step) -> bool:
    began = time.monotonic()
    if sys.stdout.isatty():
        print(f"{step.name:<8} …", end="\r", flush=True)
    result = subprocess.run(step.command, cwd=ROOT, capture_output=True, text=True, check=False)
    passed = result.returncode == 0
    verdict = "ok" if passed else "FAILED"
    print(f"{step.name:<8} {verdict:<7} {time.monotonic() - began:5.1f} s", flush=True)
    if step.always_shown or not passed:
        print((result.stdout + result.stderr).rstrip(), flush=True)
    return passed
