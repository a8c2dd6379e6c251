"""Tables in memory, and Python values, as Polars columns; files as Arrow opens them."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa

from recnas.util.errors import InputError, first_line


def open_arrow(path: Path) -> pa.NativeFile:
    """Opens a file of just this name for Arrow, which on its own takes names for addresses and for UTF-8.

    Polars takes names for patterns, too: it is given opened files.
    """
    return pa.OSFile(os.fsencode(path))


def parts_of(folder: Path) -> list[Path]:
    """The Parquet files of a split, in their order."""
    return sorted(folder.glob("*.parquet"))


def scan(folders: Sequence[Path]) -> pl.LazyFrame:
    """The rows of some splits, one after the other, as Polars reads them."""
    # Opened here, as of a name Polars would read stars and brackets as a pattern.
    return pl.scan_parquet([path.open("rb") for folder in folders for path in parts_of(folder)])


def frame_of_arrow(rows: pa.Table | pa.RecordBatch) -> pl.DataFrame:
    """An Arrow table; raises InputError if Polars lacks the type of a column."""
    try:
        return pl.DataFrame(pl.from_arrow(rows))
    except (pa.ArrowException, pl.exceptions.PolarsError, TypeError, ValueError) as error:
        raise InputError(f"a column has a type that cannot be read ({first_line(error)}); leave it out") from None


def frame_of_pandas(table: Any, names: Sequence[str]) -> pl.DataFrame:
    """A pandas DataFrame; its columns get these names. Values of several types stay Python objects."""
    columns = []
    for place, name in enumerate(names):
        column = table.iloc[:, place]
        try:
            columns.append(pl.from_pandas(column).alias(name))
        except (pa.ArrowException, pl.exceptions.PolarsError, TypeError, ValueError, OverflowError):
            # Values of several types, or of one that Arrow has not.
            values = zip(column.tolist(), column.isna(), strict=True)
            columns.append(series_of(name, [None if missing else value for value, missing in values]))
    # In a list of columns one without a name would get one.
    return pl.DataFrame(dict(zip(names, columns, strict=True)) if "" in names else columns)


def series_of(name: str, values: list[Any]) -> pl.Series:
    """A column of Python values: of their type if they have one, else of objects."""
    values = [value.tolist() if isinstance(value, np.ndarray) else value for value in values]
    types = set(map(type, values)) - {type(None)}
    if types <= {list}:
        inner = {type(item) for value in values if value is not None for item in value} - {type(None)}
        types = {list} if types and len(inner) <= 1 and inner <= {str, int, bool, float} else types and {object}
    if types == {int, float} and all(abs(value) < 2**53 for value in values if type(value) is int):
        values = [None if value is None else float(value) for value in values]
    elif len(types) > 1 or not types <= {str, int, bool, float, list}:
        return pl.Series(name, values, dtype=pl.Object)
    try:
        return pl.Series(name, values)
    except (TypeError, ValueError, OverflowError, pl.exceptions.PolarsError):
        # Whole numbers beyond 64 bits, half of a surrogate pair.
        return pl.Series(name, values, dtype=pl.Object)
