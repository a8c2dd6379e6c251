"""A data set as matrices in memory, as libraries of trees take it: numbers as they are, ids as categories."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from recnas.candidates.defaults import TREE_INPUTS
from recnas.data import Dataset, fit_inputs
from recnas.features.schema import SPLITS
from recnas.trees.columns import fit_columns
from recnas.trees.rows import CHUNK, MatrixRows

MOST_CATEGORIES = 1 << 17
"""Of a column; of more ids the rarest share one."""


@dataclass(frozen=True)
class Matrices:
    """Rows of all splits.

    Attributes:
        names: Of the columns.
        first_category: From this column on they are categories, whole numbers; before it numbers, NaN missing.
        rows: By split, `[N, C]` float32.
        labels: By split, `[N]` float32.
    """

    names: list[str]
    first_category: int
    rows: dict[str, np.ndarray]
    labels: dict[str, np.ndarray]

    @property
    def categories(self) -> list[int]:
        """The places of the columns of categories."""
        return list(range(self.first_category, len(self.names)))

    def without_rare(self, least: int) -> Matrices:
        """The same, with all categories of a column that have fewer training rows than `least` as one."""
        if least <= 1:
            return self
        rows = {split: matrix.copy() for split, matrix in self.rows.items()}
        for column in self.categories:
            ids = {split: matrix[:, column].astype(np.int64) for split, matrix in rows.items()}
            size = 1 + max(int(found.max(initial=0)) for found in ids.values())
            rare = np.bincount(ids["train"], minlength=size) < least
            for split, found in ids.items():
                rows[split][rare[found], column] = 0
        return Matrices(self.names, self.first_category, rows, self.labels)


def read_matrices(data: Path) -> Matrices:
    """Reads a data set."""
    dataset = Dataset(data)
    fed = dataset.fed(fit_inputs(dataset, TREE_INPUTS))
    columns = fit_columns(fed.schema, fed.batches("train", CHUNK), MOST_CATEGORIES)
    rows, labels = {}, {}
    for split in SPLITS:
        chunks = list(MatrixRows(fed, split, columns).chunks())
        rows[split] = np.concatenate([matrix for matrix, _ in chunks])
        labels[split] = np.concatenate([of_chunk for _, of_chunk in chunks])
    return Matrices(columns.names, columns.first_category, rows, labels)
