"""Ensemble selection: which of many trained models predict best together, by their predictions alone. Needs no torch.

Greedy forward selection with replacement (Caruana et al. 2004, "Ensemble Selection from Libraries of Models"): the
ensemble begins with the best model, and again and again the model is added with which the mean of the predicted
probabilities has the lowest log loss. How often a model was added is its weight.

What is selected by some rows fits those rows. So the number of additions is found by cross-validation: ensembles are
selected on four fifths of the rows and measured on the fifth that they have not seen. Where the best of them is not
clearly better there than the best model alone, that one stays alone. Which model is best is known by all rows, so what
is said of it flatters it a little (`recnas.search.comparing` says how much), and what is said of an ensemble beside it
is careful.

Sizes: M models, N rows.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass

import numpy as np

from recnas.search.comparing import row_losses

FOLDS = 5
"""Parts of the rows, each of which is held out once."""
STEPS = 25
"""Additions, at most: the finest weights are a part of so many."""
CLEARLY = 0.35
"""How many standard errors better than the best model alone an ensemble must be on rows held out.

With none, models that know nothing become members where rows are few; with a whole one, most of what ensembles win on
3,000 rows is forgone.
"""
CHUNK = 2048
"""Rows that all models are looked at together: small enough to stay in a core's cache."""
FACTORS = 8
"""Probabilities that are multiplied before a logarithm is taken of them, at least."""
LEAST = 1e-15
"""A probability that counts as no smaller: products of `2 * FACTORS` of them are still numbers."""

Admits = Callable[[Collection[int]], bool]
"""Whether an ensemble may have these members, by their places among the models."""


@dataclass(frozen=True)
class Selection:
    """An ensemble of some models.

    Attributes:
        weights: By the place of each member, the largest first; their sum is 1. One member alone has the weight 1.
        held_out: Mean log loss of rows by ensembles whose further members were selected without them, in the same way.
        single: That of the best model alone on the same rows.
        error: Standard error of the difference of the two.
    """

    weights: dict[int, float]
    held_out: float
    single: float
    error: float


def select(
    logits: np.ndarray, labels: np.ndarray, *, most: int, seed: int, admits: Admits = lambda members: True
) -> Selection:
    """Selects an ensemble. The same arguments give the same one.

    Args:
        logits: What each model predicts of each row, `[M, N]`.
        labels: `[N]`, 0 or 1.
        most: Members at most, 1 or more.
        seed: Of the parts that the rows are divided in.
        admits: Says which members cost too much together. A model alone may always stand for itself.

    Raises:
        ValueError: There are no models or no rows.
    """
    if not logits.size:
        raise ValueError("no predictions were given")
    told = _of_labels(logits, labels)
    best = int(_log_likelihoods(told, np.arange(len(told)), np.zeros(told.shape[1])).argmax())
    folds = np.random.default_rng(seed).permutation(told.shape[1]) % FOLDS
    losses = np.empty((STEPS, told.shape[1]))
    for fold in np.unique(folds):
        out = folds == fold
        # Of very few rows all are in this part.
        path = _greedy(told if out.all() else told[:, ~out], best, most, admits)
        losses[:, out] = _row_losses(told[:, out], path)
    held_out = losses.mean(axis=1)
    last = int(held_out.argmin())
    gains = losses[0] - losses[last]
    error = float(gains.std() / np.sqrt(len(gains)))
    if gains.mean() <= CLEARLY * error:
        last, error = 0, 0.0
    path = _greedy(told, best, most, admits)
    # Of the additions up to there as many as fit best; the first one alone is the best model.
    fitting = int(_row_losses(told, path[: last + 1]).mean(axis=1).argmin())
    return Selection(_weights(path[: fitting + 1]), float(held_out[last]), float(held_out[0]), error)


class Mixture:
    """The weighted mean of what models predict, as probabilities; exact however close to 0 or 1 these are."""

    def __init__(self) -> None:
        # Logarithms of the mean probabilities of either label.
        self._of_clicks: np.ndarray | float = -np.inf
        self._of_others: np.ndarray | float = -np.inf

    def add(self, weight: float, logits: np.ndarray) -> None:
        """Adds a model's logits `[N]`; the weights of all are to have the sum 1."""
        exact = logits.astype(np.float64)
        self._of_clicks = np.logaddexp(self._of_clicks, np.log(weight) - np.logaddexp(0, -exact))
        self._of_others = np.logaddexp(self._of_others, np.log(weight) - np.logaddexp(0, exact))

    @property
    def logits(self) -> np.ndarray:
        """Those of the mean, `[N]` float64."""
        return self._of_clicks - self._of_others


def _of_labels(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The probabilities that models give to the labels, `[M, N]` float32."""
    told = np.empty(logits.shape, dtype=np.float32)
    for row, of_model in zip(told, logits, strict=True):
        row[:] = np.exp(-row_losses(of_model, labels)).clip(LEAST)
    return told


def _greedy(told: np.ndarray, first: int, most: int, admits: Admits) -> list[int]:
    """The places of `STEPS` additions, one after the other, from a first one on; of equally good ones the first."""
    path = [first]
    total = told[first].astype(np.float64)
    allowed = _allowed(len(told), {first}, most, admits)
    for _ in range(STEPS - 1):
        added = int(allowed[_log_likelihoods(told, allowed, total).argmax()])
        total += told[added]
        if added not in path:
            allowed = _allowed(len(told), {*path, added}, most, admits)
        path.append(added)
    return path


def _allowed(models: int, members: Collection[int], most: int, admits: Admits) -> np.ndarray:
    """The places of those models that may be added to an ensemble: its members again, and what it can afford."""
    others = [place for place in range(models) if place not in members and len(members) < most]
    return np.array(sorted([*members, *(place for place in others if admits({*members, place}))]))


def _log_likelihoods(told: np.ndarray, models: np.ndarray, total: np.ndarray) -> np.ndarray:
    """How well each of some models, added to an ensemble, would fit the rows, but for a constant; `[len(models)]`."""
    fits = np.zeros(len(models))
    for start in range(0, told.shape[1], CHUNK):
        rows = slice(start, start + CHUNK)
        fits += _log_sums(told[models, rows] + total[rows])
    return fits


def _log_sums(values: np.ndarray) -> np.ndarray:
    """Sums of logarithms along rows, as logarithms of products: a product costs less."""
    least = max(1, values.shape[1] // FACTORS)
    while (width := values.shape[1]) // 2 >= least and width > 1:
        half = width // 2
        products = values[:, :half] * values[:, half : 2 * half]
        values = np.concatenate([products, values[:, 2 * half :]], axis=1) if width % 2 else products
    return np.log(values).sum(axis=1)


def _row_losses(told: np.ndarray, path: list[int]) -> np.ndarray:
    """Each row's loss after each addition, `[len(path), N]`."""
    counts = np.arange(1, len(path) + 1)[:, None]
    return -np.log(np.cumsum(told[path], axis=0, dtype=np.float64) / counts)


def _weights(path: list[int]) -> dict[int, float]:
    counts = {place: path.count(place) for place in path}
    return {place: count / len(path) for place, count in sorted(counts.items(), key=lambda item: (-item[1], item[0]))}
