"""Pieces of written Python, as `ruff format --line-length 120` would have them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from unicodedata import east_asian_width

LINE, INDENT = 120, 8
"""Columns of a line of code, and those before a method's statements."""


def call(head: str, arguments: Sequence[str], tail: str) -> list[str]:
    """A call on one line, or broken over several; each is to be indented by `INDENT`.

    >>> call("x = f(", ["a", "b"], ")")
    ['x = f(a, b)']
    """
    inside = ", ".join(arguments)
    if INDENT + _width(head + inside + tail) <= LINE:
        return [head + inside + tail]
    if INDENT + 4 + _width(inside) <= LINE:
        return [head, f"    {inside}", tail]
    return [head, *(f"    {argument}," for argument in arguments), tail]


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
