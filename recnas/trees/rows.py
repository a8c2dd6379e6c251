"""A split's rows as matrices, chunk by chunk, so that a data set need not fit into memory."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from recnas.data import Dataset
from recnas.trees.columns import TreeColumns

CHUNK = 1 << 16
"""Rows that are read at once."""


class MatrixRows:
    """The rows of a split, gone through again and again in the same order.

    Args:
        dataset: The data set.
        split: "train", "validation" or "test".
        columns: Those of the matrix.
        most_rows: Only so many of them, drawn at random; None: all.
        seed: Of the draw.
    """

    def __init__(
        self, dataset: Dataset, split: str, columns: TreeColumns, most_rows: int | None = None, seed: int = 0
    ) -> None:
        self.columns, self._schema = columns, dataset.schema
        drawn = most_rows is not None and most_rows < dataset.rows(split)
        self._batches = dataset.batches(split, CHUNK, seed=seed if drawn else None, rows=most_rows if drawn else None)

    def __len__(self) -> int:
        return self._batches.rows

    def chunks(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Matrices `[N, C]` and their labels `[N]`, float32 both, of `CHUNK` rows each but for the last."""
        for batch in self._batches:
            yield self.columns.matrix(batch, self._schema), batch.label.numpy()
