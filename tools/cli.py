"""Entry of `./daygen`: finds the command's module, and says problems in one sentence."""

import argparse
import ast
import importlib
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol, cast

COMMANDS = Path(__file__).parent / "commands"
EXIT_PROBLEM = 2
EXIT_INTERRUPTED = 130


class Command(Protocol):
    """What each module in tools/commands offers."""

    def configure(self, parser: argparse.ArgumentParser) -> None: ...

    def run(self, arguments: argparse.Namespace) -> int: ...


def summaries() -> dict[str, str]:
    """Every command with the first line of its module, which is read and not imported."""
    files = (file for file in sorted(COMMANDS.glob("*.py")) if not file.stem.startswith("_"))
    return {file.stem: _first_line(file) for file in files}


def _first_line(file: Path) -> str:
    docstring = ast.get_docstring(ast.parse(file.read_text())) or ""
    return docstring.partition("\n")[0]


def parse(argv: Sequence[str], command: Command | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="./daygen", description="DayGen's back end on this machine: real parts, no Docker."
    )
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, summary in summaries().items():
        child = commands.add_parser(name, help=summary, description=summary)
        if command is not None and argv[0] == name:
            command.configure(child)
    return parser.parse_args(argv)


def main(argv: Sequence[str]) -> int:
    from infra.local.problem import Problem  # noqa: PLC0415 - keeps `--help` instant

    known = argv and (COMMANDS / f"{argv[0]}.py").exists()
    module = importlib.import_module(f"tools.commands.{argv[0]}") if known else None
    command = cast("Command | None", module)
    arguments = parse(argv, command)
    try:
        return command.run(arguments) if command is not None else EXIT_PROBLEM
    except Problem as problem:
        print(f"daygen: {problem}", file=sys.stderr)
        return EXIT_PROBLEM
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        # The reader of our output (head, less) has gone: not our problem, and not the shell's.
        sys.stderr.close()
        return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
