"""Many columns of a data set, one after the other, in few scans of its files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import polars as pl
from polars import selectors

from recnas.features.feature import SparseFeature

VALUES_AT_ONCE = 1 << 22
"""Values of sparse features that are held in memory, 16 MB: of a wide table many columns are read in one go."""


def columns_of(
    frame: pl.LazyFrame, features: Sequence[SparseFeature], rows: int
) -> Iterator[tuple[SparseFeature, pl.LazyFrame]]:
    """Each feature with its column, `value`.

    Each scan of a file looks at all its columns, so a scan for each column would be quadratic in them.

    Args:
        frame: The rows.
        features: The data set's own.
        rows: How many rows there are.
    """
    at_once = max(1, VALUES_AT_ONCE // rows)
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
