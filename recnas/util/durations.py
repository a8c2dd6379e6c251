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
    """How much a search may take, of one of the two.

    Attributes:
        seconds: Time.
        candidates: How many candidates are trained.
        before: What it was before something was added to it.
    """

    seconds: float | None = None
    candidates: int | None = None
    before: Limit | None = None

    @property
    def steps(self) -> list[Limit]:
        """What it was at first, and after each addition."""
        return [*([] if self.before is None else self.before.steps), self]


def limit_of(text: str) -> Limit:
    """Reads a budget; with + between them, one to which others were added.

    Raises:
        InputError: It cannot be read, or is not above 0, or time and candidates are added.

    >>> limit_of("10m").seconds, limit_of("40c").candidates, limit_of("10m+5m").seconds
    (600.0, 40, 900.0)
    """
    first, *others = text.split("+")
    limit = _limit(first, text)
    for other in others:
        added = _limit(other, text)
        if (added.seconds is None) != (limit.seconds is None):
            raise InputError(f"{text!r} is no budget; time and candidates cannot be added")
        if added.seconds is not None:
            limit = Limit(seconds=limit.seconds + added.seconds, before=limit)
        else:
            limit = Limit(candidates=limit.candidates + added.candidates, before=limit)
    return limit


def _limit(text: str, whole: str) -> Limit:
    if (found := _CANDIDATES.fullmatch(text.strip().lower())) is not None:
        if not (count := int(found[1])):
            raise InputError(f"{whole!r} is no budget; one candidate is the least")
        return Limit(candidates=count)
    try:
        return Limit(seconds=seconds_of(text))
    except InputError:
        raise InputError(f"{whole!r} is no budget; write time, as in 10m or 1h30m, or candidates, as in 40c") from None
