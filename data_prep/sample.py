"""The first rows of a table of one or many files, by which columns are judged."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import polars as pl

from recnas.data_prep.csv_files import CsvFile
from recnas.data_prep.rows import Table
from recnas.features.frames import series_of
from recnas.util.errors import InputError

SAMPLE_ROWS = 10_000


@dataclass(frozen=True)
class Sample:
    """The first rows of a table.

    Args:
        frame: `[N]` rows, all columns.
        parts: The same rows, file by file.
        indexes: Columns that a file says are its rows' names, as pandas writes them.
        misfit: File, line and reason of the first row that could not be read, if there is one.
    """

    frame: pl.DataFrame
    parts: Sequence[pl.DataFrame]
    indexes: Collection[str] = ()
    misfit: str | None = None


def sample_of(tables: Sequence[Table], num_rows: int = SAMPLE_ROWS) -> Sample:
    """About the first rows of all tables together; files without rows do not count.

    Raises:
        InputError: No table has a row, not even a bad one.
    """
    parts: list[pl.DataFrame] = []
    misfit = None
    for table in tables:
        rows = table.sample(num_rows - sum(map(len, parts)))
        if rows.misfits and misfit is None:
            number, reason, _ = rows.misfits[0]
            misfit = f"{table.path}:{table.unit}{number}: {reason}"
        # Even of an empty one the columns are of use, if there is no other.
        if len(rows.frame) or not parts:
            parts = [*(part for part in parts if len(part)), rows.frame]
        if sum(map(len, parts)) >= num_rows:
            break
    if misfit is None and not any(map(len, parts)):
        what = "a header" if isinstance(tables[0], CsvFile) else "columns"
        others = f" (nor have the {len(tables) - 1:,} other files)" if len(tables) > 1 else ""
        raise InputError(f"{tables[0].path}: has {what} and no rows{others}; give a table with rows")
    indexes = {name for table in tables for name in table.indexes}
    return Sample(_together(parts), parts, indexes, misfit)


def _together(parts: Sequence[pl.DataFrame]) -> pl.DataFrame:
    """Rows of several frames; a column that one lacks, as JSON may, has no value there."""
    names = list(dict.fromkeys(name for part in parts for name in part.columns))
    # Not as a list of columns: one without a name would get one.
    return pl.DataFrame({name: _column(name, [part for part in parts if len(part)] or parts) for name in names})


def _column(name: str, parts: Sequence[pl.DataFrame]) -> pl.Series:
    columns = [part[name] if name in part.columns else pl.Series(name, [None] * len(part)) for part in parts]
    kinds = {column.dtype for column in columns if column.dtype != pl.Null}
    if len(kinds) > 1 or pl.Object in kinds:
        return (
            columns[0]
            if len(columns) == 1
            else series_of(name, [value for column in columns for value in column.to_list()])
        )
    kind = kinds.pop() if kinds else pl.Null
    return pl.concat([column.cast(kind) for column in columns])
