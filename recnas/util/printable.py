"""Texts from files, such as names, as a terminal or a Markdown page can show them without doing what they say."""

from __future__ import annotations

import re
from typing import Any, TextIO

_CONTROL = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f"
    # What is written from right to left, and what turns the direction or ends a line.
    "\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069]"
)
_MARKUP = re.compile(r"[\\`*\[\]<>|&~$!@#]|(?<![^\W_])_|_(?![^\W_])|(?<=[wW]{3})\.|:(?=//)|^[-+=]|^\d(?=\d*[.)])|^ | $")
"""What Markdown reads as more than itself, and where."""


def printable(text: str) -> str:
    """A text without characters that steer a terminal: they are shown as escapes. Line ends and tabs stay.

    >>> printable("\\x1b[2J gone")
    '\\\\x1b[2J gone'
    """
    return _CONTROL.sub(_escape, text)


def one_line(text: str) -> str:
    """Printable text on one line."""
    return printable(text).replace("\n", "\\n")


def in_markdown(value: Any) -> str:
    """A value as text of a Markdown page, in a table or out of it, that shows what it is.

    >>> in_markdown("a|<b>_c_d")
    'a&#124;&#60;b&#62;&#95;c_d'
    """
    return _MARKUP.sub(lambda found: f"&#{ord(found[0])};", one_line(str(value)))


class PrintableStream:
    """A stream of text that writes what is printable.

    Args:
        stream: The stream that is written to.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Writes a text; gives its length."""
        self._stream.write(printable(text))
        return len(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def _escape(found: re.Match[str]) -> str:
    return found[0].encode("unicode_escape").decode("ascii")
