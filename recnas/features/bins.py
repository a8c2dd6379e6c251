"""Where the bins of a number begin, and the knots of a piecewise-linear function of it, from values and their counts.

Frequent values have a bin of their own, and the others share as quantiles do (as LightGBM bins: Ke et al. 2017).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Bins:
    """Bins of the different values of a number.

    Attributes:
        values: `[d]` float64, the different values, ascending.
        starts: `[b]` the place of the first value of each bin; the first is 0.
        alone: `[b]` whether a bin is of one value that is to be alone: no unseen number beside it gets into the bin.
    """

    values: np.ndarray
    starts: np.ndarray
    alone: np.ndarray

    @property
    def edges(self) -> np.ndarray:
        """Where all bins but the first begin, `[b - 1]` float64: the bin of x is how many edges are not above it.

        Of an unseen number the nearer of the two seen ones beside it says the bin, and halfway the greater one, unless
        one of them is alone: then it is the other.
        """
        right = self.starts[1:]
        before, after = self.values[right - 1], self.values[right]
        # Of halves, as a difference may be infinite. Rounding must not bring it down to the value before.
        middle = before / 2 + after / 2
        middle = np.where(middle > before, np.minimum(middle, after), after)
        alone_before, alone_after = self.alone[:-1], self.alone[1:]
        # No subnormal number, which a processor may be told to take for 0.
        beyond = np.where(before == 0, np.finfo(np.float64).tiny, np.nextafter(before, np.inf))
        edges = np.where(alone_before & ~alone_after, np.minimum(beyond, after), middle)
        return np.where(alone_after & ~alone_before, after, edges)

    @property
    def knots(self) -> np.ndarray:
        """Each bin's first value and the last one of all, `[b + 1]` float64, without what would be there twice."""
        return np.unique(np.append(self.values[self.starts], self.values[-1:]))


def greedy_bins(values: np.ndarray, counts: np.ndarray, most: int) -> Bins:
    """Bins of a number.

    Up to `most` different values have a bin each. Of more, those with at least a share of 1 / `most` of all rows are
    frequent (the most frequent first, while there is room for what lies between them) and have a bin each; between
    them, the other values share what is left, so that bins have about as many rows as one another.

    Args:
        values: `[d]` the different values, ascending and finite.
        counts: `[d]` rows of each.
        most: The number of bins there may be, at least 2.

    >>> greedy_bins(np.array([0.0, 1, 2, 3, 4, 5, 6]), np.array([90, 2, 2, 2, 2, 1, 1]), 3).edges.tolist()
    [2.2250738585072014e-308, 3.5]
    """
    distinct = len(values)
    values = values.astype(np.float64)
    if distinct <= most:
        # Nothing is unseen beside them, so none has to be kept from the others.
        return Bins(values, np.arange(distinct), np.zeros(distinct, dtype=bool))
    frequent = _frequent(counts, most)
    is_frequent = np.zeros(distinct, dtype=bool)
    is_frequent[frequent] = True
    # Runs of values between the frequent ones.
    begins = np.flatnonzero(~is_frequent & np.concatenate([[True], is_frequent[:-1]]))
    ends = np.flatnonzero(~is_frequent & np.concatenate([is_frequent[1:], [True]])) + 1
    sums = np.concatenate([[0], np.cumsum(counts, dtype=np.int64)])
    shares = _shared_out(most - len(frequent), sums[ends] - sums[begins], ends - begins)
    starts = [frequent, *(_cut(sums, *run) for run in zip(begins, ends, shares, strict=True))]
    places = np.sort(np.concatenate(starts))
    return Bins(values, places, is_frequent[places])


def _frequent(counts: np.ndarray, most: int) -> np.ndarray:
    """The places of frequent values, ascending: as many as leave a bin for each run of values between them."""
    order = np.argsort(-counts, kind="stable")[:most]
    order = order[counts[order] * most >= counts.sum()]
    fitting = len(order)
    # With one value fewer there is never more to have a bin.
    while fitting and fitting + _runs(np.sort(order[:fitting]), len(counts)) > most:
        fitting -= 1
    return np.sort(order[:fitting])


def _runs(places: np.ndarray, distinct: int) -> int:
    """How many runs of other values there are between some places of `distinct`."""
    around = np.concatenate([[-1], places, [distinct]])
    return int(np.count_nonzero(np.diff(around) > 1))


def _shared_out(bins: int, rows: np.ndarray, distinct: np.ndarray) -> np.ndarray:
    """How many of `bins` each run gets: one, and in turn one more the run that has the most rows a bin."""
    given = np.ones(len(rows), dtype=np.int64)
    for _ in range(bins - len(rows)):
        weight = np.where(given < distinct, rows / given, -1.0)
        place = int(np.argmax(weight))
        if weight[place] < 0:
            break
        given[place] += 1
    return given


def _cut(sums: np.ndarray, begin: int, end: int, bins: int) -> np.ndarray:
    """The places of the first values of the bins of a run, which have about as many rows as one another."""
    starts = [begin]
    for left in range(bins, 1, -1):
        start = starts[-1]
        wanted = sums[start] + (sums[end] - sums[start]) / left
        # The boundary with the rows nearest to what is wanted, and at least one value on either side.
        place = int(np.searchsorted(sums[start : end + 1], wanted)) + start
        place -= wanted - sums[place - 1] < sums[place] - wanted
        starts.append(min(max(place, start + 1), end - left + 1))
    return np.array(starts)
