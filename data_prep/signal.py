"""Whether the order of whole numbers tells clicks, as an age's or a price's does, or only each number for itself.

Sizes: N rows, d different numbers.
"""

from typing import NamedTuple

import numpy as np

_WINDOWS = (1, 2, 4, 8, 16, 32, 64)
_PRIORS = (5.0, 20.0, 100.0)
# Gains of so many standard errors are none of chance; the best of several is taken.
_SIGNIFICANT = 3.5
# An order that tells less than this of what the numbers themselves tell is none: ids in the order of their first rows.
_SHARE = 0.5


class _Gain(NamedTuple):
    """Log loss below the constant's.

    Args:
        total: over all rows.
        errors: how many standard errors that is, of numbers, not of rows.
    """

    total: float
    errors: float


def told_by_clicks(numbers: np.ndarray, labels: np.ndarray) -> str | None:
    """What a sample's clicks say of whole numbers.

    A number's click rate is foretold twice, never from the row itself: from the rates of its neighbours in order,
    without its own rows, and from its own other rows. Rates are smoothed towards the mean; of several widths and
    strengths of smoothing the best counts.

    Args:
        numbers: `[N]`, none missing.
        labels: `[N]`, 0 or 1.

    Returns:
        "quantities": the neighbours tell clicks, and at least half as well as the number itself.
        "ids": the number itself tells clicks, the neighbours less than half of it.
        None: neither tells anything that could not be chance.
    """
    places = np.unique(numbers, return_inverse=True)[1].ravel()
    rows = np.bincount(places).astype(np.float64)
    clicks = np.bincount(places, weights=labels)
    rate = clicks.sum() / rows.sum() if len(numbers) else 0.0
    if not 0 < rate < 1 or len(rows) < 3:
        return None
    by_order = max((_by_neighbours(rows, clicks, rate, window) for window in _WINDOWS), key=_total)
    by_itself = max((_by_other_rows(rows, clicks, rate, prior) for prior in _PRIORS), key=_total)
    ordered = by_order.errors > _SIGNIFICANT
    if ordered and by_order.total >= _SHARE * by_itself.total:
        return "quantities"
    return "ids" if by_itself.errors > _SIGNIFICANT else None


def _total(gain: _Gain) -> float:
    return gain.total


def _by_neighbours(rows: np.ndarray, clicks: np.ndarray, rate: float, window: int) -> _Gain:
    """Foretold from as many numbers on both sides."""

    def around(values: np.ndarray) -> np.ndarray:
        sums = np.concatenate([np.zeros(1), np.cumsum(values)])
        places = np.arange(len(values))
        first, last = np.maximum(places - window, 0), np.minimum(places + window + 1, len(values))
        return sums[last] - sums[first] - values

    prior = _PRIORS[1]
    foretold = (around(clicks) + prior * rate) / (around(rows) + prior)
    return _gain(_loss(foretold, clicks, rows - clicks), rows, clicks, rate)


def _by_other_rows(rows: np.ndarray, clicks: np.ndarray, rate: float, prior: float) -> _Gain:
    """Foretold from the number's other rows: one click less for a click, none less for another row."""
    others = np.maximum(rows - 1, 0) + prior
    of_click = (np.maximum(clicks - 1, 0) + prior * rate) / others
    of_none = (clicks + prior * rate) / others
    # Without the other rows a number's only row would be foretold by itself.
    of_none = np.where(clicks < rows, of_none, rate)
    loss = -clicks * np.log(of_click) - (rows - clicks) * np.log1p(-of_none)
    return _gain(loss, rows, clicks, rate)


def _loss(foretold: np.ndarray, clicks: np.ndarray, others: np.ndarray) -> np.ndarray:
    return -clicks * np.log(foretold) - others * np.log1p(-foretold)


def _gain(loss: np.ndarray, rows: np.ndarray, clicks: np.ndarray, rate: float) -> _Gain:
    gains = _loss(np.full(len(rows), rate), clicks, rows - clicks) - loss
    total = float(gains.sum())
    return _Gain(total, total / max(float(np.sqrt((gains**2).sum())), 1e-12))
