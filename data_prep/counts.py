"""How often each of many values occurs, counted as they come."""

import numpy as np

_PENDING = 1 << 20


class ValueCounts:
    """Counts of different numbers; memory grows with the different ones, not with all."""

    def __init__(self) -> None:
        self._values: np.ndarray | None = None
        self._counts = np.empty(0, dtype=np.int64)
        self._pending: list[tuple[np.ndarray, np.ndarray]] = []
        self._size = 0

    def add(self, values: np.ndarray) -> None:
        """Counts `[N]` more numbers, always of one type."""
        self._pending.append(np.unique(values, return_counts=True))
        self._size += len(self._pending[-1][0])
        # Merging when as many are waiting as there are keeps the work in proportion to the numbers.
        if self._size >= max(_PENDING, len(self._counts)):
            self._merge()

    def take(self) -> tuple[np.ndarray, np.ndarray]:
        """The different numbers in ascending order, and how often each was there; counting starts anew."""
        self._merge()
        values, counts = self._values, self._counts
        self.__init__()
        return np.empty(0) if values is None else values, counts

    def _merge(self) -> None:
        if not self._pending:
            return
        if self._values is not None:
            self._pending.append((self._values, self._counts))
        values = np.concatenate([part[0] for part in self._pending])
        counts = np.concatenate([part[1] for part in self._pending])
        self._pending, self._size = [], 0
        order = np.argsort(values, kind="stable")
        values = values[order]
        starts = np.flatnonzero(np.concatenate([[True], values[1:] != values[:-1]])) if len(values) else order
        self._values = values[starts]
        self._counts = np.add.reduceat(counts[order], starts) if len(values) else counts
