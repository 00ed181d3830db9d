"""Write the schemas of all events and the AsyncAPI document to docs/events, or check them."""

import argparse

from infra.local.problem import Problem
from libs.events.history import SCHEMAS
from tools.events import catalogue


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if they differ")
    parser.add_argument(
        "--base",
        default="HEAD",
        metavar="COMMIT",
        help="whose files are the published ones (default: HEAD)",
    )


def run(arguments: argparse.Namespace) -> int:
    broken = catalogue.promises_broken(arguments.base)
    if broken:
        _report(broken)
        if arguments.check:
            return 1
        raise Problem(f"Nothing was written to {SCHEMAS}: what was published would have changed.")
    if not arguments.check:
        for path in catalogue.write():
            print(f"wrote {path}")
    wrong = _report([*catalogue.parts_missing(), *drift()])
    if not wrong:
        print(f"{SCHEMAS}: {len(catalogue.generated())} files are up to date.")
    return wrong


def drift() -> list[str]:
    """One sentence if the generated files differ from the models."""
    paths = catalogue.drifted()
    if not paths:
        return []
    names = ", ".join(path.removeprefix(f"{SCHEMAS}/") for path in paths)
    return [f"{SCHEMAS} differs from the models ({names}): run `{catalogue.COMMAND}`."]


def _report(sentences: list[str]) -> int:
    for sentence in sentences:
        print(sentence)
    return 1 if sentences else 0
