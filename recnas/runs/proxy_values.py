"""`proxies.jsonl`: proxies of what a search trains or might have trained, and which of them were used."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from recnas.runs.folder import PROXIES
from recnas.util import forms
from recnas.util.files import checked_line, read_lines


@dataclass
class ProxyValues:
    """What the file of a run holds.

    Attributes:
        values: Proxies by candidate; NaN for what is unknown.
        used: From which candidate on, counted from 1, which proxies were used.
        seconds: What measuring took.
        lines: Of the file.
    """

    values: dict[str, dict[str, float]] = field(default_factory=dict)
    used: list[tuple[int, tuple[str, ...]]] = field(default_factory=list)
    seconds: float = 0.0
    lines: int = 0

    @classmethod
    def of(cls, lines: Sequence[Mapping[str, Any]]) -> ProxyValues:
        """Of the file's lines."""
        found = cls(lines=len(lines))
        for line in lines:
            if "used" in line:
                found.used.append((line["since"], tuple(line["used"])))
            else:
                values = {name: math.nan if value is None else value for name, value in line["values"].items()}
                found.values.setdefault(line["id"], {}).update(values)
                found.seconds += line["seconds"]
        return found

    def spans(self, name: str) -> list[tuple[int, int | None]]:
        """The first and the last candidate of each time in which a proxy was used; None: to the end."""
        found: list[tuple[int, int | None]] = []
        for since, names in self.used:
            is_open = bool(found) and found[-1][1] is None
            if name in names and not is_open:
                found.append((since, None))
            elif name not in names and is_open:
                found[-1] = (found[-1][0], since - 1)
        return found


def read_proxy_values(run: Path) -> tuple[ProxyValues, int | None]:
    """What the file of a run holds, and how many bytes of it if its last line is cut short; nothing if there is none.

    Raises:
        InputError: A line before the last is damaged.
    """
    path = run / PROXIES
    lines, cut = read_lines(path)
    form = forms.ProxyLine
    found = ProxyValues.of([checked_line(line, form, f"{path}:{place}") for place, line in enumerate(lines, start=1)])
    return found, sum(len(line) + 1 for line in lines) if cut else None
