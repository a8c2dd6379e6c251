"""A user's own table → a data set: columns by name or by what is in them, ids hashed, tables as large as needed."""

import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import polars as pl

from data_prep.bad_rows import BadRows
from data_prep.counts import ValueCounts
from data_prep.engine import RawTable
from data_prep.pipeline import ahead
from data_prep.roles import SAMPLE_ROWS, TRANSFORMS, Plan, Roles, plan_roles
from data_prep.rows import Job, Misfit, Rows, Table, unnamed
from data_prep.tables import MemoryTable, open_tables
from data_prep.text import describe
from recnas.console import BYTES, Console
from recnas.errors import InputError
from recnas.schema import MAX_ROWS, SparseFeature
from recnas.values import Reader, read_ids, read_labels, read_lists, read_numbers, read_times

__all__ = ["TRANSFORMS", "read_tabular", "table_rows_of"]

# How far the search for a table without shared rows goes: so many rows for each value, at least so many.
_ROWS_A_VALUE = 4
_FEW_ROWS = 1024
# Of more values, each row count takes too long to try, and hardly any fits unless the values are a range.
_FEW_VALUES = 2000
_CANDIDATES = 8


def read_tabular(
    input: Any,
    bad_rows: BadRows,
    progress: bool,
    label: str | None = None,
    dense: Sequence[str] | None = None,
    sparse: Sequence[str] | None = None,
    multi: Sequence[str] | None = None,
    time: str | None = None,
    transform: str = "standardize",
    multi_separator: str = "|",
    min_count: int = 1,
    max_rows: int | None = None,
    no_quotes: bool = False,
    confirm: Callable[[str], None] | None = None,
) -> RawTable:
    """The rows of a table of the user's own.

    Ids are what `recnas.schema.raw_value` makes of each value, so that serving can do the same.

    Args:
        input: What `data_prep.tables.open_tables` takes.
        bad_rows: Takes rows that do not fit.
        progress: Show progress, and which role each column was inferred to have.
        label: The column of labels: 0 and 1, or true and false.
        dense: The columns of numbers, NAME or NAME:TRANSFORM.
        sparse: The columns of ids: strings or whole numbers.
        multi: The columns of lists of ids.
        time: The column by which `--split time` goes; no feature unless it is named as one, too.
        transform: "log1p", "standardize" or "none", of dense columns without their own.
        multi_separator: Between two ids of a list that is text.
        min_count: Values that occur fewer times in all rows count as missing.
        max_rows: A bound on the rows of each table.
        no_quotes: A double quote in delimited text is a letter.
        confirm: Given the inferred roles as text, raises InputError if they will not do; None: they will.

    Raises:
        InputError: The input cannot be read, columns cannot be found out; while reading, a row that does not fit.
    """
    if input is None:
        raise InputError("tabular needs --input, a .csv, .tsv, .parquet or .jsonl file, a folder of them or a pattern")
    if min_count < 1:
        raise InputError(f"--min-count {min_count}: it must be 1 or more")
    if max_rows is not None and not 2 <= max_rows <= MAX_ROWS:
        raise InputError(f"--max-rows {max_rows}: it must be from 2 to {MAX_ROWS}")
    if not multi_separator:
        raise InputError("--multi-separator is empty; give the text between two ids of a list")
    tables = open_tables(input, quotes=not no_quotes)
    names = [None if given is None else _names(given) for given in (dense, sparse, multi)]
    plan = plan_roles(tables[0].sample(SAMPLE_ROWS), label, *names, time, transform)
    if plan.inferred:
        _show(plan, progress, confirm)
    reader = _Reader(plan.roles, multi_separator)
    counts = {name: ValueCounts() for name in (*plan.roles.sparse, *plan.roles.multi)}

    def feature(name: str, **options: Any) -> SparseFeature:
        if name in plan.roles.multi:
            options |= {"pooling": "mean", "multi_valued": True, "separator": multi_separator}
        return SparseFeature(name, **options)

    def measured() -> list[SparseFeature]:
        return [feature(name, **_size(*counts[name].take(), min_count, max_rows)) for name in counts]

    first = tables[0]
    if isinstance(first, MemoryTable):
        source: dict[str, Any] = {"name": "table", "rows": first.num_rows}
    else:
        source = describe("tabular", [table.path for table in tables])
    return RawTable(
        label=plan.roles.label,
        dense=dict(plan.roles.dense),
        chunks=_chunks(tables, reader, counts, bad_rows, progress),
        sparse=[feature(name, rows=2) for name in counts],
        source=source,
        measured=measured,
        time=reader.time_name,
    )


def _names(given: Sequence[str]) -> Sequence[str]:
    return (given,) if isinstance(given, str) else given


def _show(plan: Plan, progress: bool, confirm: Callable[[str], None] | None) -> None:
    if confirm is not None:
        confirm(str(plan))
    elif progress:
        print(plan, file=sys.stderr)


class _Reader:
    """Turns rows as they come into rows of a data set.

    Args:
        roles: What each column is for.
        separator: Between two ids of a list that is text.

    Attributes:
        time_name: The column of times in the rows that it gives; it has no feature's name.
    """

    def __init__(self, roles: Roles, separator: str) -> None:
        self.time_name = roles.time
        while self.time_name in (roles.label, *roles.dense, *roles.sparse, *roles.multi):
            self.time_name = f"{self.time_name} as time"

        def lists(column: pl.Series) -> Any:
            return read_lists(column, separator)

        # For each column of the result: where from, how it is read, what it should have been.
        self._columns: list[tuple[str, str, Reader, str]] = [(roles.label, roles.label, read_labels, "0 or 1")]
        self._columns += [(name, name, read_numbers, "a finite number") for name in roles.dense]
        self._columns += [(name, name, read_ids, "an id: a string or a whole number") for name in roles.sparse]
        self._columns += [(name, name, lists, "a list of strings or whole numbers") for name in roles.multi]
        if roles.time is not None:
            wanted = "a time: a number, or a date such as 2024-05-31 12:30:00"
            self._columns.append((self.time_name, roles.time, read_times, wanted))
        self._optional = self.time_name if roles.time_is_guessed else None
        self.wanted = roles.columns

    def __call__(self, rows: Rows) -> tuple[pl.DataFrame, list[Misfit]]:
        """The good rows, and all that do not fit."""
        columns: list[pl.Series] = []
        reasons: dict[int, str] = {}
        for name, source, read, wanted in self._columns:
            given = unnamed(rows.frame[source])
            values, misfits = read(given)
            columns.append(values.alias(name))
            if misfits is None or name == self._optional:
                continue
            for row in np.flatnonzero(misfits).tolist():
                reasons.setdefault(row, f"{source} is {_shown(given[row])}, which is not {wanted}")
        chunk = pl.DataFrame(columns)
        found = list(rows.misfits)
        if reasons:
            fits = np.ones(len(chunk), dtype=bool)
            fits[list(reasons)] = False
            chunk = chunk.filter(fits)
            found += [(int(rows.numbers[row]), reason, rows.text(row)) for row, reason in reasons.items()]
        return chunk, sorted(found)


def _shown(value: Any) -> str:
    if isinstance(value, pl.Series):
        value = value.to_list()
    return "missing" if value is None or value == "" or value != value else f"{value!r:.40}"


def _chunks(
    tables: Sequence[Table], reader: _Reader, counts: dict[str, ValueCounts], bad_rows: BadRows, progress: bool
) -> Iterator[pl.DataFrame]:
    """The good rows of all tables in order, with the ids in them counted."""

    def read(part: tuple[Table, Job]) -> tuple[Table, pl.DataFrame, list[Misfit]]:
        table, job = part
        try:
            return table, *reader(job())
        except pl.exceptions.PolarsError as error:
            raise InputError(f"{table.path}: cannot be read ({str(error).splitlines()[0]}); check --input") from None

    size = sum(table.path.stat().st_size for table in tables if table.path.exists())
    with Console(progress).bar(size, "reading", BYTES) as bar:
        parts = ((table, job) for table in tables for job in table.jobs(reader.wanted, bar))
        for table, chunk, misfits in ahead(read, parts):
            for number, reason, text in misfits:
                bad_rows.add(table.path, f"{table.unit}{number}", reason, text)
            for name, count in counts.items():
                values = unnamed(chunk[name])
                count.add((values.explode() if values.dtype == pl.List else values).drop_nulls().to_numpy())
            if len(chunk):
                yield chunk


def _size(values: np.ndarray, counts: np.ndarray, min_count: int, max_rows: int | None) -> dict[str, Any]:
    """Table rows, and the values that are kept if some are not."""
    bound = max_rows or MAX_ROWS
    if min_count > 1:
        kept = tuple(values[counts >= min_count].tolist())
        return {"rows": min(bound, max(2, len(kept) + 1)), "kept": kept}
    return {"rows": min(bound, table_rows_of(values))}


def table_rows_of(values: np.ndarray) -> int:
    """How many rows a table for these ids gets: row 0 is the missing value's, v mod (rows - 1) + 1 that of id v.

    With d ids it is d + 1 rows, if then no two ids share one, as is so for a range of numbers; else as few more as
    keep all ids apart, up to 4 d (1024 if that is more). Of more than 2000 ids only the range from the least to the
    greatest and some odd numbers just below 4 d are tried. If none keeps all apart, it is the one of the tried
    in which the fewest ids share a row.

    Args:
        values: `[d]` different raw values.

    >>> table_rows_of(np.array([3, 4, 5])), table_rows_of(np.array([0, 6, 12]))
    (4, 6)
    """
    num_values = len(values)
    if num_values < 2:
        return 2
    most = min(MAX_ROWS - 1, max(_FEW_ROWS, _ROWS_A_VALUE * num_values))
    candidates: Sequence[int] = range(num_values, most + 1)
    if num_values > _FEW_VALUES:
        width = int(values.max()) - int(values.min()) + 1
        largest_odd = most - 1 + most % 2
        candidates = [num_values, *range(largest_odd - 2 * (_CANDIDATES - 1), largest_odd + 1, 2)]
        if width <= most:
            candidates.insert(1, width)
    best, fewest = num_values, num_values
    for modulus in candidates:
        taken = np.zeros(modulus, dtype=bool)
        taken[values % values.dtype.type(modulus)] = True
        shared = num_values - int(np.count_nonzero(taken))
        if shared < fewest:
            best, fewest = modulus, shared
        if not shared:
            break
    return best + 1
