"""Which choices decided what candidates came to: a forest's permutation importances over a run's history."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from recnas.report.joint_search import last_of
from recnas.runs.reader import Candidate

LEAST = 20
"""Candidates that were trained to the end, of which something can be told."""
TREES, REPEATS = 200, 10
SHOWN = 10
"""Choices at most."""
LEAST_SHARE = 0.01
KIND = "network.name"
_LAST_WORDS = {
    KIND: "network",
    "inputs.crosses": "number of joint ids",
    "inputs.dropped": "number of features left out",
    "inputs.numbers": "how numbers are fed",
}
_COUNTED = ("crosses", "dropped")
"""Inputs of which there are none or several, which are told by their number."""


@dataclass(frozen=True)
class Importance:
    """What a choice was worth.

    Attributes:
        choice: In words.
        share: Of what all choices explain, from 0 to 1.
        best: What the best candidate has there.
    """

    choice: str
    share: float
    best: str


@dataclass(frozen=True)
class Importances:
    """What decided.

    Attributes:
        candidates: Those that it was told from.
        explained: R² of the forest on candidates that its trees have not seen.
        choices: The most important first.
    """

    candidates: int
    explained: float
    choices: tuple[Importance, ...]


def what_mattered(history: Sequence[Candidate]) -> Importances | None:
    """Fits a forest to the log losses of all candidates that were trained to the end; a choice is worth what it loses
    when the choice's values are shuffled (Breiman 2001).

    Losses far from the best are all alike here. None where too few were trained, or nothing explains what they came to.
    """
    ended = [item for item in last_of(history) if item.ended and item.score is not None and item.whole]
    if len(ended) < LEAST:
        return None
    told = [_choices(item.whole) for item in ended]
    names = dict.fromkeys(name for one in told for name in one)
    names = [name for name in names if len({str(one.get(name)) for one in told}) > 1]
    losses = np.array([-item.score for item in ended])
    losses = np.minimum(losses, np.quantile(losses, 0.75))
    if not names or np.ptp(losses) == 0:
        return None
    # Loaded here: they take seconds, and other reports never need them.
    from sklearn.ensemble import RandomForestRegressor
    from sklearn.inspection import permutation_importance

    numbers = np.column_stack([_numbers([one.get(name) for one in told]) for name in names])
    forest = RandomForestRegressor(TREES, max_features=0.5, random_state=0, oob_score=True, n_jobs=1)
    forest.fit(numbers, losses)
    if forest.oob_score_ <= 0:
        return None
    worth = permutation_importance(forest, numbers, losses, n_repeats=REPEATS, random_state=0).importances_mean.clip(0)
    if not worth.sum():
        return None
    shares = worth / worth.sum()
    best = told[int(np.argmin([-item.score for item in ended]))]
    order = [place for place in np.argsort(-shares, kind="stable")[:SHOWN] if shares[place] >= LEAST_SHARE]
    return Importances(
        len(ended),
        float(forest.oob_score_),
        tuple(Importance(_in_words(names[place]), float(shares[place]), _shown(best, names[place])) for place in order),
    )


def _choices(whole: Mapping[str, Any]) -> dict[str, Any]:
    """A candidate's values by their dotted places; what is as by default is left out there."""
    network, recipe, inputs = whole.get("network", {}), whole.get("recipe") or {}, whole.get("inputs", {})
    found = {KIND: network.get("name", "searched")}
    found |= {f"network.{name}": value for name, value in network.get("choices", {}).items()}
    found |= {f"recipe.{name}": value for name, value in recipe.items() if name not in ("optimization", "seed")}
    found |= {f"recipe.{name}": value for name, value in recipe.get("optimization", {}).items()}
    found |= {f"inputs.{name}": value for name, value in inputs.items()}
    return found | {f"inputs.{name}": len(inputs.get(name, ())) for name in _COUNTED}


def _numbers(values: Sequence[Any]) -> np.ndarray:
    """Values as numbers that a tree can divide; -1 where there is none, words in the order of how often they are."""
    if all(value is None or (isinstance(value, int | float) and not isinstance(value, bool)) for value in values):
        return np.array([-1.0 if value is None else float(value) for value in values])
    texts = [str(value) for value in values]
    order = sorted(set(texts), key=lambda text: (-texts.count(text), text))
    return np.array([float(order.index(text)) for text in texts])


def _in_words(name: str) -> str:
    group, _, last = name.partition(".")
    words = _LAST_WORDS.get(name, last.replace("_", " "))
    return f"{words} (of its family)" if group == "network" and name != KIND else words


def _shown(choices: Mapping[str, Any], name: str) -> str:
    value = choices.get(name)
    if value is None:
        return "as usual" if not name.startswith("network.") else "–"
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value)) if name.startswith("inputs.") else "-".join(map(str, value))
    return f"{value:g}" if isinstance(value, float) else str(value)
