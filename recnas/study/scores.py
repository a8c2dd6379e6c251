"""What every proxy says of every candidate, after every warm-up."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from recnas.candidates.evaluation import Evaluation
from recnas.proxies.declaration import Proxy
from recnas.proxies.expression import Expression
from recnas.proxies.registry import PROXIES, find_proxy
from recnas.study.folder import warmup_folder
from recnas.study.settings import StudySettings


@dataclass(frozen=True)
class Scoring:
    """One candidate after one warm-up.

    Attributes:
        evaluation: At fidelity 0.
        warmup: The amount.
    """

    evaluation: Evaluation
    warmup: float


@dataclass(frozen=True)
class ScoringResult:
    """What proxies say of it.

    Attributes:
        id: The network's.
        warmup: The amount.
        values: By proxy; not every one is a finite number.
        seconds: What each would take alone.
    """

    id: str
    warmup: float
    values: dict[str, float]
    seconds: dict[str, float]

    def to_json(self) -> dict[str, Any]:
        """Plain values; JSON has no numbers that are not finite, so these are None."""
        values = {name: value if math.isfinite(value) else None for name, value in self.values.items()}
        return {"id": self.id, "warmup": self.warmup, "values": values, "seconds": self.seconds}

    @classmethod
    def from_json(cls, line: Mapping[str, Any]) -> ScoringResult:
        values = {name: math.nan if value is None else value for name, value in line["values"].items()}
        return cls(line["id"], line["warmup"], values, line["seconds"])


def settings_of(settings: StudySettings, warmup: float) -> StudySettings:
    """The settings of a warm-up of the study, in a folder of its own."""
    run = warmup_folder(settings.run, warmup)
    return replace(settings, run=str(run), warmup=replace(settings.warmup, amount=warmup))


def proxy_names(settings: StudySettings) -> list[str]:
    """The study's proxies: those named, or all, and whatever its rankings are made of."""
    names = dict.fromkeys(settings.proxies or PROXIES)
    for ranking in settings.rankings:
        names |= dict.fromkeys(Expression.parse(ranking).terms)
    return list(names)


def find_proxies(settings: StudySettings) -> dict[str, Proxy]:
    """The study's proxies by their names; those of your own are imported.

    Raises:
        InputError: There is none of a name.
    """
    return {name: find_proxy(name) for name in proxy_names(settings)}
