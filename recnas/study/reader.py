"""A study that has ended, read from its folder into one typed value. Needs no torch."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from recnas.proxies.declaration import Declaration
from recnas.proxies.expression import Expression
from recnas.runs.folder import RESULTS
from recnas.study.analysis import LEAST_TOLD, TOP
from recnas.study.rankings import FITTED, STANDARDISED, declarations_in, scores
from recnas.study.text import interval, ordered, warmup_in_words
from recnas.util import study_forms
from recnas.util.errors import InputError, suggested
from recnas.util.files import ANEW, read_json

SHORT_TRAINING = "training "
"""What the names of rankings by a part of a training begin with."""


@dataclass(frozen=True)
class Ranking:
    """One ranking and how it agrees with the truth; a figure that is not finite is None.

    Attributes:
        name: Of the proxy, the expression, or `training` with its share.
        warmup: The amount of warm-up; None where it does not matter.
        tau: Kendall's.
        tau_low: Its interval's lower bound.
        tau_high: The upper one.
        rho: Spearman's.
        regret: For each of `TOP`.
        ranked: Candidates with a finite score.
        seconds: A candidate.
        of: Candidates of the study.
    """

    name: str
    warmup: float | None
    tau: float | None
    tau_low: float | None
    tau_high: float | None
    rho: float | None
    regret: tuple[float | None, ...]
    ranked: int
    seconds: float
    of: int

    @property
    def is_training(self) -> bool:
        """Whether candidates are ranked by a part of their training."""
        return self.name.startswith(SHORT_TRAINING)

    @property
    def label(self) -> str:
        """Its name in a sentence."""
        if self.is_training:
            return f"{100 * float(self.name.removeprefix(SHORT_TRAINING)):g} % of the training"
        return self.name if self.warmup is None else f"{self.name} with {warmup_in_words(self.warmup)}"

    @property
    def interval(self) -> str:
        """Of τ."""
        return interval({"low": self.tau_low, "high": self.tau_high})

    @property
    def verdict(self) -> str:
        """Which side of 0 the interval of τ is on: `agrees`, `opposes`, or `open` when it is on both.

        Of too few architectures it is `few`.
        """
        if self.of < LEAST_TOLD:
            return "few"
        if self.tau_low is None or self.tau_high is None or self.tau_low <= 0 <= self.tau_high:
            return "open"
        return "agrees" if self.tau_low > 0 else "opposes"


@dataclass(frozen=True)
class Study:
    """What a study found.

    Attributes:
        path: Its folder.
        changed: When it ended.
        results: What `results.json` holds.
        rankings: Highest τ first.
    """

    path: Path
    changed: datetime
    results: Mapping[str, Any]
    rankings: tuple[Ranking, ...]

    @property
    def candidates(self) -> Sequence[Mapping[str, Any]]:
        """Those that were trained without diverging."""
        return self.results["candidates"]

    @property
    def losses(self) -> list[float]:
        """Their mean test log losses: the truth."""
        return [row["loss"] for row in self.candidates]

    @cached_property
    def warmups(self) -> list[float]:
        """The amounts, smallest first."""
        return sorted({item.warmup for item in self.rankings if item.warmup is not None})

    @cached_property
    def declarations(self) -> dict[str, Declaration]:
        """What its proxies declared."""
        return declarations_in(self.results)

    @property
    def proxies(self) -> list[Ranking]:
        """Rankings without any training from scratch, highest τ first."""
        return [item for item in self.rankings if not item.is_training]

    def scores(self, ranking: Ranking) -> list[float]:
        """What a proxy or an expression says of each candidate, higher is better; -inf where it says nothing."""
        key = next(iter(self.candidates[0]["values"])) if ranking.warmup is None else f"{ranking.warmup:g}"
        found = scores(ranking.name, key, self.candidates, self.declarations)
        return [value if math.isfinite(value) else -math.inf for value in found]


def read_study(path: Path | str) -> Study:
    """Reads a study that has ended.

    Raises:
        InputError: It has not, or its results are damaged.
    """
    path = Path(path).resolve()
    file = path / RESULTS
    if not file.exists():
        raise InputError(
            f"{path}: this study has not ended, so there is no report yet; "
            f"`{suggested('recnas', 'status', path)}` shows how far it is"
        )
    results = read_json(file, form=study_forms.Study)
    try:
        _check_whole(results)
    except (ValueError, InputError) as error:
        raise InputError(f"{file}: {error}; {ANEW}") from None
    of = len(results["candidates"])
    rankings = tuple(_ranking(row, of) for row in ordered(results["agreement"]))
    return Study(path, datetime.fromtimestamp(file.stat().st_mtime).astimezone(), results, rankings)


def _check_whole(results: Mapping[str, Any]) -> None:
    """Raises ValueError or InputError where the parts of a study's results do not fit each other."""
    first = results["candidates"][0]
    measured = {warmup: set(values) for warmup, values in first["values"].items()}
    names = set().union(*measured.values())
    if missing := names - set(results.get("proxies", names)):
        raise ValueError(f"proxies: nothing is said of {min(missing)}")
    for place, row in enumerate(results["candidates"]):
        if {warmup: set(values) for warmup, values in row["values"].items()} != measured:
            raise ValueError(f"candidates[{place}].values: other warm-ups or proxies than the first candidate's")
        if len(row["test"]) != len(first["test"]):
            raise ValueError(f"candidates[{place}].test: {len(row['test'])} figures where {len(first['test'])} belong")
    for place, row in enumerate(results["agreement"]):
        name, where = row["ranking"], f"agreement[{place}]"
        if name.startswith(SHORT_TRAINING):
            if not 0 < float(name.removeprefix(SHORT_TRAINING)) < 1:
                raise ValueError(f"{where}.ranking: {name!r} is no share of a training")
            continue
        warmup = next(iter(measured)) if row["warmup"] is None else f"{row['warmup']:g}"
        if warmup not in measured:
            raise ValueError(f"{where}.warmup: no candidate was measured after {warmup}")
        terms = () if name == FITTED else Expression.parse(name.removeprefix(STANDARDISED), float(warmup)).terms
        if missing := [term for term in terms if term not in measured[warmup]]:
            raise ValueError(f"{where}.ranking: no candidate has values of {missing[0]}")


def _ranking(row: Mapping[str, Any], of: int) -> Ranking:
    return Ranking(
        name=row["ranking"],
        warmup=row["warmup"],
        tau=row["tau"],
        tau_low=row["tau_low"],
        tau_high=row["tau_high"],
        rho=row["rho"],
        regret=tuple(row[f"regret_{top}"] for top in TOP),
        ranked=row["ranked"],
        seconds=row["seconds"],
        of=of,
    )
