"""Raw rows → what a model takes, by the rules that preparation and loading follow. No torch is needed.

Rows as dictionaries are read value by value, which is fastest for a few; tables column by column.

Sizes: B rows, d₀ dense features, n₁ single-valued sparse features, T ids in all lists of a multi-valued feature.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from recnas.features.feature import DenseFeature, SparseFeature, parts_of, table_rows
from recnas.features.id_parsers import wanted
from recnas.features.raw_values import items_of, joint_values, number_of_value
from recnas.util.errors import InputError

if TYPE_CHECKING:
    import polars as pl

A_NUMBER, AN_ID, A_LIST = "a finite number", "an id: a string or a whole number", "a list of strings or whole numbers"
"""What a value should be, for messages."""


class EncodedList(NamedTuple):
    """A multi-valued feature of B rows.

    Args:
        values: `[T]` int64 table rows, one row's after the other; 0, the missing value's, for an empty list.
        offsets: `[B + 1]` int64: row b's are those from `offsets[b]` up to `offsets[b + 1]`.
    """

    values: np.ndarray
    offsets: np.ndarray


@dataclass(frozen=True)
class Encoded:
    """B rows as a model takes them.

    Args:
        dense: `[B, d₀]` float32, transformed; one column of zeros when the schema has no dense feature.
        ids: `[B, n₁]` int64 table rows of the single-valued sparse features, in the schema's order.
        lists: the multi-valued features, in the schema's order.
    """

    dense: np.ndarray
    ids: np.ndarray
    lists: tuple[EncodedList, ...]

    def __len__(self) -> int:
        return len(self.dense)

    @property
    def arrays(self) -> tuple[np.ndarray, ...]:
        """What an exported program is called with, in its order: dense, ids, values and offsets of each list.

        Example:
            program = torch.export.load("program.pt2").module()
            probabilities = program(*map(torch.from_numpy, encoded.arrays))
        """
        return (self.dense, self.ids, *(array for item in self.lists for array in item))


def encode(
    dense_features: Sequence[DenseFeature], sparse_features: Sequence[SparseFeature], rows: Any, allow_absent: bool
) -> Encoded:
    """Encodes raw rows by a schema's features; see `Schema.encode`."""
    if isinstance(rows, Mapping):
        rows = [rows]
    source: _Rows | _Table = _Rows(rows) if isinstance(rows, list | tuple) else _Table(rows)
    size = len(source)
    dense = np.zeros((size, max(1, len(dense_features))), dtype=np.float32)
    ids = np.empty((size, sum(not feature.multi_valued for feature in sparse_features)), dtype=np.int64)
    lists: list[EncodedList] = []
    for feature in (*dense_features, *parts_of(sparse_features)):
        if size and not allow_absent and not source.has(column_of(feature)):
            called = "" if feature.column is None else f", for feature {_called(feature)}"
            raise InputError(f"no row has a value {column_of(feature)!r}{called}; give it, or None where it is missing")
    reading = _Reading(source)
    for place, feature in enumerate(dense_features):
        dense[:, place] = feature.apply(reading.numbers(feature))
    place = 0
    for feature in sparse_features:
        if feature.multi_valued:
            lists.append(_with_missing(*source.lists(feature), feature))
            continue
        ids[:, place] = reading.rows(feature)
        place += 1
    return Encoded(dense, ids, tuple(lists))


class _Reading:
    """What was read of the rows: several features may have the same number, or parts of joint ids."""

    def __init__(self, source: _Rows | _Table) -> None:
        self._source = source
        self._numbers: dict[tuple[str, tuple[str, ...]], np.ndarray] = {}
        self._rows: dict[int, np.ndarray] = {}

    def numbers(self, feature: DenseFeature) -> np.ndarray:
        """`[B]` float64, NaN = missing."""
        key = column_of(feature), feature.missing
        if key not in self._numbers:
            self._numbers[key] = self._source.numbers(feature)
        return self._numbers[key]

    def rows(self, feature: SparseFeature) -> np.ndarray:
        """`[B]` int64, the table rows of a single-valued feature."""
        # The features outlive this, so each keeps its number.
        if id(feature) not in self._rows:
            self._rows[id(feature)] = table_rows(*self._ids(feature))
        return self._rows[id(feature)]

    def _ids(self, feature: SparseFeature) -> tuple[np.ndarray, int, np.ndarray | None]:
        if feature.joint:
            ids, missing = feature.places(joint_values([self.rows(part) for part in feature.joint]))
        elif feature.as_number is not None:
            numbers = self.numbers(feature.as_number)
            ids = np.searchsorted(feature.edges_array, numbers, side="right").astype(np.uint32)
            missing = np.isnan(numbers)
        else:
            ids, missing = self._source.ids(feature)
        return ids, feature.rows, missing


def _called(feature: DenseFeature | SparseFeature) -> str:
    return feature.name if feature.number is None else feature.number


def _with_missing(raw: np.ndarray, lengths: np.ndarray, feature: SparseFeature) -> EncodedList:
    """Ids `[T]` in lists of these lengths `[B]` as table rows; an empty list gets the missing value's."""
    values = table_rows(raw, feature.rows)
    empty = lengths == 0
    values = np.insert(values, (np.cumsum(lengths) - lengths)[empty], 0)
    return EncodedList(values, np.concatenate([np.zeros(1, np.int64), np.cumsum(np.maximum(lengths, 1))]))


def column_of(feature: DenseFeature | SparseFeature) -> str:
    """The column of raw rows that a feature is read from; of a joint id its parts are."""
    return _called(feature) if feature.column is None else feature.column


def wanted_of(feature: DenseFeature | SparseFeature) -> str:
    """What a raw value of a feature should be, for messages."""
    if isinstance(feature, DenseFeature) or feature.number is not None:
        return A_NUMBER
    if feature.id_parser is not None:
        return wanted(feature.id_parser)
    return A_LIST if feature.multi_valued else AN_ID


def _misfit(row: int, column: str, value: Any, what: str) -> InputError:
    return InputError(f"row {row + 1}: {column} is {value!r:.40}, which is not {what}")


class _Rows:
    """Rows as dictionaries, read value by value."""

    def __init__(self, rows: Sequence[Any]) -> None:
        for place, row in enumerate(rows):
            if not isinstance(row, Mapping):
                raise InputError(f"row {place + 1} is {row!r:.40}, which is not an object of columns and values")
        self._rows = rows

    def __len__(self) -> int:
        return len(self._rows)

    def has(self, column: str) -> bool:
        return any(column in row for row in self._rows)

    def numbers(self, feature: DenseFeature) -> np.ndarray:
        column = column_of(feature)
        values = [row.get(column) for row in self._rows]
        return np.array([_number(place, column, value, feature) for place, value in enumerate(values)], float)

    def ids(self, feature: SparseFeature) -> tuple[np.ndarray, np.ndarray]:
        column = column_of(feature)
        found = [self._id(place, column, row.get(column), feature) for place, row in enumerate(self._rows)]
        missing = np.array([value is None for value in found], dtype=bool)
        return np.array([value or 0 for value in found], dtype=np.uint32), missing

    def lists(self, feature: SparseFeature) -> tuple[np.ndarray, np.ndarray]:
        column, found, lengths = column_of(feature), [], []
        for place, row in enumerate(self._rows):
            value = row.get(column)
            try:
                items = items_of(value, feature.separator)
            except ValueError:
                raise _misfit(place, column, value, wanted_of(feature)) from None
            ids = [self._id(place, column, item, feature) for item in items]
            found += [item for item in ids if item is not None]
            lengths.append(sum(item is not None for item in ids))
        return np.array(found, dtype=np.uint32), np.array(lengths, dtype=np.int64)

    def _id(self, place: int, column: str, value: Any, feature: SparseFeature) -> int | None:
        try:
            return feature.id_of(value)
        except (InputError, TypeError, ValueError):
            raise _misfit(place, column, value, wanted_of(feature)) from None


def _number(row: int, column: str, value: Any, feature: DenseFeature) -> float:
    try:
        return number_of_value(value, feature.missing, feature.missing_numbers)
    except ValueError:
        raise _misfit(row, column, value, A_NUMBER) from None


class _Table:
    """A table, read column by column."""

    def __init__(self, table: Any) -> None:
        import polars as pl
        import pyarrow as pa

        pandas = sys.modules.get("pandas")
        self._table = table
        if isinstance(table, pl.DataFrame):
            names = list(table.columns)
        elif isinstance(table, pa.Table):
            names = table.column_names
        elif pandas is not None and isinstance(table, pandas.DataFrame):
            names = [str(name) for name in table.columns]
        else:
            what = f"{type(table).__module__}.{type(table).__qualname__}"
            raise InputError(f"rows are {what}; give dictionaries, a pandas or Polars DataFrame or a pyarrow Table")
        self._places = {name: place for place, name in enumerate(names)}
        if len(self._places) < len(names):
            doubled = next(name for place, name in enumerate(names) if self._places[name] != place)
            raise InputError(f"the column {doubled!r} is there twice; rename one")

    def __len__(self) -> int:
        return len(self._table)

    def has(self, column: str) -> bool:
        return column in self._places

    def _series(self, feature: DenseFeature | SparseFeature) -> pl.Series:
        """The column, without a name."""
        import polars as pl
        import pyarrow as pa

        from recnas.features.frames import frame_of_arrow, frame_of_pandas

        column = column_of(feature)
        place = self._places.get(column)
        if place is None:
            return pl.Series("value", [None] * len(self), dtype=pl.Null)
        if isinstance(self._table, pl.DataFrame):
            series = self._table.to_series(place)
        elif isinstance(self._table, pa.Table):
            series = frame_of_arrow(self._table.select([place])).to_series()
        else:
            series = frame_of_pandas(self._table.iloc[:, [place]], [column]).to_series()
        # Many of a Series' methods take a name such as `^a$` for a pattern.
        return series.alias("value")

    def numbers(self, feature: DenseFeature) -> np.ndarray:
        return self._read(feature).to_numpy()

    def ids(self, feature: SparseFeature) -> tuple[np.ndarray, np.ndarray]:
        values = self._read(feature)
        return values.fill_null(0).to_numpy(), values.is_null().to_numpy()

    def lists(self, feature: SparseFeature) -> tuple[np.ndarray, np.ndarray]:
        values = self._read(feature)
        lengths = values.list.len().fill_null(0).to_numpy().astype(np.int64)
        flat = values.filter(lengths > 0).explode().drop_nulls()
        return flat.to_numpy().astype(np.uint32), lengths

    def _read(self, feature: DenseFeature | SparseFeature) -> pl.Series:
        from recnas.features.columns import read_feature

        series = self._series(feature)
        values, misfits = read_feature(series, feature)
        if misfits is not None and misfits.any():
            row = int(np.flatnonzero(misfits)[0])
            value = series[row]
            value = value.to_list() if hasattr(value, "to_list") else value
            raise _misfit(row, column_of(feature), value, wanted_of(feature))
        return values
