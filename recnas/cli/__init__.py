"""The command line: a command parses, calls one function, and prints."""

from recnas.cli.commands import main

__all__ = ["main"]
