"""A description of a data set: counts, click rates and what to know of each feature before training."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import polars as pl
from polars import selectors

from recnas.data.dataset import Dataset
from recnas.data.scanning import columns_of
from recnas.features.description import DenseDescription, Description, SparseDescription
from recnas.features.feature import DenseFeature, SparseFeature
from recnas.features.frames import scan
from recnas.features.schema import RAW_NUMBERS_SINCE, SPLITS
from recnas.util.errors import InputError

MOST_FREQUENT = 3
"""Values of a sparse feature that are named."""
RARE = "(rare or unseen)"
"""What stands for the values that share an id."""


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
        _dense(frame, schema.dense, schema.version < RAW_NUMBERS_SINCE),
        tuple(_sparse(column, feature, rows) for feature, column in columns_of(frame, schema.sparse, rows)),
    )


def _dense(frame: pl.LazyFrame, features: Sequence[DenseFeature], transformed: bool) -> tuple[DenseDescription, ...]:
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
        "missing": value.is_null().mean(),
    }
    each = [figure.name.prefix(f"{name} ") for name, figure in figures.items()]
    found = frame.select(each).collect(engine="streaming").row(0, named=True)
    return tuple(
        DenseDescription(
            feature.name,
            feature.transform["name"],
            **{
                name: None if name == "missing" and transformed else _without_chance(found[f"{name} {feature.name}"])
                for name in figures
            },
        )
        for feature in features
    )


def _without_chance(figure: float | None) -> float | None:
    """A figure without the digits that depend on the order in which the threads' parts of a sum were added."""
    return figure if figure is None else float(f"{figure:.12g}")


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
