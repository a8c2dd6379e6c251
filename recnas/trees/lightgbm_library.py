"""LightGBM (Ke et al. 2017): trees grown leaf by leaf on histograms; a column of categories is split into two sets."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any

import lightgbm
import numpy as np
from sklearn.metrics import roc_auc_score

from recnas.trees.columns import CategoryColumn, TreeColumns
from recnas.trees.library import EVERY, NotGrown, Round, Task, unreadable
from recnas.trees.lightgbm_text import read_lines
from recnas.trees.partition import PartedRows
from recnas.trees.rows import CHUNK, MatrixRows
from recnas.trees.splits import split_arrays

# Data sets are made without a look at `verbosity`.
_LOGGER = logging.getLogger(__name__)
_LOGGER.setLevel(logging.ERROR)
lightgbm.register_logger(_LOGGER)


AUTO = "auto"
"""The value of `cat_smooth` and `num_leaves` that is found out."""
TRIALS: Mapping[str, tuple[tuple[int, ...], int]] = {
    "cat_smooth": ((3, 10, 50, 200), 20),
    "num_leaves": ((255, 31, 90), 40),
}
"""In this order what is found out: what it may be, and how many trees are grown with each to find out. Leaves are at
first as many as come first."""
TRIAL_RATE = 0.3
"""The learning rate of these trees: at a large one so few show which overfits."""


_OF_ROWS: Mapping[str, Any] = {
    # Bins serve all choices: which columns no leaf could be made of hangs on these.
    "feature_pre_filter": False,
    "force_col_wise": True,
    "verbosity": -1,
}
"""Parameters that rows are binned by."""


@dataclass(frozen=True)
class Binned:
    """Rows as LightGBM keeps them, a byte or two for each cell.

    Attributes:
        train: Training rows.
        validation: Those of validation, in the same bins.
        columns: Those of their matrix.
    """

    train: lightgbm.Dataset
    validation: lightgbm.Dataset
    columns: TreeColumns


class LightGBM:
    """See `Library`. Rows are read in parts."""

    most_categories = 1 << 15
    most_cells = 1 << 32

    def read(self, train: MatrixRows, validation: MatrixRows, threads: int) -> Binned:
        """See `Library.read`."""
        parameters = {**_OF_ROWS, "num_threads": threads}
        try:
            binned = _binned(train, parameters)
            return Binned(binned, _binned(validation, parameters, binned), train.columns)
        except lightgbm.basic.LightGBMError as error:
            raise NotGrown(error) from None

    def grow(self, rows: Binned, task: Task, after_round: Callable[[Round], bool]) -> LightGBMTrees:
        """See `Library.grow`."""
        try:
            return _grown(rows, task, after_round)
        except lightgbm.basic.LightGBMError as error:
            raise NotGrown(error) from None

    def load(self, path: Path, columns: TreeColumns) -> LightGBMTrees:
        """See `Library.load`."""
        try:
            booster = lightgbm.Booster(model_file=path)
        except lightgbm.basic.LightGBMError as error:
            raise unreadable(path, "LightGBM", error) from None
        if booster.num_feature() != len(columns):
            raise unreadable(path, "LightGBM", f"it takes {booster.num_feature()} columns, not {len(columns)}")
        return LightGBMTrees(booster, columns)


class LightGBMTrees:
    """See `Ensemble`.

    Args:
        booster: LightGBM's model.
        columns: Those of the matrix that it takes.
        found: See `Ensemble`.

    Attributes:
        booster: LightGBM's model, with trees that were cut off.
    """

    def __init__(
        self, booster: lightgbm.Booster, columns: TreeColumns, found: Mapping[str, Any] = MappingProxyType({})
    ) -> None:
        self.booster, self._columns, self.found = booster, columns, found
        self._trees = booster.current_iteration()

    @property
    def trees(self) -> int:
        """See `Ensemble`."""
        return self._trees

    @property
    def leaves(self) -> int:
        """See `Ensemble`."""
        return self._parted.leaves

    def logits(self, matrix: np.ndarray, threads: int) -> np.ndarray:
        """See `Ensemble`."""
        return self._parted.logits(matrix, threads)

    def cut(self, trees: int) -> None:
        """See `Ensemble`."""
        self._trees = trees
        self.__dict__.pop("_parted", None)

    @cached_property
    def _parted(self) -> PartedRows:
        """What computes logits."""
        text, name = self.booster.model_to_string(num_iteration=self._trees), Path("the trees")
        # A matrix has the places of rows that are kept, not the rows.
        given = replace(
            self._columns, categories=tuple(CategoryColumn(item.feature) for item in self._columns.categories)
        )
        return PartedRows(split_arrays(read_lines(text.splitlines(), len(given), name), given, name))

    def save(self, path: Path) -> None:
        """See `Ensemble`."""
        self.booster.save_model(path, num_iteration=self._trees)


def _grown(rows: Binned, task: Task, after_round: Callable[[Round], bool]) -> LightGBMTrees:
    """Grows trees; see `Library.grow`."""
    parameters: dict[str, Any] = {
        **_OF_ROWS,
        "objective": "binary",
        "metric": "binary_logloss",
        "num_threads": task.threads,
        "seed": task.seed,
        # Otherwise a clock decides which of two ways is taken, and their sums are rounded differently.
        "deterministic": True,
        "bagging_freq": 1,
        **task.choices,
    }
    unknown = [name for name in TRIALS if parameters[name] == AUTO]
    parameters |= {name: TRIALS[name][0][0] for name in unknown}

    def begun(**changed: float) -> lightgbm.Booster:
        return lightgbm.Booster(parameters | changed, rows.train).add_valid(rows.validation, "validation")

    for name in unknown:
        values, trees = TRIALS[name]
        losses = {
            value: _lowest_loss(begun(learning_rate=TRIAL_RATE, **{name: value}), min(trees, task.most_trees))
            for value in values
        }
        parameters[name] = min(losses, key=losses.__getitem__)
    booster = begun()
    grows = True
    while True:
        trees = booster.current_iteration()
        is_last = not grows or trees == task.most_trees
        if trees and (is_last or trees % EVERY == 0):
            ((_, _, train_loss, _),) = booster.eval_train()
            (_, _, log_loss, _), (_, _, auc, _) = booster.eval_valid(_auc)
            is_last |= not after_round(Round(trees, float(train_loss), float(log_loss), auc))
        if is_last:
            break
        grows = not booster.update()
    return LightGBMTrees(booster, rows.columns, {name: parameters[name] for name in unknown})


def _lowest_loss(booster: lightgbm.Booster, trees: int) -> float:
    """The lowest log loss on validation on the way to so many trees.

    Whether ids with few rows say something (users who rate films) or only seem to (tail numbers of planes) is worth
    more than all else that is chosen; then, whether there is much to be said in few leaves.
    """
    losses = []
    for _ in range(trees):
        has_ended = booster.update()
        ((_, _, log_loss, _),) = booster.eval_valid()
        losses.append(log_loss)
        if has_ended:
            break
    return min(losses)


def _auc(predicted: np.ndarray, rows: lightgbm.Dataset) -> tuple[str, float, bool]:
    return "auc", float(roc_auc_score(rows.get_label(), predicted)), True


def _binned(
    rows: MatrixRows, parameters: dict[str, Any], reference: lightgbm.Dataset | None = None
) -> lightgbm.Dataset:
    """Rows as LightGBM keeps them.

    Args:
        rows: The rows.
        parameters: LightGBM's.
        reference: Binned training rows, whose bins are taken; None: these are the training rows.
    """
    columns = rows.columns
    sequence = _Sequence(rows)
    binned = lightgbm.Dataset(
        sequence,
        # Known when they have been read.
        label=np.zeros(len(rows), dtype=np.float32),
        reference=reference,
        feature_name=columns.names,
        categorical_feature=list(range(columns.first_category, len(columns))),
        params=parameters,
    ).construct()
    return binned.set_label(sequence.labels)


class _Sequence(lightgbm.Sequence):
    """Rows for LightGBM, which asks for some of them one by one, in ascending order, and then for all in parts."""

    batch_size = CHUNK

    def __init__(self, rows: MatrixRows) -> None:
        self._rows, self.labels = rows, np.zeros(len(rows), dtype=np.float32)
        self._chunks: Iterator[tuple[np.ndarray, np.ndarray]] = iter(())
        self._chunk, self._start = np.zeros((0, len(rows.columns)), dtype=np.float32), len(rows)

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: Any) -> np.ndarray:
        first = index.start if isinstance(index, slice) else int(index)
        if first < self._start:
            self._chunks, self._chunk, self._start = self._rows.chunks(), self._chunk[:0], 0
        while first >= self._start + len(self._chunk):
            self._start += len(self._chunk)
            self._chunk, labels = next(self._chunks)
            self.labels[self._start : self._start + len(labels)] = labels
        if isinstance(index, slice):
            return self._chunk[first - self._start : index.stop - self._start]
        return self._chunk[first - self._start].astype(np.float64)


LIBRARY = LightGBM()
