"""What is asked of a library of gradient-boosted trees; LightGBM and CatBoost answer, where they are installed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from recnas.trees.columns import TreeColumns
from recnas.trees.rows import MatrixRows
from recnas.util.errors import InputError, RunError

MODULES = {"lightgbm": "recnas.trees.lightgbm_library", "catboost": "recnas.trees.catboost_library"}
"""By the name of a family of trees, which is that of its package, what answers."""
EVERY = 5
"""Trees between two measurements."""


@dataclass(frozen=True)
class Round:
    """What was measured after some trees.

    Attributes:
        trees: Number of trees so far.
        train_loss: Mean log loss on the training rows.
        log_loss: That on the validation rows.
        auc: Area under the ROC curve there.
    """

    trees: int
    train_loss: float
    log_loss: float
    auc: float


@dataclass(frozen=True)
class Task:
    """What is grown.

    Attributes:
        choices: The library's parameters that are chosen.
        most_trees: Trees at most.
        seed: Where all random choices start.
        threads: Threads to compute with; what comes of it may depend on them.
    """

    choices: Mapping[str, Any]
    most_trees: int
    seed: int
    threads: int


class NotGrown(RunError):
    """A library cannot grow trees of such rows.

    Args:
        reason: In its own words.
    """

    def __init__(self, reason: object) -> None:
        super().__init__(f"no trees could be grown ({_one_line(reason)})")


class Ensemble(Protocol):
    """Grown trees.

    Attributes:
        found: The values of choices that were left to the library to find out, by the choices' names.
    """

    found: Mapping[str, Any]

    @property
    def trees(self) -> int:
        """Number of trees."""

    @property
    def leaves(self) -> int:
        """Number of leaves of all trees together, each of which has a value."""

    def logits(self, matrix: np.ndarray, threads: int) -> np.ndarray:
        """Logits `[N]` of a matrix `[N, C]`; see `TreeColumns`."""

    def cut(self, trees: int) -> None:
        """Forgets all trees but the first so many."""

    def save(self, path: Path) -> None:
        """Writes it in the library's own text format."""


class Library(Protocol):
    """A library of gradient-boosted trees.

    Attributes:
        most_categories: Categories of a column at most; of more ids the rarest share one.
        most_cells: Cells of a training matrix, rows times columns, at most; of more, a share of the rows is taken.
    """

    most_categories: int
    most_cells: int

    def read(self, train: MatrixRows, validation: MatrixRows, threads: int) -> Any:
        """Rows as the library keeps them, of which trees can be grown again and again.

        Args:
            train: Training rows.
            validation: Rows that tell when to stop.
            threads: Threads to compute with.

        Raises:
            NotGrown: The library cannot grow trees of them.
        """

    def grow(self, rows: Any, task: Task, after_round: Callable[[Round], bool]) -> Ensemble:
        """Grows trees until there are enough, another one cannot be had, or `after_round` says no.

        Args:
            rows: Of `read`.
            task: What is grown.
            after_round: Called after every `EVERY` trees and after the last one; says whether to go on.

        Raises:
            NotGrown: The library cannot grow any.
        """

    def load(self, path: Path, columns: TreeColumns) -> Ensemble:
        """Reads what `Ensemble.save` wrote.

        Args:
            path: The file.
            columns: Those of the matrix that the trees are to take.

        Raises:
            InputError: It is damaged, or of another matrix.
        """


def is_installed(name: str) -> bool:
    """Whether the package of a family of trees is."""
    return find_spec(name) is not None


def check_library(name: str) -> None:
    """Raises InputError if the package of a family of trees is not installed."""
    if not is_installed(name):
        raise InputError(f"{name} is not installed; pip install {name} brings it")


def library(name: str) -> Library:
    """That of a family of trees.

    Raises:
        InputError: It is not installed.
    """
    check_library(name)
    return import_module(MODULES[name]).LIBRARY


def unreadable(path: Path, of: str, reason: object) -> InputError:
    """The error to raise where a file is no model, or a damaged one."""
    return InputError(f"{path}: no model of {of} ({_one_line(reason)}); it must be made anew")


def _one_line(reason: object) -> str:
    return " ".join(str(reason).split())[:200]
