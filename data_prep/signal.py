"""Whether the order of whole numbers tells clicks, as an age's or a price's does, or only each number for itself.

Sizes: N rows, d different numbers.
"""

from typing import NamedTuple

import numpy as np

_WINDOWS = (1, 2, 4, 8, 16, 32, 64)
_PRIORS = (5.0, 20.0, 100.0)
_PRIOR = 20.0
# Gains of so many standard errors are none of chance; the best of several is taken.
_SIGNIFICANT = 3.5
# An order that tells less than this of what the numbers themselves add to it is no quantity's: ids often are in the
# order of their first rows, or of how popular they are.
_SHARE = 0.7


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

    A number's click rate is foretold three times, never from the row itself: from the rates of its neighbours in order,
    without its own rows; from its own other rows; and from these where they are many, else from the neighbours. Rates
    are smoothed towards the mean; of several widths and strengths of smoothing the best counts.

    Args:
        numbers: `[N]`, none missing.
        labels: `[N]`, 0 or 1.

    Returns:
        "quantities": the neighbours tell clicks, and a number's own rows add little to it.
        "ids": a number's own rows tell clicks, and the neighbours little of it.
        None: nothing tells anything that could not be chance.
    """
    places = np.unique(numbers, return_inverse=True)[1].ravel()
    rows = np.bincount(places).astype(np.float64)
    clicks = np.bincount(places, weights=labels)
    rate = clicks.sum() / rows.sum() if len(numbers) else 0.0
    if not 0 < rate < 1 or len(rows) < 3:
        return None
    rates = np.full(len(rows), rate)
    foretold = max(
        (_around(rows, clicks, rate, window) for window in _WINDOWS),
        key=lambda rates: _by_order(rates, rows, clicks).total,
    )
    by_order = _by_order(foretold, rows, clicks)
    by_itself = max((_by_other_rows(rows, clicks, rates, prior) for prior in _PRIORS), key=_total)
    by_both = max((_by_other_rows(rows, clicks, foretold, prior) for prior in _PRIORS), key=_total)
    if by_order.errors > _SIGNIFICANT and by_order.total >= _SHARE * max(by_itself.total, by_both.total):
        return "quantities"
    return "ids" if max(by_itself.errors, by_both.errors) > _SIGNIFICANT else None


def _total(gain: _Gain) -> float:
    return gain.total


def _around(rows: np.ndarray, clicks: np.ndarray, rate: float, window: int) -> np.ndarray:
    """`[d]` click rates of as many numbers on both sides."""

    def around(values: np.ndarray) -> np.ndarray:
        sums = np.concatenate([np.zeros(1), np.cumsum(values)])
        places = np.arange(len(values))
        first, last = np.maximum(places - window, 0), np.minimum(places + window + 1, len(values))
        return sums[last] - sums[first] - values

    return (around(clicks) + _PRIOR * rate) / (around(rows) + _PRIOR)


def _by_order(foretold: np.ndarray, rows: np.ndarray, clicks: np.ndarray) -> _Gain:
    return _gain(_loss(foretold, rows, clicks), rows, clicks)


def _by_other_rows(rows: np.ndarray, clicks: np.ndarray, rates: np.ndarray, prior: float) -> _Gain:
    """Foretold from the number's other rows, one click less for a click, smoothed towards rates `[d]`."""
    others = np.maximum(rows - 1, 0) + prior
    of_click = (np.maximum(clicks - 1, 0) + prior * rates) / others
    of_none = (np.minimum(clicks, np.maximum(rows - 1, 0)) + prior * rates) / others
    return _gain(-clicks * np.log(of_click) - (rows - clicks) * np.log1p(-of_none), rows, clicks)


def _loss(foretold: np.ndarray, rows: np.ndarray, clicks: np.ndarray) -> np.ndarray:
    return -clicks * np.log(foretold) - (rows - clicks) * np.log1p(-foretold)


def _gain(loss: np.ndarray, rows: np.ndarray, clicks: np.ndarray) -> _Gain:
    gains = _loss(np.full(len(rows), clicks.sum() / rows.sum()), rows, clicks) - loss
    total = float(gains.sum())
    return _Gain(total, total / max(float(np.sqrt((gains**2).sum())), 1e-12))
