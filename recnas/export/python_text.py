"""Pieces of written Python, as `ruff format --line-length 120` would have them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from unicodedata import east_asian_width

LINE, INDENT = 120, 8
"""Columns of a line of code, and those before a method's statements."""


@dataclass(frozen=True)
class Call:
    """A call among the arguments of another.

    Attributes:
        function: What is called.
        arguments: Its arguments.
    """

    function: str
    arguments: Sequence[str | Call]

    def __str__(self) -> str:
        return f"{self.function}({', '.join(map(str, self.arguments))})"


def call(head: str, arguments: Sequence[str | Call], tail: str, indent: int = INDENT) -> list[str]:
    """A call on one line, or broken over several.

    Args:
        head: What stands before the arguments, to the opening bracket.
        arguments: The arguments.
        tail: What stands after them, from the closing bracket.
        indent: Columns by which each line is to be indented.

    >>> call("x = f(", ["a", Call("g", ["b"])], ")")
    ['x = f(a, g(b))']
    """
    inside = ", ".join(map(str, arguments))
    if indent + _width(head + inside + tail) <= LINE:
        return [head + inside + tail]
    if indent + 4 + _width(inside) <= LINE:
        return [head, f"    {inside}", tail]
    lines = [head]
    for argument in arguments:
        if isinstance(argument, Call):
            lines += [f"    {line}" for line in call(f"{argument.function}(", argument.arguments, "),", indent + 4)]
        else:
            lines.append(f"    {argument},")
    return [*lines, tail]


def literal(value: object) -> str:
    """A value as Python writes it; a text in double quotes, unless single ones save escapes.

    >>> print(literal("Children's"), literal('6" nails'), literal(0.5))
    "Children's" '6" nails' 0.5
    """
    if not isinstance(value, str):
        return repr(value)
    if value.count('"') > value.count("'"):
        return repr(value)
    # A double quote makes `repr` choose single ones.
    body = repr(value + '"')[1:-2]
    return '"' + re.sub(r"\\(.)", lambda m: "'" if m[1] == "'" else m[0], body).replace('"', '\\"') + '"'


def _width(text: str) -> int:
    return sum(2 if east_asian_width(character) in "FW" else 1 for character in text)
