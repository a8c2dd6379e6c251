"""Which rows are for training, for validation and for the test: in every way but one about 8 : 1 : 1.

A split first looks at every chunk of rows; then it says where each row belongs. One that needs no look at all rows
(`at_once`) says it while the rows are read.
"""

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import polars as pl

from recnas.data_prep.counts import ValueCounts
from recnas.data_prep.rows import unnamed
from recnas.features.raw_values import mixed
from recnas.features.schema import SPLITS
from recnas.util.errors import InputError

NUM_FOLDS = 10
SEED = 2018
SPLIT_KINDS = ("autoctr", "hash", "time", "test")
ROW_ORDER = ""
"""In place of a column of times: later rows of the file are later."""
# Folds 0-7 are the training split (0), 8 is validation (1), 9 is the test (2).
_SPLIT_OF_FOLD = np.array([0] * 8 + [1, 2], dtype=np.int8)


def autoctr_split(labels: np.ndarray, seed: int = SEED) -> np.ndarray:
    """The split used by AutoCTR, NASRec and SiGeo: stratified 8 : 1 : 1.

    Row for row what scikit-learn's `StratifiedKFold(10, shuffle=True, random_state=seed)` gives, in a ninth of its
    memory: 150 million rows take 0.5 GB.

    Args:
        labels: `[N]`, 0 and 1, in file order.

    Returns:
        `[N]` int8, the place of each row's split in `recnas.features.schema.SPLITS`.

    Raises:
        InputError: a label has fewer than 10 rows, so that a split would have none of it.
    """
    positive = labels != 0
    for label, members in ((0, len(labels) - int(positive.sum())), (1, int(positive.sum()))):
        if members < NUM_FOLDS:
            raise InputError(
                f"{members} of {len(labels)} rows have label {label}, at least {NUM_FOLDS} are needed "
                f"to split them 8 : 1 : 1; give more rows"
            )
    random = np.random.RandomState(seed)
    result = np.empty(len(labels), dtype=np.int8)
    # As scikit-learn does it: the class seen first is number 0; each class is dealt to the folds in turn, going on
    # at the fold where the class before ended; then the folds of a class are shuffled.
    start = 0
    for members in (positive, ~positive) if positive[0] else (~positive, positive):
        stop = start + int(members.sum())
        dealt = [len(range(start + (fold - start) % NUM_FOLDS, stop, NUM_FOLDS)) for fold in range(NUM_FOLDS)]
        splits = np.repeat(np.arange(NUM_FOLDS, dtype=np.int8), dealt)
        random.shuffle(splits)
        result[members] = _SPLIT_OF_FOLD[splits]
        start = stop
    return result


class Split(Protocol):
    """A way to split rows."""

    at_once: bool
    """Whether `places` needs no `look` at the rows before."""
    parts: Sequence[str]
    """The splits that must not be empty."""

    def look(self, chunk: pl.DataFrame) -> None:
        """Takes in the next rows in file order."""

    def settle(self) -> None:
        """All rows have been looked at.

        Raises:
            InputError: They cannot be split.
        """

    def places(self, chunk: pl.DataFrame, start: int) -> np.ndarray:
        """`[N]` int8: the place in `SPLITS` of each row of a chunk whose first is row `start`."""

    def to_json(self) -> dict[str, Any]:
        """The schema's `split`."""


class AutoCTRSplit:
    """Stratified by label and random: `autoctr_split`."""

    at_once = False
    parts = SPLITS

    def __init__(self, label: str, seed: int = SEED) -> None:
        self._label, self._seed = label, seed
        self._labels: list[np.ndarray] = []

    def look(self, chunk: pl.DataFrame) -> None:
        self._labels.append(chunk[self._label].to_numpy())

    def settle(self) -> None:
        labels = np.concatenate(self._labels)
        self._labels.clear()
        self._places = autoctr_split(labels, self._seed)

    def places(self, chunk: pl.DataFrame, start: int) -> np.ndarray:
        return self._places[start : start + len(chunk)]

    def to_json(self) -> dict[str, Any]:
        return {"name": "autoctr", "seed": self._seed}


class HashSplit:
    """By a hash of the row's values, or of some columns': the same row has the same place in any file on any machine.

    Args:
        columns: What is hashed: numbers or lists of them.
        by: The columns that the user named, if any: rows that are equal there, such as a user's, stay together.
        seed: Another one gives another split.
    """

    at_once = True
    parts = SPLITS

    def __init__(self, columns: Sequence[str], by: Sequence[str] = (), seed: int = SEED) -> None:
        self._columns, self._by, self._seed = tuple(by or columns), tuple(by), seed

    def look(self, chunk: pl.DataFrame) -> None:
        pass

    def settle(self) -> None:
        pass

    def places(self, chunk: pl.DataFrame, start: int) -> np.ndarray:
        hashes = np.full(len(chunk), self._seed, dtype=np.uint64)
        for name in self._columns:
            # Mixed after each column, so that columns may not change places.
            hashes = mixed(hashes ^ _hashable(chunk[name]))
        return _SPLIT_OF_FOLD[(hashes % NUM_FOLDS).astype(np.int64)]

    def to_json(self) -> dict[str, Any]:
        return {"name": "hash", "seed": self._seed, "by": list(self._by)}


class TimeSplit:
    """The past for training, then validation, then the test; rows of the same time stay together.

    Args:
        column: Numbers that grow with time, in every row; `ROW_ORDER`: the rows are in the order of time.
    """

    at_once = False
    parts = SPLITS

    def __init__(self, column: str) -> None:
        self._column = column
        self._rows = 0
        self._counts = ValueCounts()

    def look(self, chunk: pl.DataFrame) -> None:
        self._rows += len(chunk)
        if self._column:
            if chunk[self._column].null_count():
                raise InputError(f"--split time: some rows have no {self._column}; choose another --split")
            self._counts.add(chunk[self._column].to_numpy())

    def settle(self) -> None:
        if not self._column:
            self._first = [-(-self._rows * tenths // NUM_FOLDS) for tenths in (8, 9)]
            return
        times, counts = self._counts.take()
        # The first time with at least 8, and 9, tenths of the rows before it.
        places = np.searchsorted((np.cumsum(counts) - counts) * NUM_FOLDS, [8 * self._rows, 9 * self._rows])
        if not 0 < places[0] < places[1] < len(times):
            raise InputError(
                f"{self._column}: {len(times)} different times, of which some have too many rows, cannot be split "
                "8 : 1 : 1; choose another --split"
            )
        self._first = [times[place].item() for place in places]

    def places(self, chunk: pl.DataFrame, start: int) -> np.ndarray:
        times = chunk[self._column].to_numpy() if self._column else np.arange(start, start + len(chunk))
        return (times >= self._first[0]).astype(np.int8) + (times >= self._first[1])

    def to_json(self) -> dict[str, Any]:
        first = dict(zip(SPLITS[1:], self._first, strict=True))
        return {"name": "time", "by": self._column or "row order", "first": first}


class WholeSplit:
    """All rows for the test: a log to evaluate a model on."""

    at_once = True
    parts = ("test",)

    def look(self, chunk: pl.DataFrame) -> None:
        pass

    def settle(self) -> None:
        pass

    def places(self, chunk: pl.DataFrame, start: int) -> np.ndarray:
        return np.full(len(chunk), SPLITS.index("test"), dtype=np.int8)

    def to_json(self) -> dict[str, Any]:
        return {"name": "test"}


def _hashable(column: pl.Series) -> np.ndarray:
    """`[N]` uint64 of numbers, or lists of them; a missing number counts as -1 or NaN, a missing list as empty."""
    column = unnamed(column)
    if isinstance(column.dtype, pl.List):
        lengths = column.list.len().fill_null(0).to_numpy().astype(np.int64)
        values = mixed(_hashable(column.filter(lengths > 0).explode()))
        sums = np.concatenate([np.zeros(1, np.uint64), np.cumsum(values, dtype=np.uint64)])
        ends = np.cumsum(lengths)
        return sums[ends] - sums[ends - lengths]
    if column.dtype.is_float():
        numbers = column.cast(pl.Float64).fill_null(np.nan).to_numpy()
        # 0 and -0 are equal, and one NaN is like another.
        return np.where(np.isnan(numbers), np.nan, numbers + 0.0).view(np.uint64)
    values = column.cast(pl.Int64).fill_null(-1).to_numpy()
    return values.view(np.uint64)
