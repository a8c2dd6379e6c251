"""The model by which joint ids are judged: effects of ids that add up, always judged on rows they were not fitted to.

The rows are parted into folds. For each fold there is a logistic model of the rows of all *other* folds: a sum of
effects, one for each value of each of its terms, with a ridge penalty a term (a random effect, in other words). The
rows of the fold itself only judge it, so nothing that is said to be won can be had by learning labels by heart.

Sizes: N rows, K folds, C cells (different values of a term).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from recnas.data.joint_kernels import FOLDS, apply_steps, gains, number_cells, sum_up

PENALTIES = 2.0 ** np.arange(-1, 11, dtype=np.float32)
"""Of these ridge penalties each term has the one that is best for held-out rows: 1 / variance of its effects."""
TINY = 1e-12


@dataclass(frozen=True)
class Cells:
    """A value for each row.

    Attributes:
        codes: `[N]` int32, from 0 on.
        size: All codes are below it.
    """

    codes: np.ndarray
    size: int

    def joined(self, other: Cells) -> Cells:
        """A value for each pair of values that occurs."""
        if self.size * other.size <= len(self.codes):
            return Cells(self.codes * np.int32(other.size) + other.codes, self.size * other.size)
        codes = np.empty_like(self.codes)
        return Cells(codes, number_cells(self.codes, other.codes, other.size, codes))

    @property
    def effective_size(self) -> float:
        """Of how many equally frequent values the entropy is the same."""
        counts = np.bincount(self.codes)
        shares = counts[counts > 0] / len(self.codes)
        return float(np.exp(-np.sum(shares * np.log(shares))))

    def first(self, rows: int | None) -> Cells:
        """Those of the first rows; None: of all."""
        return Cells(self.codes[:rows], self.size)


class Gain(NamedTuple):
    """What a term would win.

    Attributes:
        value: Mean log loss won on held-out rows.
        certainty: How far rows that are held out go along with the effects that others have; where there are none, this
            is by chance, and of a standard normal distribution.
    """

    value: float
    certainty: float


class _Term(NamedTuple):
    cells: Cells
    effects: np.ndarray


class FoldedModel:
    """Effects that add up, for each fold fitted without it.

    Args:
        labels: `[N]` float32, 0 and 1, of rows in random order: each in turn is in another fold.
    """

    def __init__(self, labels: np.ndarray) -> None:
        rows = len(labels)
        self._labels = labels.astype(np.float32)
        self._folds = (np.arange(rows) % FOLDS).astype(np.int8)
        self._scores = np.empty((rows, FOLDS), dtype=np.float32)
        self._missed = np.empty((rows, 2 * FOLDS), dtype=np.float32)
        self._terms: list[_Term] = []
        for fold in range(FOLDS):
            # Half a click more of either kind, so that none is certain.
            others = self._labels[self._folds != fold]
            rate = (others.sum(dtype=np.float64) + 0.5) / (len(others) + 1)
            self._scores[:, fold] = np.log(rate / (1 - rate))
            self._missed[:, 2 * fold] = self._labels - rate
            self._missed[:, 2 * fold + 1] = rate * (1 - rate)

    @property
    def loss(self) -> float:
        """Mean log loss of held-out rows."""
        held = self._scores[np.arange(len(self._labels)), self._folds].astype(np.float64)
        return float(np.mean(np.logaddexp(0, held) - self._labels * held))

    def gain(self, cells: Cells) -> Gain:
        """What a further term would win, by one Newton step from the present model.

        Args:
            cells: Its values, of the first rows or of all.
        """
        sums = self._sums(cells)
        effects = np.zeros((cells.size, FOLDS), dtype=np.float32)
        won, variance = _gains(sums, effects)
        best = int(np.argmax(won))
        rows = len(cells.codes)
        # What is won is slope · step - curve · step² / 2, and of the first part alone the mean is 0 by chance. Two
        # folds that judge each other's effects see the same chance twice.
        agreement = won[best] + variance[best] / 2
        return Gain(float(won[best]) / rows, float(agreement / max(np.sqrt(2 * variance[best]), TINY)))

    def add(self, cells: Cells) -> None:
        """A further term, without effects so far."""
        self._terms.append(_Term(cells, np.zeros((cells.size, FOLDS), dtype=np.float32)))

    def fit(self, rounds: int, least: float) -> None:
        """Fits the effects of all terms in turn, the last one first.

        Args:
            rounds: How many times at most.
            least: Mean log loss that a round wins on held-out rows, or it was the last.
        """
        for _ in range(rounds):
            won = sum(self._fit(term) for term in reversed(self._terms))
            if won < least:
                break

    def _fit(self, term: _Term) -> float:
        sums = self._sums(term.cells)
        won, _ = _gains(sums, term.effects)
        best = int(np.argmax(won))
        if won[best] <= 0:
            return 0.0
        codes = term.cells.codes
        apply_steps(sums, PENALTIES[best], term.effects, codes, self._labels, self._scores, self._missed)
        return float(won[best]) / len(codes)

    def _sums(self, cells: Cells) -> np.ndarray:
        sums = np.zeros((cells.size, FOLDS, 2 * FOLDS), dtype=np.float32)
        sum_up(cells.codes, self._folds, self._missed, sums)
        return sums


def _gains(sums: np.ndarray, effects: np.ndarray) -> np.ndarray:
    """`[2, L]`: see `recnas.data.joint_kernels.gains`."""
    found = np.zeros((2, len(PENALTIES)))
    gains(sums, effects, PENALTIES, found)
    return found
