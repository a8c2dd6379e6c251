"""Logits by LightGBM's trees, many rows at a time: at each node the rows that reach it are parted into two.

LightGBM takes each row through all trees, and at every node waits for memory: for the node, the row's value, and a set
of categories that may be 4 kB. Here a node is read once for thousands of rows, which lie side by side.

Sizes: B rows, C columns that are split, T trees, N nodes of all trees.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from recnas.data.kernels import BinLookup
from recnas.nn.compiled import Array, in_threads
from recnas.trees.lightgbm_text import MISSING_IS_ZERO, WORD, ZERO_IS_MISSING
from recnas.trees.module import ALMOST_ZERO
from recnas.trees.splits import CategoryCodes, NumberCodes, Splits
from recnas.util.compiled import compiled

TOGETHER = 1 << 13
"""Rows that go through the trees together: their codes and a tree's sets are to fit into a core's cache."""
LEAST_ROWS = 1 << 10
"""Rows of a thread: of fewer, to visit all nodes takes as long as to part the rows."""
_LEAF = -1


@dataclass(frozen=True)
class _Numbers:
    """What gives the codes of a column of numbers."""

    of: NumberCodes
    lookup: BinLookup

    def __call__(self, numbers: Array) -> Array:
        missing = np.isnan(numbers)
        numbers = np.where(missing | (np.abs(numbers) <= ALMOST_ZERO), np.float32(0), numbers)
        codes = self.lookup(numbers.astype(np.float64))
        if self.of.missing == MISSING_IS_ZERO:
            return codes
        if self.of.missing == ZERO_IS_MISSING:
            missing |= numbers == 0
        return np.where(missing, len(self.of.thresholds) + 1, codes)


@dataclass(frozen=True)
class _Categories:
    """What gives the codes of a column of categories: by category a code, the last one for all others."""

    of: CategoryCodes
    codes: Array

    def __call__(self, categories: Array) -> Array:
        return self.codes.take(categories.astype(np.int64), mode="clip")


class PartedRows:
    """Adds up the leaves that rows come to, in the order of the trees, as LightGBM does: to the last bit its logits.

    Args:
        splits: The trees; the rows of their `CategoryCodes` are the categories that a matrix holds.

    Attributes:
        leaves: How many all trees have together.
    """

    def __init__(self, splits: Splits) -> None:
        self._numbers = [_Numbers(item, _below(item.thresholds)) for item in splits.numbers]
        self._categories = [_Categories(item, _codes_of(item.rows)) for item in splits.categories]
        # Their nodes are numbered level by level, trees side by side.
        roots = np.sort(splits.roots)
        order = np.argsort(_trees(splits, roots), kind="stable")
        places = np.empty_like(order)
        places[order] = np.arange(len(order))
        first = places[splits.first[order]]
        is_leaf = first == np.arange(len(first))
        column = np.where(is_leaf, _LEAF, splits.column[order])
        self.leaves = int(is_leaf.sum())
        self._nodes = np.stack((column, splits.start[order], first), axis=1).astype(np.int32)
        self._values, self._words = splits.values[order], splits.words.view(np.uint32)
        self._bounds = np.append(places[roots], len(first)).astype(np.int32)

    def logits(self, matrix: Array, threads: int) -> Array:
        """Logits `[B]` float64 of the rows of a matrix; see `Ensemble.logits`."""
        sums = np.zeros(len(matrix))

        def add(start: int, stop: int) -> None:
            for first in range(start, stop, TOGETHER):
                last = min(stop, first + TOGETHER)
                codes = self._codes(matrix[first:last])
                _add_leaves(codes, self._nodes, self._values, self._words, self._bounds, sums[first:last])

        threads = max(1, min(threads, len(matrix) // LEAST_ROWS))
        in_threads(add, [len(matrix) * thread // threads for thread in range(threads + 1)])
        return sums

    def _codes(self, matrix: Array) -> Array:
        """What the trees know of rows, `[C, B]` int32."""
        found = np.empty((len(self._numbers) + len(self._categories), len(matrix)), dtype=np.int32)
        for codes, column in zip(found, (*self._numbers, *self._categories), strict=True):
            codes[:] = column(matrix[:, column.of.place])
        return found


def _below(thresholds: Array) -> BinLookup:
    """Counts the thresholds that are below a number."""
    return BinLookup(np.nextafter(thresholds, np.float32(np.inf)).astype(np.float64))


def _codes_of(rows: Array) -> Array:
    """By category its place among some, and behind the largest of them that of all others."""
    codes = np.full(int(rows[-1]) + 2, len(rows), dtype=np.int32)
    named = rows >= 0
    codes[rows[named]] = np.flatnonzero(named)
    return codes


def _trees(splits: Splits, roots: Array) -> Array:
    """The tree of each node, `[N]`."""
    trees = np.empty(len(splits.first), dtype=np.int64)
    trees[roots], level = np.arange(len(roots)), roots
    while len(level):
        inner = level[splits.first[level] != level]
        level = np.concatenate((splits.first[inner], splits.first[inner] + 1))
        trees[level] = np.tile(trees[inner], 2)
    return trees


@compiled
def _add_leaves(codes: Array, nodes: Array, values: Array, words: Array, bounds: Array, sums: Array) -> None:
    """Adds to each row's sum the leaves that it comes to.

    Args:
        codes: `[C, B]` int32.
        nodes: Of each its column or `_LEAF`, where its set begins, its left child, `[N, 3]` int32; parents first.
        values: Those of leaves, `[N]`.
        words: The sets.
        bounds: The root of each tree, and the end of the last one, `[T + 1]`.
        sums: `[B]`, added to.
    """
    count = len(sums)
    rows, right = np.empty(count, np.int32), np.empty(count, np.int32)
    first, last = np.empty(len(nodes), np.int32), np.empty(len(nodes), np.int32)
    for tree in range(len(bounds) - 1):
        root = bounds[tree]
        first[root], last[root] = 0, count
        for place in range(count):
            rows[place] = place
        for node in range(root, bounds[tree + 1]):
            low, high = first[node], last[node]
            column, start, child = nodes[node]
            if column == _LEAF:
                for place in range(low, high):
                    sums[rows[place]] += values[node]
                continue
            # Without a branch: what goes left stays, what goes right is set aside.
            middle, aside = low, 0
            for place in range(low, high):
                row = rows[place]
                code = codes[column, row]
                goes_left = np.int32((words[start + code // WORD] >> np.uint32(code % WORD)) & np.uint32(1))
                rows[middle] = row
                right[aside] = row
                middle += goes_left
                aside += 1 - goes_left
            for place in range(aside):
                rows[middle + place] = right[place]
            first[child], last[child] = low, middle
            first[child + 1], last[child + 1] = middle, high
