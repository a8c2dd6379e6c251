"""How features become the columns of a matrix that trees learn from, as a value: found on training rows, kept beside a
model.

A number that is missing is none (NaN), where the schema has an indicator of it. An id is a category: trees split the
categories of a column into two sets. A list of ids is a column of 0 and 1 for each of its frequent values.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from recnas.data import Batch
from recnas.features.schema import Schema
from recnas.util.errors import InputError

MOST_LISTED = 64
"""Values of a multi-valued feature that have a column each, the most frequent."""
_PARTS = 16


@dataclass(frozen=True)
class CategoryColumn:
    """A single-valued sparse feature as a column of categories.

    Attributes:
        feature: The feature's name.
        kept: Table rows that are a category each, ascending, whose number is their place here; all others share the
            next one. None: each table row is the category of its number.
    """

    feature: str
    kept: tuple[int, ...] | None = None

    @cached_property
    def _kept(self) -> np.ndarray:
        return np.array(self.kept, dtype=np.int64)

    def categories(self, table_rows: np.ndarray) -> np.ndarray:
        """The categories of table rows, `[N]` each."""
        if self.kept is None:
            return table_rows
        places = np.searchsorted(self._kept, table_rows)
        found = self._kept.take(places, mode="clip") == table_rows
        return np.where(found, places, len(self._kept))


@dataclass(frozen=True)
class ListedValue:
    """A column that is 1 where a multi-valued feature has a value.

    Attributes:
        feature: The feature's name.
        row: The table row of the value; 0 says that there is none.
    """

    feature: str
    row: int


@dataclass(frozen=True)
class TreeColumns:
    """The columns of a matrix: numbers first, then those of 0 and 1, then categories.

    Attributes:
        numbers: Names of dense features.
        listed: Values of multi-valued features.
        categories: Single-valued sparse features.
    """

    numbers: tuple[str, ...]
    listed: tuple[ListedValue, ...]
    categories: tuple[CategoryColumn, ...]

    def __len__(self) -> int:
        return len(self.numbers) + len(self.listed) + len(self.categories)

    @property
    def first_category(self) -> int:
        """The place of the first column of categories."""
        return len(self) - len(self.categories)

    @property
    def names(self) -> list[str]:
        """A name for each column, of characters that the libraries' files allow; all differ."""
        given = [
            *self.numbers,
            *(f"{item.feature}_{item.row}" for item in self.listed),
            *(item.feature for item in self.categories),
        ]
        names: dict[str, None] = {}
        for name in given:
            plain = "".join(letter if letter.isalnum() else "_" for letter in name)
            while plain in names:
                plain += "_"
            names[plain] = None
        return list(names)

    def matrix(self, batch: Batch, schema: Schema) -> np.ndarray:
        """The rows of a batch, `[B, C]` float32; categories are whole numbers.

        Args:
            batch: B rows.
            schema: The schema of the batch's features.
        """
        result = np.zeros((len(batch), len(self)), dtype=np.float32)
        dense = batch.dense.numpy()
        places = {feature.name: place for place, feature in enumerate(schema.dense)}
        indicators = {feature.number: places[feature.name] for feature in schema.dense if feature.number is not None}
        for column, name in enumerate(self.numbers):
            result[:, column] = dense[:, places[name]]
            if name in indicators:
                result[dense[:, indicators[name]] != 0, column] = np.nan
        jagged = batch.sparse.to_dict()
        for column, value in enumerate(self.listed, len(self.numbers)):
            ids, lengths = jagged[value.feature].values().numpy(), jagged[value.feature].lengths().numpy()
            result[np.repeat(np.arange(len(batch)), lengths)[ids == value.row], column] = 1
        for column, category in enumerate(self.categories, self.first_category):
            result[:, column] = category.categories(jagged[category.feature].values().numpy())
        return result

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "numbers": list(self.numbers),
            "listed": [{"feature": item.feature, "row": item.row} for item in self.listed],
            "categories": [
                {"feature": item.feature} | ({} if item.kept is None else {"kept": list(item.kept)})
                for item in self.categories
            ],
        }

    @classmethod
    def from_json(cls, values: Any, schema: Schema, file: Path) -> TreeColumns:
        """Reads what `to_json` wrote.

        Args:
            values: Plain values of the form `forms.TreeColumns`.
            schema: The features that they are columns of.
            file: Where they come from, for messages.

        Raises:
            InputError: They are of other features.
        """
        columns = cls(
            tuple(values["numbers"]),
            tuple(ListedValue(**item) for item in values["listed"]),
            tuple(
                CategoryColumn(item["feature"], tuple(item["kept"]) if "kept" in item else None)
                for item in values["categories"]
            ),
        )
        single, multi = _by_kind(schema)
        if (
            columns.numbers != _numbers(schema)
            or [item.feature for item in columns.categories] != single
            or not {item.feature for item in columns.listed} <= set(multi)
            or any(sorted(set(item.kept)) != list(item.kept) for item in columns.categories if item.kept is not None)
        ):
            raise InputError(f"{file}: these are the columns of other features; it must be made anew")
        return columns


def fit_columns(schema: Schema, batches: Iterable[Batch], most_categories: int) -> TreeColumns:
    """Finds the columns of a data set.

    Args:
        schema: The features.
        batches: Training rows, and no others.
        most_categories: Most categories of a column; of more ids the most frequent have one each, and the others share
            one.
    """
    # Where all table rows fit, nobody needs to know which of them are there.
    counted = {
        feature.name: _Counts() for feature in schema.sparse if feature.multi_valued or feature.rows > most_categories
    }
    for batch in batches if counted else ():
        jagged = batch.sparse.to_dict()
        for name, counts in counted.items():
            counts.add(jagged[name].values().numpy())
    listed, categories = [], []
    for feature in schema.sparse:
        if feature.multi_valued:
            rows = counted[feature.name].most_frequent(MOST_LISTED)
            listed += [ListedValue(feature.name, row) for row in rows]
        else:
            counts = counted.get(feature.name)
            kept = None if counts is None else tuple(counts.most_frequent(most_categories - 1))
            categories.append(CategoryColumn(feature.name, kept))
    return TreeColumns(_numbers(schema), tuple(listed), tuple(categories))


def _numbers(schema: Schema) -> tuple[str, ...]:
    """The names of the dense features that are numbers, not indicators of missing ones."""
    return tuple(feature.name for feature in schema.dense if feature.number is None)


def _by_kind(schema: Schema) -> tuple[list[str], list[str]]:
    """The names of single-valued and of multi-valued sparse features."""
    return tuple([item.name for item in schema.sparse if item.multi_valued == kind] for kind in (False, True))


class _Counts:
    """How often table rows were seen; memory grows with the different ones."""

    def __init__(self) -> None:
        self._parts: list[tuple[np.ndarray, np.ndarray]] = []

    def add(self, rows: np.ndarray) -> None:
        self._parts.append(np.unique(rows, return_counts=True))
        if len(self._parts) == _PARTS:
            self._parts = [self._merged()]

    def most_frequent(self, most: int) -> list[int]:
        """The most frequent ones, at most so many, ascending; of equally frequent ones the first."""
        rows, counts = self._merged()
        return np.sort(rows[np.argsort(-counts, kind="stable")[:most]]).tolist()

    def _merged(self) -> tuple[np.ndarray, np.ndarray]:
        rows, places = np.unique(np.concatenate([part for part, _ in self._parts]), return_inverse=True)
        return rows, np.bincount(places, np.concatenate([counts for _, counts in self._parts])).astype(np.int64)
