"""Trees are grown on a data set until more are of no use on validation; the best number of them is kept."""

from __future__ import annotations

import math
import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from recnas.candidates.candidate import MOST_TREES
from recnas.data import Dataset
from recnas.trees.columns import TreeColumns, fit_columns
from recnas.trees.library import EVERY, Round, Task, library
from recnas.trees.model import TreeModel
from recnas.trees.rows import CHUNK, MatrixRows

PATIENCE = 50
"""Trees after the best number of them that may be of no use before no more are grown."""
MOST_ROUNDS = 128
"""Measurements that are kept of a training."""
MOST_KEPT = 1 << 28
"""Cells of a training matrix, rows times columns, up to which it is kept for the next trees."""


@dataclass(frozen=True)
class Grown:
    """What came of a training.

    Attributes:
        model: The best number of trees.
        found: See `Ensemble`.
        rounds: Measurements on the way, a part of them: the first, the best, the last, and others evenly between.
        best: The number of trees that was best on validation.
        rows: Training rows that they were grown of.
    """

    model: TreeModel
    found: Mapping[str, Any]
    rounds: tuple[Round, ...]
    best: int
    rows: int


def grow(
    dataset: Dataset,
    family: str,
    choices: Mapping[str, Any],
    *,
    seed: int,
    threads: int,
    most_trees: int = MOST_TREES,
    report: Callable[[Round], None] = lambda _: None,
) -> Grown:
    """Grows trees on a data set's training rows. The same arguments give the same trees.

    Of a data set that is too large for the library, a share of the rows is taken: see `Library.most_cells`.

    Args:
        dataset: The data set.
        family: `lightgbm` or `catboost`.
        choices: The library's parameters that are chosen.
        seed: Where all random choices start.
        threads: Threads to compute with.
        most_trees: Trees at most.
        report: Called at each measurement.

    Raises:
        InputError: The library is not installed.
    """
    watch, used = _Watch(report), library(family)
    read = _read(dataset, family, seed, threads)
    ensemble = used.grow(read.rows, Task(choices, most_trees, seed, threads), watch.after)
    best = watch.best
    ensemble.cut(best.trees)
    model = TreeModel(family, dataset.schema, read.columns, ensemble)
    return Grown(model, ensemble.found, watch.rounds, best.trees, read.num_rows)


@dataclass(frozen=True)
class _Read:
    """A data set as a library of trees keeps it.

    Attributes:
        key: Of which data set, for which family, drawn from which seed.
        columns: Of its matrices.
        rows: Of `Library.read`.
        num_rows: Training rows.
    """

    key: tuple[weakref.ref[Dataset], str, int]
    columns: TreeColumns
    rows: Any
    num_rows: int


_last_read: _Read | None = None
"""What this process read last, if it was small: a search grows trees of the same rows again and again."""


def _read(dataset: Dataset, family: str, seed: int, threads: int) -> _Read:
    global _last_read
    key = weakref.ref(dataset), family, seed
    if _last_read is not None and _last_read.key == key:
        return _last_read
    # Before others take its place in memory.
    _last_read = None
    used = library(family)
    columns = fit_columns(dataset.schema, dataset.batches("train", CHUNK), used.most_categories)
    most_rows = max(1, used.most_cells // len(columns))
    train = MatrixRows(dataset, "train", columns, most_rows, seed)
    rows = used.read(train, MatrixRows(dataset, "validation", columns), threads)
    read = _Read(key, columns, rows, len(train))
    if len(train) * len(columns) <= MOST_KEPT:
        _last_read = read
    return read


@dataclass
class _Watch:
    """Looks at each measurement, and says when trees have been of no use for a while.

    Attributes:
        report: Told of each.
        best: The best so far.
        last: The last.
    """

    report: Callable[[Round], None]
    best: Round | None = None
    last: Round | None = None
    _kept: list[Round] = field(default_factory=list)
    _every: int = EVERY

    def after(self, measured: Round) -> bool:
        """Whether to go on."""
        self.report(measured)
        self.last = measured
        if self.best is None or measured.log_loss < self.best.log_loss:
            self.best = measured
        if not self._kept or measured.trees - self._kept[-1].trees >= self._every:
            self._kept.append(measured)
            if len(self._kept) == MOST_ROUNDS:
                # From now on half as many.
                self._kept, self._every = self._kept[::2], 2 * self._every
        return math.isfinite(measured.log_loss) and measured.trees - self.best.trees < PATIENCE

    @property
    def rounds(self) -> tuple[Round, ...]:
        """Those that are kept, with the best and the last."""
        kept = {item.trees: item for item in (*self._kept, self.best, self.last)}
        return tuple(kept[trees] for trees in sorted(kept))
