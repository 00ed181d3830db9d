"""Describe the events, and look into their streams."""

import argparse
from collections.abc import Mapping

from tools.cli import Command
from tools.events import schema, tail

# A module of tools/events each: its docstring is the help, `configure` and `run` are the rest.
SUBCOMMANDS: Mapping[str, Command] = {"schema": schema, "tail": tail}


def configure(parser: argparse.ArgumentParser) -> None:
    commands = parser.add_subparsers(dest="subcommand", metavar="SUBCOMMAND", required=True)
    for name, module in SUBCOMMANDS.items():
        summary = (module.__doc__ or "").partition("\n")[0]
        module.configure(commands.add_parser(name, help=summary, description=summary))


def run(arguments: argparse.Namespace) -> int:
    return SUBCOMMANDS[arguments.subcommand].run(arguments)
