"""What is in a data set: counts, click rates and, for each feature, what a person wants to know before training."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import polars as pl

from recnas.data.dataset import Dataset
from recnas.schema import SPLITS, SparseFeature

MOST_FREQUENT = 3
"""Values of a sparse feature that are named."""


@dataclass(frozen=True)
class DenseDescription:
    """A dense feature as the model gets it, over all splits.

    Attributes:
        name: Its column.
        transform: What made it: `log1p` or `standardize`.
        minimum, mean, maximum, deviation: Of the transformed values.
        zero: Share of rows with 0, which a missing value becomes, too.
    """

    name: str
    transform: str
    minimum: float
    mean: float
    maximum: float
    deviation: float
    zero: float


@dataclass(frozen=True)
class SparseDescription:
    """A sparse feature, over all splits.

    Attributes:
        name: Its column.
        distinct: Different values.
        missing: Share of rows without a value.
        table_rows: Rows of its embedding table.
        collisions: Share of the different values that have to share their table row with another one.
        most_frequent: The most frequent values with their share of all values; words where there is a vocabulary.
    """

    name: str
    distinct: int
    missing: float
    table_rows: int
    collisions: float
    most_frequent: tuple[tuple[str, float], ...]


@dataclass(frozen=True)
class Description:
    """What `describe` found; `str` of it is a table for a terminal.

    Attributes:
        rows: Rows of each split.
        click_rate: Share of rows with label 1 of each split.
        dense: Each dense feature.
        sparse: Each sparse feature.
    """

    rows: dict[str, int]
    click_rate: dict[str, float]
    dense: tuple[DenseDescription, ...]
    sparse: tuple[SparseDescription, ...]

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    def __str__(self) -> str:
        lines = [f"{split:<11} {self.rows[split]:>13,} rows  {self.click_rate[split]:>7.2%} clicks" for split in SPLITS]
        width = max(len(item.name) for item in (*self.dense, *self.sparse))
        if self.dense:
            lines += [
                "",
                f"{'dense':<{width}} {'transform':>12} {'min':>9} {'mean':>9} {'max':>9} {'std':>9} {'zero':>7}",
            ]
            lines += [
                f"{item.name:<{width}} {item.transform:>12} {item.minimum:>9.3g} {item.mean:>9.3g} "
                f"{item.maximum:>9.3g} {item.deviation:>9.3g} {item.zero:>7.1%}"
                for item in self.dense
            ]
        lines += [
            "",
            f"{'sparse':<{width}} {'distinct':>12} {'missing':>8} {'table rows':>12} {'collisions':>10}  most frequent",
        ]
        for item in self.sparse:
            frequent = ", ".join(f"{value} {share:.1%}" for value, share in item.most_frequent)
            lines.append(
                f"{item.name:<{width}} {item.distinct:>12,} {item.missing:>8.1%} {item.table_rows:>12,} "
                f"{item.collisions:>10.1%}  {frequent}"
            )
        return "\n".join(lines)


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
        value = pl.col(feature.name)
        figures = frame.select(
            minimum=value.min(),
            mean=value.cast(pl.Float64).mean(),
            maximum=value.max(),
            deviation=value.cast(pl.Float64).std(),
            zero=(value == 0).mean(),
        ).collect(engine="streaming")
        dense.append(DenseDescription(feature.name, feature.transform["name"], **figures.row(0, named=True)))
    return Description(
        {split: dataset.rows(split) for split in SPLITS},
        {split: schema.positive_rate(split) for split in SPLITS},
        tuple(dense),
        tuple(_sparse(frame, feature, rows) for feature in schema.sparse),
    )


def _sparse(frame: pl.LazyFrame, feature: SparseFeature, rows: int) -> SparseDescription:
    column = frame.select(value=pl.col(feature.name))
    absent = pl.col("value").is_null()
    if feature.multi_valued:
        absent = absent | (pl.col("value").list.len() == 0)
    missing = column.select(absent.sum()).collect(engine="streaming").item()
    values = column.explode("value") if feature.multi_valued else column
    counts = values.drop_nulls().group_by("value").len("count").collect(engine="streaming")
    # Of equally frequent values the smallest come first.
    top = counts.sort("count", "value", descending=[True, False]).head(MOST_FREQUENT)
    total = int(counts["count"].sum())
    words = feature.vocabulary
    # As in `recnas.schema.table_rows`.
    shared = counts.group_by(pl.col("value") % (feature.rows - 1)).len().filter(pl.col("len") > 1)["len"].sum()
    return SparseDescription(
        feature.name,
        len(counts),
        missing / rows,
        feature.rows,
        shared / max(1, len(counts)),
        tuple((str(value) if words is None else words[value], count / total) for value, count in top.iter_rows()),
    )
