"""Durations as people write them: 90, 90s, 10m, 1h30m."""

from __future__ import annotations

import re

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
