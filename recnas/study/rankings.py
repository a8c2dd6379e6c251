"""What a ranking says of a study's candidates: a proxy, a sum of them as it is or standardised, or a fitted ranker."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from recnas.proxies.declaration import Declaration
from recnas.proxies.expression import Expression, normal_scores

STANDARDISED = "standardised "
"""What the name of a sum begins with whose terms are standardised over the candidates before they are added."""
FITTED = "fitted"
"""The name of the ranker that is fitted on all proxies of a warm-up."""
FOLDS = 5
PENALTIES = (1.0, 10.0, 100.0, 1000.0)

Array = np.ndarray


def scores(
    name: str, warmup: str, candidates: Sequence[Mapping[str, Any]], declarations: Mapping[str, Declaration]
) -> list[float]:
    """What a ranking says of each candidate, higher is better; NaN or -inf where it says nothing.

    Args:
        name: Of a proxy or a sum of proxies, as in `Expression.parse`; one of them after `standardised`; or `fitted`.
        warmup: The amount after which the proxies were measured, as a key of `values`.
        candidates: Rows with `values`, by warm-up and proxy, where None is no finite number, and `loss`.
        declarations: Of the proxies.
    """
    if name == FITTED:
        return fitted(warmup, candidates, declarations).tolist()
    expression = Expression.parse(name.removeprefix(STANDARDISED), float(warmup)).directed(declarations)
    values = [{term: _number(row["values"][warmup][term]) for term in expression.terms} for row in candidates]
    if name.startswith(STANDARDISED):
        return expression.standardised_scores(values)
    return [expression.score(item) for item in values]


def values_of(proxy: str, warmup: str, candidates: Sequence[Mapping[str, Any]]) -> Array:
    """A proxy's values, NaN where there is none."""
    return np.array([_number(row["values"][warmup][proxy]) for row in candidates])


def fitted(warmup: str, candidates: Sequence[Mapping[str, Any]], declarations: Mapping[str, Declaration]) -> Array:
    """What a ridge regression on all proxies, fitted to the losses of four fifths of the candidates, says of the rest.

    Each fifth is left out once, so that no candidate is judged by a ranker that knows its loss. Inputs are the proxies'
    normal scores, targets those of the known losses: both have mean 0, and there is no intercept, which would tell what
    fold a candidate is in. The penalty is the one of `PENALTIES` with the least leave-one-out error.
    """
    from sklearn.linear_model import RidgeCV
    from sklearn.model_selection import KFold

    names = list(candidates[0]["values"][warmup])
    inputs = np.column_stack(
        [normal_scores(declarations[name].sign * values_of(name, warmup, candidates)) for name in names]
    )
    losses = np.array([row["loss"] for row in candidates])
    found = np.zeros(len(candidates))
    folds = KFold(min(FOLDS, len(candidates)), shuffle=True, random_state=0)
    for known, left in folds.split(inputs):
        ranker = RidgeCV(PENALTIES, fit_intercept=False).fit(inputs[known], normal_scores(-losses[known]))
        found[left] = ranker.predict(inputs[left])
    return found


def declarations_in(results: Mapping[str, Any]) -> dict[str, Declaration]:
    """What the proxies declared that a study measured, by its results; imports none of the user's own."""
    if "proxies" in results:
        return {name: Declaration(**declared) for name, declared in results["proxies"].items()}
    # An older study: only recnas's own declared something.
    from recnas.proxies.registry import PROXIES

    names = {name for values in results["candidates"][0]["values"].values() for name in values}
    return {name: PROXIES[name].declaration if name in PROXIES else Declaration() for name in names}


def _number(value: float | None) -> float:
    return math.nan if value is None else value
