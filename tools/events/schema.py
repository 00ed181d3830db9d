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
    missing = catalogue.parts_missing()
    if arguments.check:
        return _report([*broken, *missing, *drift()])
    if broken:
        _report(broken)
        raise Problem(f"Nothing was written to {SCHEMAS}: what was published would have changed.")
    written = catalogue.write()
    for path in written:
        print(f"wrote {path}")
    print(f"{SCHEMAS}: {len(written)} written, {len(catalogue.generated())} up to date.")
    return _report(missing)


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
