"""A description of a data set: counts, click rates and what to know of each feature before training."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import polars as pl
from polars import selectors

from recnas.data.dataset import Dataset
from recnas.features.description import DenseDescription, Description, SparseDescription
from recnas.features.feature import DenseFeature, SparseFeature
from recnas.features.frames import scan
from recnas.features.schema import SPLITS
from recnas.util.errors import InputError

MOST_FREQUENT = 3
"""Values of a sparse feature that are named."""
RARE = "(rare or unseen)"
"""What stands for the values that share an id."""
_VALUES_AT_ONCE = 1 << 22
"""Values of sparse features that are held in memory, 16 MB: of a wide table many columns are read in one go."""


def describe(path: str | Path) -> Description:
    """Looks at every row of a data set: once for all dense features, and for as many sparse ones as fit in memory.

    Memory grows with the number of different values of one feature (about 20 bytes each), not with the rows; the time
    grows with the rows and with the columns.

    Args:
        path: The data set's folder.

    Raises:
        InputError: There is no data set, or it does not fit its schema.

    Example:
        >>> print(describe("data/criteo"))
    """
    dataset = Dataset(path, needed=())
    schema = dataset.schema
    rows = sum(dataset.rows(split) for split in SPLITS)
    if not rows:
        raise InputError(f"{dataset.path}: all splits are empty; prepare the data set again")
    frame = scan([dataset.path / split for split in SPLITS])
    return Description(
        {split: dataset.rows(split) for split in SPLITS},
        {split: schema.positive_rate(split) if dataset.rows(split) else None for split in SPLITS},
        _dense(frame, schema.dense),
        tuple(_sparse(column, feature, rows) for feature, column in _columns(frame, schema.sparse, rows)),
    )


def _dense(frame: pl.LazyFrame, features: Sequence[DenseFeature]) -> tuple[DenseDescription, ...]:
    """All dense features in one pass."""
    if not features:
        return ()
    value = selectors.by_name([feature.name for feature in features])
    wide = value.cast(pl.Float64)
    figures = {
        "minimum": value.min(),
        "mean": wide.mean(),
        "maximum": value.max(),
        "deviation": wide.std(),
        "zero_or_missing": (value == 0).mean(),
    }
    each = [figure.name.prefix(f"{name} ") for name, figure in figures.items()]
    found = frame.select(each).collect(engine="streaming").row(0, named=True)
    return tuple(
        DenseDescription(
            feature.name,
            feature.transform["name"],
            **{name: _without_chance(found[f"{name} {feature.name}"]) for name in figures},
        )
        for feature in features
    )


def _without_chance(figure: float | None) -> float | None:
    """A figure without the digits that depend on the order in which the threads' parts of a sum were added."""
    return figure if figure is None else float(f"{figure:.12g}")


def _columns(
    frame: pl.LazyFrame, features: Sequence[SparseFeature], rows: int
) -> Iterator[tuple[SparseFeature, pl.LazyFrame]]:
    """Each feature with its column, `value`.

    Each scan of a file looks at all its columns, so a scan for each column would be quadratic in them.
    """
    at_once = max(1, _VALUES_AT_ONCE // rows)
    for start in range(0, len(features), at_once):
        group = features[start : start + at_once]
        if len(group) == 1:
            # So many rows that even one column is better not held in memory.
            (feature,) = group
            yield feature, frame.select(selectors.by_name(feature.name).as_expr().alias("value"))
            continue
        held = frame.select(selectors.by_name([feature.name for feature in group])).collect(engine="streaming")
        for feature in group:
            yield feature, held.get_column(feature.name).alias("value").to_frame().lazy()


def _sparse(column: pl.LazyFrame, feature: SparseFeature, rows: int) -> SparseDescription:
    values = column.explode("value") if feature.multi_valued else column
    counts = values.group_by("value").len("count").collect(engine="streaming")
    if feature.multi_valued:
        absent = pl.col("value").is_null() | (pl.col("value").list.len() == 0)
        missing = column.select(absent.sum()).collect(engine="streaming").item()
    else:
        missing = int(counts.filter(pl.col("value").is_null())["count"].sum())
    counts = counts.drop_nulls()
    # Of equally frequent values the smallest come first.
    top = counts.sort("count", "value", descending=[True, False]).head(MOST_FREQUENT)
    total = int(counts["count"].sum())
    # As in `recnas.features.feature.table_rows`.
    shared = counts.group_by(pl.col("value") % (feature.rows - 1)).len().filter(pl.col("len") > 1)["len"].sum()
    return SparseDescription(
        feature.name,
        len(counts),
        missing / rows,
        feature.rows,
        shared / max(1, len(counts)),
        tuple((_name(feature, value), count / total) for value, count in top.iter_rows()),
    )


def _name(feature: SparseFeature, value: int) -> str:
    """The name of an id in reports: its word where it is known, else its number."""
    if value == feature.shared_id:
        return RARE
    if feature.vocabulary is not None:
        return feature.vocabulary[value]
    return feature.names.get(value) or str(value if feature.kept is None else feature.kept[value])
