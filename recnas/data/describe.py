"""Looks at a data set: counts, click rates and, for each feature, what a person wants to know before training."""

from __future__ import annotations

from pathlib import Path

import polars as pl
from polars import selectors

from recnas.data.dataset import Dataset
from recnas.description import DenseDescription, Description, SparseDescription
from recnas.schema import SPLITS, SparseFeature

MOST_FREQUENT = 3
"""Values of a sparse feature that are named."""
RARE = "(rare or unseen)"
"""What stands for the values that share an id."""


def describe(path: str | Path) -> Description:
    """Looks at every row of a data set once, a feature at a time.

    Memory grows with the number of different values of one feature (about 20 bytes each), not with the rows.

    Args:
        path: The data set's folder.

    Raises:
        InputError: There is no data set, or it does not fit its schema.

    Example:
        >>> print(describe("data/criteo"))
    """
    dataset = Dataset(path)
    schema = dataset.schema
    frame = pl.concat([pl.scan_parquet(sorted((dataset.path / split).glob("*.parquet"))) for split in SPLITS])
    rows = sum(dataset.rows(split) for split in SPLITS)
    dense = []
    for feature in schema.dense:
        value = _column(feature.name)
        figures = frame.select(
            minimum=value.min(),
            mean=value.cast(pl.Float64).mean(),
            maximum=value.max(),
            deviation=value.cast(pl.Float64).std(),
            zero_or_missing=(value == 0).mean(),
        ).collect(engine="streaming")
        dense.append(DenseDescription(feature.name, feature.transform["name"], **figures.row(0, named=True)))
    return Description(
        {split: dataset.rows(split) for split in SPLITS},
        {split: schema.positive_rate(split) for split in SPLITS},
        tuple(dense),
        tuple(_sparse(frame, feature, rows) for feature in schema.sparse),
    )


def _column(name: str) -> pl.Expr:
    """The column of just this name: `pl.col` takes one such as "*" for a pattern."""
    return selectors.by_name(name).as_expr()


def _sparse(frame: pl.LazyFrame, feature: SparseFeature, rows: int) -> SparseDescription:
    column = frame.select(value=_column(feature.name))
    absent = pl.col("value").is_null()
    if feature.multi_valued:
        absent = absent | (pl.col("value").list.len() == 0)
    missing = column.select(absent.sum()).collect(engine="streaming").item()
    values = column.explode("value") if feature.multi_valued else column
    counts = values.drop_nulls().group_by("value").len("count").collect(engine="streaming")
    # Of equally frequent values the smallest come first.
    top = counts.sort("count", "value", descending=[True, False]).head(MOST_FREQUENT)
    total = int(counts["count"].sum())
    # As in `recnas.schema.table_rows`.
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
    """What stands for an id on disk before a person: its word where it is known, else its number."""
    if value == feature.shared_id:
        return RARE
    if feature.vocabulary is not None:
        return feature.vocabulary[value]
    return feature.names.get(value) or str(value if feature.kept is None else feature.kept[value])
