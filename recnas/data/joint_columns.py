"""Training rows of a data set as codes: what may be a part of a joint id, with numbers by their bins."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa

from recnas.data.dataset import Dataset
from recnas.data.files import RowGroup, read
from recnas.data.joint_model import Cells
from recnas.data.kernels import BinLookup
from recnas.features.bins import greedy_bins
from recnas.features.feature import SparseFeature, table_rows
from recnas.features.schema import RAW_NUMBERS_SINCE

BINS = 64
"""Most bins of a number."""
MOST_VALUES = 1 << 27
"""Codes that are held in memory, 512 MB: of a wide table fewer rows are looked at."""
_VALUES_AT_ONCE = 1 << 25
_READ_AT_MOST = 8
"""Times the rows that are wanted are read; of the row groups of a longer log some are left out."""


def joint_columns(dataset: Dataset, rows: int, seed: int) -> tuple[np.ndarray, Iterator[tuple[str, Cells]]]:
    """The labels of training rows, and each feature that a joint id may have.

    Those are numbers and single ids, but for those that are the same in all rows, and for the numbers of a data set
    that has them transformed only. A missing value is a value.

    Args:
        dataset: A data set.
        rows: Of so many rows at most, evenly spread.
        seed: Of their random order.

    Returns:
        `[N]` float32 labels, and names with their codes, in the order of the schema.
    """
    schema = dataset.own_schema
    numbers = [feature.name for feature in schema.dense] if schema.version >= RAW_NUMBERS_SINCE else []
    ids = {feature.name: feature for feature in schema.singles}
    rows = min(rows, max(1, MOST_VALUES // max(1, len(numbers) + len(ids))))
    places = _places(dataset.row_groups("train"), rows)
    order = np.random.default_rng(seed).permutation(sum(len(taken) for _, taken in places))
    labels = _read(places, [schema.label])[schema.label].to_numpy().astype(np.float32)[order]
    return labels, _columns(places, order, numbers, ids)


def _columns(
    places: Sequence[tuple[RowGroup, np.ndarray]],
    order: np.ndarray,
    numbers: Sequence[str],
    ids: dict[str, SparseFeature],
) -> Iterator[tuple[str, Cells]]:
    # No joint id can be named after a feature with a colon.
    names = [name for name in (*numbers, *ids) if ":" not in name]
    at_once = max(1, _VALUES_AT_ONCE // len(order))
    for start in range(0, len(names), at_once):
        group = names[start : start + at_once]
        table = _read(places, group)
        for name in group:
            column = table[name].combine_chunks()
            cells = _met(_of_ids(column, ids[name]) if name in ids else _of_numbers(column))
            if cells.size > 1:
                yield name, Cells(cells.codes[order], cells.size)


def _places(groups: Sequence[RowGroup], rows: int) -> list[tuple[RowGroup, np.ndarray]]:
    """Row groups, and which of their rows are taken: so many at most in all, evenly spread."""
    total = sum(group.rows for group in groups)
    groups = groups[:: max(1, total // (rows * _READ_AT_MOST))]
    step = -(-sum(group.rows for group in groups) // rows)
    result, first = [], 0
    for group in groups:
        result.append((group, np.arange(-first % step, group.rows, step)))
        first += group.rows
    return [(group, taken) for group, taken in result if len(taken)]


def _read(places: Sequence[tuple[RowGroup, np.ndarray]], names: Sequence[str]) -> pa.Table:
    return pa.concat_tables([read(group, names).take(pa.array(taken)) for group, taken in places])


def _of_ids(column: pa.Array, feature: SparseFeature) -> np.ndarray:
    """The table rows by which a joint id knows the values."""
    missing = column.is_null().to_numpy(zero_copy_only=False) if column.null_count else None
    return table_rows(column.fill_null(0).to_numpy(), feature.rows, missing)


def _of_numbers(column: pa.Array) -> np.ndarray:
    """The bins of numbers, and 0 where there is none."""
    numbers = column.to_numpy(zero_copy_only=False)
    present = np.isfinite(numbers)
    if not present.any():
        return np.zeros(len(numbers), dtype=np.int64)
    bins = greedy_bins(*np.unique(numbers[present], return_counts=True), BINS)
    found = BinLookup(bins.edges)(np.ascontiguousarray(numbers)).astype(np.int64) + 1
    found[np.isnan(numbers)] = 0
    return found


def _met(values: np.ndarray) -> Cells:
    """Values, from 0 on, as codes of those that occur."""
    if values.max() < 4 * len(values):
        occurs = np.bincount(values) > 0
        return Cells((np.cumsum(occurs) - 1)[values].astype(np.int32), int(occurs.sum()))
    met, codes = np.unique(values, return_inverse=True)
    return Cells(codes.astype(np.int32), len(met))
