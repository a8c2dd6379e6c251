"""How a recipe parses ids that are not what `raw_value` makes of them, so that serving parses them alike.

An id parser is a mapping, which `schema.json` keeps under `reading`:

- `{"name": "hexadecimal"}`: text of up to 8 hexadecimal digits; with a `modulus`, its number is reduced by it.
- `{"name": "decimal"}`: a whole number from 0 to 2³² - 1; with a `modulus` below 2⁶⁴, or from -2⁶³ if it is `signed`,
  reduced by it.
- `{"name": "time", "form": "seconds", "part": "hour"}`: the hour of the day or the `weekday` (0 = Monday) of a time,
  given as whole seconds since 1970 (UTC) or, of the form `YYMMDDHH`, as a day and hour.
"""

from __future__ import annotations

import datetime
import math
import re
from collections.abc import Mapping
from numbers import Integral, Real
from typing import Any

from recnas.util.documents import shortened
from recnas.util.errors import InputError

FORMS, PARTS = ("seconds", "YYMMDDHH"), ("hour", "weekday")
_KEYS: dict[str, tuple[set[str], set[str]]] = {
    "hexadecimal": (set(), {"modulus"}),
    "decimal": (set(), {"modulus", "signed"}),
    "time": ({"form", "part"}, set()),
}
_HEXADECIMAL = re.compile(r"0*[0-9a-fA-F]{1,8}")
_DECIMAL = re.compile(r"(-?[0-9]{1,300})(?:\.0+)?")
# Greater whole numbers are not exact as floats.
_EXACT = 2**53
_HOUR = 3600
_DAY = 24 * _HOUR


def check_id_parser(parser: Any, where: str) -> None:
    """Raises InputError, which begins with `where`, if something is no id parser."""
    kind = parser.get("name") if isinstance(parser, Mapping) else None
    if not isinstance(kind, str) or kind not in _KEYS:
        raise InputError(f"{where}: reading {shortened(parser)} is none of {', '.join(_KEYS)}")
    needed, optional = _KEYS[kind]
    if not needed <= set(parser) - {"name"} <= needed | optional:
        raise InputError(f"{where}: reading {kind} has the keys {', '.join(sorted({'name'} | needed | optional))}")
    modulus = parser.get("modulus", 1)
    if isinstance(modulus, bool) or not isinstance(modulus, int) or not 1 <= modulus <= 2**32:
        raise InputError(f"{where}: modulus {shortened(modulus)} is not a whole number from 1 to {2**32}")
    if not isinstance(parser.get("signed", False), bool):
        raise InputError(f"{where}: signed is {shortened(parser['signed'])}, it must be true or false")
    if parser.get("signed") and "modulus" not in parser:
        raise InputError(f"{where}: what may be negative needs a modulus")
    for key, choices in (("form", FORMS), ("part", PARTS)):
        if parser.get(key, choices[0]) not in choices:
            raise InputError(f"{where}: {key} {shortened(parser[key])} is none of {', '.join(choices)}")


def wanted(parser: Mapping[str, Any]) -> str:
    """What a value should be, for messages."""
    if parser["name"] == "hexadecimal":
        return "a text of up to 8 hexadecimal digits"
    if parser["name"] == "time":
        return "a number of whole seconds" if parser["form"] == "seconds" else "an hour as YYMMDDHH"
    least, most = bounds(parser)
    return f"a whole number from {least} to {most - 1}"


def parse_id(parser: Mapping[str, Any], value: Any) -> int | None:
    """The raw 32-bit value that a recipe makes of a value; None of a missing one: None, NaN, or the empty string.

    Raises:
        InputError: it is nothing of that kind; `wanted` tells what it should be.

    >>> parse_id({"name": "hexadecimal"}, "68fd1e64"), parse_id({"name": "decimal", "modulus": 10}, "25.0")
    (1761418852, 5)
    >>> parse_id({"name": "time", "form": "YYMMDDHH", "part": "weekday"}, 14102123)
    1
    """
    if value is None or value == "" or value != value:
        return None
    if parser["name"] == "hexadecimal":
        # A number could be its digits or what they stand for.
        if not isinstance(value, str) or not _HEXADECIMAL.fullmatch(value):
            raise InputError(f"{value!r} is not {wanted(parser)}")
        number = int(value, 16)
        return number % parser["modulus"] if "modulus" in parser else number
    number = _whole(value)
    least, most = bounds(parser)
    if number is None or not least <= number < most:
        raise InputError(f"{value!r:.40} is not {wanted(parser)}")
    if parser["name"] == "decimal":
        return number % parser["modulus"] if "modulus" in parser else number
    try:
        return _part(number, parser["form"], parser["part"])
    except ValueError:
        raise InputError(f"{value!r:.40} is not {wanted(parser)}") from None


def bounds(parser: Mapping[str, Any]) -> tuple[int, int]:
    """The least whole number that a `decimal` or `time` parser takes, and the first above all that it takes."""
    if parser["name"] == "time":
        return 0, 2**32
    if parser.get("signed"):
        return -(2**63), 2**63
    return 0, 2**64 if "modulus" in parser else 2**32


def _whole(value: Any) -> int | None:
    """A whole number, as text or not; None of anything else."""
    if isinstance(value, str):
        match = _DECIMAL.fullmatch(value)
        return int(match[1]) if match else None
    if isinstance(value, bool) or not isinstance(value, Real):
        return None
    if isinstance(value, Integral):
        return int(value)
    return int(value) if math.isfinite(value) and value == int(value) and abs(value) <= _EXACT else None


def _part(number: int, form: str, part: str) -> int:
    if form == "seconds":
        # 1 January 1970 was a Thursday.
        return number % _DAY // _HOUR if part == "hour" else (number // _DAY + 3) % 7
    if number >= 100_000_000:
        raise ValueError
    time = datetime.datetime.strptime(f"20{number:08d}", "%Y%m%d%H")
    return time.hour if part == "hour" else time.weekday()
