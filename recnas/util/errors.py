"""The two exceptions that a user is to see, and parts of messages."""

import shlex
from pathlib import Path


class InputError(Exception):
    """Something that the user gave does not fit: a bad row, a missing file, an unknown setting (exit code 2).

    The message is one line that says what is wrong, where (`file:line` if there is one) and what to do.
    """


class RunError(Exception):
    """Something failed on the way, with good input: a diverged loss, a full disk (exit code 1)."""


def first_line(error: BaseException) -> str:
    """The first line of a library's error, to stand in a message in brackets."""
    lines = (line.strip().rstrip(" .") for line in str(error).splitlines())
    return next(filter(None, lines), type(error).__name__)


def suggested(*words: object) -> str:
    """A command as a message suggests it: whatever is in a name, it can be given to a shell as it stands."""
    return shlex.join(_word(word) for word in words)


def _word(word: object) -> str:
    # A name that begins like a flag would be taken for one.
    return f"./{word}" if isinstance(word, Path) and str(word).startswith("-") else str(word)
