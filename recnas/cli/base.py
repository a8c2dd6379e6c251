"""What a command is: its place in the help, its flags, and what it does."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass

from recnas.cli.memory_remedy import tables_of_folder


@dataclass(frozen=True)
class Command:
    """One command of `recnas`.

    Attributes:
        name: What a user types.
        makes: What it reads and what comes of it, for the list of all commands.
        does: The same as a sentence, without capital letter and full stop.
        example: A line that calls it, or several.
        add_flags: Given the command's parser, adds its arguments.
        run: Given what was parsed, calls one function and prints.
        resumes: Whether `--resume` resumes what it has begun.
        memory_remedy: Given what was parsed, says what takes the memory, and what to do where there is not enough.
    """

    name: str
    makes: str
    does: str
    example: str
    add_flags: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], None]
    resumes: bool = False
    memory_remedy: Callable[[argparse.Namespace], str] = tables_of_folder

    @property
    def description(self) -> str:
        """Heads its own help."""
        return f"{self.does[0].upper()}{self.does[1:]}."

    @property
    def epilog(self) -> str:
        """Ends its own help."""
        return example_text(self.example)


def example_text(example: str) -> str:
    """The end of a help text."""
    lines = example.splitlines()
    return "\n  ".join(["example:" if len(lines) == 1 else "examples:", *lines])


def add_debug_flag(parser: argparse.ArgumentParser) -> None:
    """The flag that every command has."""
    parser.add_argument("--debug", action="store_true", help="show the stack trace of an error")


def add_code_flag(parser: argparse.ArgumentParser) -> None:
    """The flag of a command that reads a model which may be a baseline, or have an operator, of the user's own."""
    parser.add_argument(
        "--code",
        nargs="+",
        action="extend",
        default=[],
        metavar="MODULE",
        help="imported first: the module of a baseline of your own that the model is, or of an operator that it has",
    )
