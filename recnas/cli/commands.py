"""Every command, the parser of all, and how one is run."""

from __future__ import annotations

import argparse
import sys
import typing
from collections.abc import Sequence
from functools import partial
from importlib.metadata import version

from recnas.cli.base import Command, add_debug_flag
from recnas.cli.baselines import BASELINES
from recnas.cli.bench import BENCH
from recnas.cli.describe import DESCRIBE
from recnas.cli.evaluate import EVALUATE
from recnas.cli.export import EXPORT
from recnas.cli.plan import PLAN
from recnas.cli.portfolio import PORTFOLIO
from recnas.cli.prepare import PREPARE, import_own_recipe
from recnas.cli.report import REPORT
from recnas.cli.search import SEARCH
from recnas.cli.status import STATUS
from recnas.cli.study import STUDY
from recnas.cli.train import TRAIN
from recnas.util.exits import exit_code, print_all_letters
from recnas.util.user_code import import_user_module

COMMANDS: tuple[Command, ...] = (
    PREPARE,
    DESCRIBE,
    PLAN,
    SEARCH,
    BASELINES,
    STUDY,
    BENCH,
    PORTFOLIO,
    STATUS,
    REPORT,
    EXPORT,
    TRAIN,
    EVALUATE,
)
"""In the order in which they are used."""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a command; returns its exit code, see `exit_code`."""
    print_all_letters()
    argv = sys.argv[1:] if argv is None else list(argv)
    if code := exit_code(partial(import_own_recipe, argv), "--debug" in argv):
        return code
    arguments = make_parser().parse_args(argv)
    command: Command = arguments.command
    return exit_code(
        partial(_run, command, arguments),
        arguments.debug,
        "; the same command with --resume goes on" if command.resumes else "",
        partial(command.memory_remedy, arguments),
    )


def _run(command: Command, arguments: argparse.Namespace) -> None:
    for module in vars(arguments).get("code", ()):
        import_user_module(module)
    command.run(arguments)


class _Parser(argparse.ArgumentParser):
    """Says in one line what is wrong with a command."""

    def error(self, message: str) -> typing.NoReturn:
        self.exit(2, f"{self.prog}: {message}; see {self.prog} --help\n")


def make_parser() -> argparse.ArgumentParser:
    """The parser of all commands."""
    parser = _Parser(prog="recnas", description=_description(), formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--version", action="version", version=f"recnas {version('recnas')}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for command in COMMANDS:
        sub = commands.add_parser(
            command.name,
            help=command.does,
            description=command.description,
            epilog=command.epilog,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        sub.set_defaults(command=command)
        add_debug_flag(sub)
        command.add_flags(sub)
    return parser


def _description() -> str:
    width = max(len(command.name) for command in COMMANDS)
    listed = "\n".join(f"  {command.name:<{width}}  {command.makes}" for command in COMMANDS)
    return f"""\
recnas searches for click-through-rate (CTR) models.

From a click log to an exported model:

{listed}

Each command has an example: recnas COMMAND --help"""
