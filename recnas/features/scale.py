"""Dense features far out of scale, which ruin a training: told before one begins. Needs no torch."""

from __future__ import annotations

from pathlib import Path

from polars import selectors

from recnas.features.frames import scan
from recnas.features.schema import Schema

LARGE = 1e6
"""A training copes with no value of this size."""


def far_out(data: Path, schema: Schema) -> list[str]:
    """A line for each dense feature without a transform whose training rows have values of `LARGE` size.

    Columns with a transform are not read.

    Args:
        data: The data set's folder.
        schema: Its own.
    """
    plain = [feature.name for feature in schema.dense if feature.transform["name"] == "none"]
    if not plain:
        return []
    sizes = scan([data / "train"]).select(selectors.by_name(plain).abs().max()).collect().row(0, named=True)
    return [
        f"{name} has values up to {size:.3g} and no transform, which a training does not cope with; prepare it with "
        f"--dense {name}:standardize"
        for name, size in sizes.items()
        if size is not None and size >= LARGE
    ]
