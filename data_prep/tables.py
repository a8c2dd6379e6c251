"""A user's own table, a file after the other or in memory, in chunks of rows with columns of whatever type.

CSV, TSV, JSON lines (each packed or not) and Parquet files; pandas, Polars and Arrow tables.
"""

import json
import os
import sys
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from recnas.data_prep.csv_files import CsvFile
from recnas.data_prep.json_files import JsonFile
from recnas.data_prep.rows import Job, Rows, Table, distinct_names
from recnas.data_prep.separators import separator_of
from recnas.data_prep.text import PACKINGS, EmptyFile, check_is_file, input_files, without_packing
from recnas.features.frames import frame_of_arrow, frame_of_pandas, open_arrow
from recnas.util.console import Bar
from recnas.util.errors import InputError, first_line

CHUNK_ROWS = 65_536


def open_tables(
    input: Any, say: Callable[[str], None], quotes: bool = True, separator: str | None = None
) -> list[Table]:
    """The files of an `--input`, or the table that it is.

    Args:
        input: A file, a pattern of names, a folder; a pandas or Polars DataFrame, a Polars LazyFrame, a pyarrow Table.
        say: Told of empty files that are passed over, and of what else may part columns.
        quotes: Whether fields of delimited text may be in double quotes.
        separator: What parts the columns of delimited text; None: what its first lines suggest.

    Raises:
        InputError: It is nothing of that, all files are empty, two have different columns, or a separator is given
            for what is no delimited text.
    """
    if not isinstance(input, str | os.PathLike):
        if separator is not None:
            raise InputError("--separator is for delimited text; a table in memory has none")
        return [MemoryTable(input)]
    tables: list[Table] = []
    empty: list[EmptyFile] = []
    doubts: dict[str, str] = {}
    header: tuple[Path, list[str]] | None = None
    for path in input_files(Path(input), [f"*{suffix}" for suffix in FORMATS]):
        try:
            table = _open(path, quotes, separator)
        except EmptyFile as error:
            empty.append(error)
            continue
        tables.append(table)
        if isinstance(table, JsonFile):
            continue
        if isinstance(table, CsvFile) and table.doubt:
            doubts.setdefault(table.doubt, f"{path}: {table.doubt}")
        first, columns = header = header or (path, sorted(table.columns))
        if sorted(table.columns) != columns:
            odd = sorted(set(table.columns) ^ set(columns))
            raise InputError(f"{path}: has other columns than {first.name}, see {odd[0]}; check --input")
    if not tables:
        raise empty[0]
    for line in doubts.values():
        say(line)
    if empty:
        more = f" (and {len(empty) - 1:,} more)" if len(empty) > 1 else ""
        say(f"passed over: {str(empty[0]).partition(';')[0]}{more}")
    return tables


def _open(path: Path, quotes: bool, separator: str | None) -> "ParquetFile | JsonFile | CsvFile":
    form = FORMATS.get(without_packing(path).suffix.lower())
    if form is None or (form == "parquet" and path.suffix.lower() != ".parquet"):
        raise InputError(f"{path}: the name must end in {', '.join(FORMATS)}, text also packed ({', '.join(PACKINGS)})")
    if form in ("parquet", "json"):
        if separator is not None:
            raise InputError(f"{path}: --separator is for delimited text; a file of this kind has none")
        return JsonFile(path) if form == "json" else ParquetFile(path)
    return CsvFile(path, form if separator is None else separator_of(separator), quotes)


FORMATS = {
    ".csv": ",\t;|",
    ".tsv": "\t",
    ".txt": "\t,;|",
    ".parquet": "parquet",
    ".jsonl": "json",
    ".ndjson": "json",
    ".json": "json",
}
"""What a file's name ends in: "parquet", "json", or separators of delimited text, the likeliest first."""


class ParquetFile:
    """A Parquet file, read one batch of rows after the other."""

    unit = "row "

    def __init__(self, path: Path) -> None:
        self.path = path
        with self._reading():
            check_is_file(path)
        with self._reading(), open_arrow(path) as opened, pq.ParquetFile(opened) as file:
            self._schema, self._num_rows = file.schema_arrow, file.metadata.num_rows
        self.columns = distinct_names(path, self._schema.names)
        self.indexes = _pandas_indexes(self._schema)

    def sample(self, num_rows: int) -> Rows:
        # A batch may well be empty, as a row group may.
        batches, taken = [], 0
        for batch in self._batches(num_rows, self.columns):
            batches.append(batch.slice(0, num_rows - taken))
            taken += len(batches[-1])
            if taken == num_rows:
                break
        return _typed_rows(pa.Table.from_batches(batches, batches[0].schema if batches else self._schema), 0)()

    def jobs(self, columns: Sequence[str], bar: Bar) -> Iterator[Job]:
        size_a_row = self.path.stat().st_size / max(1, self._num_rows)
        start = 0
        for batch in self._batches(CHUNK_ROWS, columns):
            yield _typed_rows(batch, start)
            start += len(batch)
            bar.update(size_a_row * len(batch))

    def _batches(self, num_rows: int, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        with self._reading(), open_arrow(self.path) as opened, pq.ParquetFile(opened) as file:
            yield from file.iter_batches(num_rows, columns=list(columns))

    @contextmanager
    def _reading(self) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError:
            raise InputError(f"{self.path}: no such file; check --input") from None
        except (pa.ArrowInvalid, OSError) as error:
            raise InputError(f"{self.path}: is no whole Parquet file ({first_line(error)}); fetch it again") from None


class MemoryTable:
    """A pandas or Polars DataFrame, a Polars LazyFrame (it is collected) or a pyarrow Table."""

    unit = "row "

    def __init__(self, table: Any) -> None:
        self.path = Path("table")
        self.indexes: Collection[str] = ()
        pandas = sys.modules.get("pandas")
        if isinstance(table, pl.LazyFrame):
            try:
                table = table.collect(engine="streaming")
            except (pl.exceptions.PolarsError, OSError) as error:
                raise InputError(f"the LazyFrame cannot be collected ({first_line(error)}); check input") from None
        if isinstance(table, pl.DataFrame):
            names, self._slice = table.columns, table.slice
        elif isinstance(table, pa.Table):
            names = table.column_names
            self.indexes = _pandas_indexes(table.schema)
            self._slice = lambda start, rows: frame_of_arrow(table.slice(start, rows))
        elif pandas is not None and isinstance(table, pandas.DataFrame):
            names = [str(name) for name in table.columns]
            self._slice = lambda start, rows: frame_of_pandas(table.iloc[start : start + rows], names)
        else:
            what = f"{type(table).__module__}.{type(table).__qualname__}"
            raise InputError(f"input is {what}; give a file's name, a pandas or Polars DataFrame or a pyarrow Table")
        self.num_rows = len(table)
        distinct_names(self.path, list(names))

    def sample(self, num_rows: int) -> Rows:
        return _typed_rows(self._slice(0, num_rows), 0)()

    def jobs(self, columns: Sequence[str], bar: Bar) -> Iterator[Job]:
        for start in range(0, self.num_rows, CHUNK_ROWS):
            # Polars' `select` would take a name such as "*" for a pattern.
            yield _typed_rows(self._slice(start, CHUNK_ROWS)[list(columns)], start)


def _pandas_indexes(schema: pa.Schema) -> list[str]:
    """The columns that were the index of the pandas frame that was written."""
    try:
        indexes = (schema.pandas_metadata or {}).get("index_columns", [])
    except (ValueError, AttributeError):
        # Metadata that is none.
        return []
    # An index that counts is no column, but an object that says from where to where.
    return [name for name in indexes if isinstance(name, str)] if isinstance(indexes, list) else []


def _typed_rows(batch: Any, start: int) -> Job:
    def rows() -> Rows:
        frame = batch if isinstance(batch, pl.DataFrame) else frame_of_arrow(batch)
        return Rows(frame, np.arange(start + 1, start + 1 + len(frame)), lambda row: _json(frame.row(row, named=True)))

    return rows


def _json(row: dict[str, Any]) -> str:
    return json.dumps(row, ensure_ascii=False, default=str)
