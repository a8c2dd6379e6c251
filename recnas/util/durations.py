"""Durations and budgets as people write them: 90, 90s, 10m, 1h30m; 40c or "40 candidates" for as many candidates."""

from __future__ import annotations

import re
from dataclasses import dataclass

from recnas.util.errors import InputError

_UNITS = {"d": 86_400, "h": 3_600, "m": 60, "s": 1}
_FORM = re.compile(r"(?:(\d+(?:\.\d+)?)d)?(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m)?(?:(\d+(?:\.\d+)?)s?)?")


def seconds_of(text: str) -> float:
    """Seconds of a duration; a number without a unit is of seconds.

    Raises:
        InputError: It cannot be read, or is not above 0.

    >>> seconds_of("10m"), seconds_of("1h30m"), seconds_of("90"), seconds_of("1.5h")
    (600.0, 5400.0, 90.0, 5400.0)
    """
    found = _FORM.fullmatch(text.strip().lower())
    parts = found.groups() if found else ()
    total = sum(float(part) * unit for part, unit in zip(parts, _UNITS.values(), strict=True) if part) if parts else 0
    if not total > 0:
        raise InputError(f"{text!r} is no duration; write it as 10m, 90s or 1h30m")
    return total


_CANDIDATES = re.compile(r"(\d+)\s*(?:c|candidates?|evaluations?)")


@dataclass(frozen=True)
class Limit:
    """How much a search may take; one of the two.

    Attributes:
        seconds: Time.
        candidates: How many candidates are trained.
    """

    seconds: float | None = None
    candidates: int | None = None


def limit_of(text: str) -> Limit:
    """Reads a budget.

    Raises:
        InputError: It cannot be read, or is not above 0.

    >>> limit_of("10m"), limit_of("40c")
    (Limit(seconds=600.0, candidates=None), Limit(seconds=None, candidates=40))
    """
    if (found := _CANDIDATES.fullmatch(text.strip().lower())) is not None:
        if not (count := int(found[1])):
            raise InputError(f"{text!r} is no budget; one candidate is the least")
        return Limit(candidates=count)
    try:
        return Limit(seconds=seconds_of(text))
    except InputError:
        raise InputError(f"{text!r} is no budget; write time, as in 10m or 1h30m, or candidates, as in 40c") from None
