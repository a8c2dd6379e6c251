"""CatBoost (Prokhorenkova et al. 2018): symmetric trees; categories, and combinations of them, become statistics of the
rows that precede a row in a random order."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType, SimpleNamespace
from typing import Any

import catboost
import numpy as np
import pandas as pd

from recnas.trees.columns import TreeColumns
from recnas.trees.library import EVERY, NotGrown, Round, Task, unreadable
from recnas.trees.rows import MatrixRows

ONCE_ONLY = {"model_guid", "train_finish_time"}
"""What CatBoost writes of a model that no two of them share."""


@dataclass(frozen=True)
class Pools:
    """Rows as CatBoost keeps them.

    Attributes:
        train: Training rows.
        validation: Those of validation.
        first_category: The place of the first column of categories.
    """

    train: catboost.Pool
    validation: catboost.Pool
    first_category: int


class CatBoost:
    """See `Library`. All rows are in memory at once: some ten bytes a cell."""

    most_categories = 1 << 17
    most_cells = 1 << 28

    def read(self, train: MatrixRows, validation: MatrixRows, threads: int) -> Pools:
        """See `Library.read`."""
        try:
            return Pools(_pool(train, threads), _pool(validation, threads), train.columns.first_category)
        except catboost.CatBoostError as error:
            raise NotGrown(error) from None

    def grow(self, rows: Pools, task: Task, after_round: Callable[[Round], bool]) -> CatBoostTrees:
        """See `Library.grow`."""
        model = catboost.CatBoost(
            {
                "loss_function": "Logloss",
                "custom_metric": ["AUC:hints=skip_train~true"],
                "metric_period": EVERY,
                "use_best_model": False,
                "iterations": task.most_trees,
                "random_seed": task.seed,
                "thread_count": task.threads,
                "allow_writing_files": False,
                "logging_level": "Silent",
                **task.choices,
            }
        )
        try:
            model.fit(rows.train, eval_set=rows.validation, callbacks=[_Follower(after_round)])
        except catboost.CatBoostError as error:
            raise NotGrown(error) from None
        return CatBoostTrees(model, rows.first_category, rows.train)

    def load(self, path: Path, columns: TreeColumns) -> CatBoostTrees:
        """See `Library.load`."""
        model = catboost.CatBoost()
        try:
            model.load_model(str(path), format="json")
        except catboost.CatBoostError as error:
            raise unreadable(path, "CatBoost", error) from None
        if len(model.feature_names_) != len(columns):
            raise unreadable(path, "CatBoost", f"it takes {len(model.feature_names_)} columns, not {len(columns)}")
        return CatBoostTrees(model, columns.first_category)


class CatBoostTrees:
    """See `Ensemble`.

    Args:
        model: CatBoost's.
        first_category: The place of the first column of categories.
        train: Training rows, without which a model cannot be written as text.
    """

    found: Mapping[str, Any] = MappingProxyType({})

    def __init__(self, model: catboost.CatBoost, first_category: int, train: catboost.Pool | None = None) -> None:
        self._model, self._first_category, self._train = model, first_category, train

    @property
    def trees(self) -> int:
        """See `Ensemble`."""
        return self._model.tree_count_

    @property
    def leaves(self) -> int:
        """See `Ensemble`."""
        return len(self._model.get_leaf_values())

    def logits(self, matrix: np.ndarray, threads: int) -> np.ndarray:
        """See `Ensemble`."""
        frame = _frame(matrix, self._first_category, self._model.feature_names_)
        return self._model.predict(frame, prediction_type="RawFormulaVal", thread_count=threads)

    def cut(self, trees: int) -> None:
        """See `Ensemble`."""
        if trees < self.trees:
            self._model.shrink(trees)

    def save(self, path: Path) -> None:
        """See `Ensemble`."""
        about = self._model.get_metadata()
        for name in ONCE_ONLY & set(about):
            del about[name]
        try:
            self._model.save_model(str(path), format="json", pool=self._train)
        except catboost.CatBoostError as error:
            raise OSError(str(error)) from None


class _Follower:
    """Hands on what CatBoost measures; it calls this after every tree.

    Args:
        after_round: As in `Library.grow`.
    """

    def __init__(self, after_round: Callable[[Round], bool]) -> None:
        self._after_round, self._known = after_round, 0

    def after_iteration(self, info: SimpleNamespace) -> bool:
        """Whether to go on."""
        of_train, of_validation = info.metrics["learn"]["Logloss"], info.metrics["validation"]
        if len(of_train) == self._known:
            return True
        self._known = len(of_train)
        return self._after_round(
            Round(info.iteration, of_train[-1], of_validation["Logloss"][-1], of_validation["AUC"][-1])
        )


def _pool(rows: MatrixRows, threads: int) -> catboost.Pool:
    """Rows as CatBoost keeps them."""
    columns = rows.columns
    matrix, labels = np.empty((len(rows), len(columns)), dtype=np.float32), np.empty(len(rows), dtype=np.float32)
    start = 0
    for part, of_part in rows.chunks():
        matrix[start : start + len(part)], labels[start : start + len(part)] = part, of_part
        start += len(part)
    frame = _frame(matrix, columns.first_category, columns.names)
    categories = list(range(columns.first_category, len(columns)))
    return catboost.Pool(frame, labels, cat_features=categories, thread_count=threads)


def _frame(matrix: np.ndarray, first_category: int, names: list[str]) -> pd.DataFrame:
    """A matrix as CatBoost reads it fastest: categories are words, looked at once each."""
    columns: dict[str, Any] = {}
    for place, name in enumerate(names):
        values = matrix[:, place]
        if place >= first_category:
            words, codes = np.unique(values.astype(np.int64), return_inverse=True)
            columns[name] = pd.Categorical.from_codes(codes, categories=words)
        else:
            columns[name] = values
    return pd.DataFrame(columns, copy=False)


LIBRARY = CatBoost()
