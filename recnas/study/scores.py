"""What every proxy says of every candidate, after every warm-up."""

from __future__ import annotations

import gc
import math
import threading
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from recnas.data import Dataset
from recnas.proxies.context import ScoringContext
from recnas.proxies.declaration import Proxy
from recnas.proxies.expression import Expression
from recnas.proxies.inputs import ProxyInputs
from recnas.proxies.registry import PROXIES, find_proxy
from recnas.search.scoring import build_scoring_context
from recnas.space import Architecture
from recnas.study.folder import warmup_folder
from recnas.study.settings import StudySettings


@dataclass(frozen=True)
class Scoring:
    """One candidate after one warm-up."""

    arch: Architecture
    warmup: float


@dataclass(frozen=True)
class Scored:
    """What proxies say of it.

    Attributes:
        id: The candidate's.
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
    def from_json(cls, line: Mapping[str, Any]) -> Scored:
        values = {name: math.nan if value is None else value for name, value in line["values"].items()}
        return cls(line["id"], line["warmup"], values, line["seconds"])


_settings: StudySettings | None = None
_instruments: tuple[float, ScoringContext] | None = None
_building = threading.Lock()


def start_scorings(settings: StudySettings) -> None:
    """Prepares this process to `measure`."""
    global _settings, _instruments
    _settings, _instruments = settings, None


def measure(scoring: Scoring) -> Scored:
    """Measures one candidate with every proxy; the warm supernet of the last warm-up asked for is kept.

    Proxies that no warm-up changes are measured after the first alone.
    """
    global _instruments
    assert _settings is not None, "start_scorings has not run in this process"
    with _building:
        if _instruments is None or _instruments[0] != scoring.warmup:
            stop_scorings()
            _instruments = scoring.warmup, _warm_context(settings_of(_settings, scoring.warmup))
        context = _instruments[1]
    inputs = ProxyInputs(context, scoring.arch)
    first = scoring.warmup == _settings.warmups[0]
    proxies = {name: proxy for name, proxy in find_proxies(_settings).items() if first or proxy.declaration.inherits}
    found = {name: inputs.measure(proxy) for name, proxy in proxies.items()}
    values = {name: float(item.value) for name, item in found.items()}
    return Scored(scoring.arch.id, scoring.warmup, values, {name: item.seconds for name, item in found.items()})


def stop_scorings() -> None:
    """Gives the memory of this process's supernet back."""
    global _instruments
    if _instruments is not None:
        _instruments = None
        gc.collect()  # TorchRec's modules refer to one another in circles


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


def _warm_context(settings: StudySettings) -> ScoringContext:
    proxies = find_proxies(settings).values()
    warm = any(proxy.declaration.inherits for proxy in proxies)
    context = build_scoring_context(settings, Dataset(settings.data), warm)
    context.prepare(proxies)
    return context
