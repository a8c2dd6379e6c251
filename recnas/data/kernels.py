"""What a data set's values are looked up in while they are loaded, compiled: bins of numbers, and kept ids."""

from __future__ import annotations

from typing import Any

import numpy as np

from recnas.util.compiled import compiled

Array = np.ndarray[Any, Any]

# So many numbers at a time are looked up together, level by level, which a processor does for several at once.
_TOGETHER = 512
_MOST_INDEX_BITS = 20


class BinLookup:
    """The bins of numbers.

    Args:
        edges: `[E]` float64 where bins begin, ascending.
    """

    def __init__(self, edges: Array) -> None:
        self._count = len(edges)
        # A power of two, so that each step halves what is left.
        self._edges = np.full(1 << len(edges).bit_length(), np.inf)
        self._edges[: len(edges)] = edges

    def __call__(self, numbers: Array) -> Array:
        """How many edges are not above each of the numbers `[N]` float64, as uint32; any of NaN."""
        found = np.empty(len(numbers), dtype=np.uint32)
        _bins(self._edges, self._count, numbers, found)
        return found


class KeptLookup:
    """The places of ids among those that are kept.

    Args:
        kept: `[K]` uint32, ascending.
        other: The place of every other id.
    """

    def __init__(self, kept: Array, other: int) -> None:
        bits = min(_MOST_INDEX_BITS, max(1, len(kept).bit_length()))
        self._kept, self._other, self._shift = kept, np.uint32(other), np.uint32(32 - bits)
        # Of all ids with the same upper bits, where the first is.
        firsts = np.arange((1 << bits) + 1, dtype=np.uint64) << np.uint64(self._shift)
        self._index = np.searchsorted(kept, firsts).astype(np.int32)

    def __call__(self, ids: Array) -> Array:
        """The places of ids `[N]` uint32, as uint32."""
        found = np.empty(len(ids), dtype=np.uint32)
        _all_places(self._kept, self._index, self._shift, self._other, ids, found)
        return found

    def of_joint(self, rows: Array) -> Array:
        """The places of joint ids, uint32.

        Args:
            rows: `[P, N]` int32, the table rows of their parts.
        """
        found = np.empty(rows.shape[1], dtype=np.uint32)
        _joint_places(self._kept, self._index, self._shift, self._other, rows, found)
        return found


@compiled
def _bins(edges: Array, count: int, numbers: Array, found: Array) -> None:
    below = np.empty(_TOGETHER, dtype=np.int64)
    for start in range(0, len(numbers), _TOGETHER):
        size = min(_TOGETHER, len(numbers) - start)
        for i in range(size):
            below[i] = 0
        half = len(edges) >> 1
        while half > 0:
            for i in range(size):
                below[i] += half if edges[below[i] + half - 1] <= numbers[start + i] else 0
            half >>= 1
        for i in range(size):
            found[start + i] = min(below[i], count)


@compiled
def _places(
    kept: Array, index: Array, shift: np.uint32, other: np.uint32, ids: Array, found: Array, start: int, size: int
) -> None:
    """The places of up to `_TOGETHER` ids, from `start` on in `found`."""
    low, high = np.empty(_TOGETHER, dtype=np.int64), np.empty(_TOGETHER, dtype=np.int64)
    # Without a branch, so that a processor waits for the memory of several at once.
    for i in range(size):
        upper = np.int64(ids[i] >> shift)
        low[i], high[i] = index[upper], index[upper + 1]
    for i in range(size):
        first, last = low[i], high[i]
        while first < last:
            middle = (first + last) >> 1
            if kept[middle] < ids[i]:
                first = middle + 1
            else:
                last = middle
        found[start + i] = np.uint32(first) if first < len(kept) and kept[first] == ids[i] else other


@compiled
def _all_places(kept: Array, index: Array, shift: np.uint32, other: np.uint32, ids: Array, found: Array) -> None:
    for start in range(0, len(ids), _TOGETHER):
        size = min(_TOGETHER, len(ids) - start)
        _places(kept, index, shift, other, ids[start : start + size], found, start, size)


@compiled
def _joint_places(kept: Array, index: Array, shift: np.uint32, other: np.uint32, rows: Array, found: Array) -> None:
    parts, count = rows.shape
    ids = np.empty(_TOGETHER, dtype=np.uint32)
    for start in range(0, count, _TOGETHER):
        size = min(_TOGETHER, count - start)
        for i in range(size):
            # As `recnas.features.raw_values.joint_value`.
            state = np.uint64(0)
            for part in range(parts):
                state ^= np.uint64(rows[part, start + i])
                state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
                state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
                state ^= state >> np.uint64(31)
            ids[i] = np.uint32(state >> np.uint64(32))
        _places(kept, index, shift, other, ids, found, start, size)
