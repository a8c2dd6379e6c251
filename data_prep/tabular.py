"""A user's own table → a data set: columns by name or by what is in them, ids hashed, tables as large as needed."""

import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from data_prep.bad_rows import BadRows
from data_prep.engine import RawTable
from data_prep.known_values import KnownValues
from data_prep.labels import Labels
from data_prep.pipeline import ahead
from data_prep.roles import TRANSFORMS, Named, Plan, Roles, plan_roles
from data_prep.rows import Job, Misfit, Rows, Table, unnamed
from data_prep.sample import sample_of
from data_prep.tables import MemoryTable, open_tables
from data_prep.text import describe
from data_prep.words import FrequentWords, frequent_words
from recnas.console import BYTES, Console
from recnas.errors import InputError
from recnas.schema import SparseFeature
from recnas.values import Reader, read_ids, read_lists, read_numbers, read_times

__all__ = ["TRANSFORMS", "read_tabular"]


def read_tabular(
    input: Any,
    bad_rows: BadRows,
    progress: bool,
    label: str | None = None,
    positive: Sequence[str] | None = None,
    dense: Sequence[str] | None = None,
    sparse: Sequence[str] | None = None,
    multi: Sequence[str] | None = None,
    time: str | None = None,
    transform: str = "standardize",
    multi_separator: str = "|",
    unseen: str | None = None,
    min_count: int | None = None,
    max_rows: int | None = None,
    no_quotes: bool = False,
    separator: str | None = None,
    confirm: Callable[[str], None] | None = None,
) -> RawTable:
    """The rows of a table of the user's own.

    Ids are what `recnas.schema.raw_value` makes of each value, so that serving can do the same.

    Args:
        input: What `data_prep.tables.open_tables` takes.
        bad_rows: Takes rows that do not fit.
        progress: Show progress, and which role each column was inferred to have.
        label: The column of labels: 0 and 1, false and true, or two values of which one is plainly a click.
        positive: The label's values that are a click; all others but missing ones are none then.
        dense: The columns of numbers, NAME or NAME:TRANSFORM.
        sparse: The columns of ids: strings or whole numbers.
        multi: The columns of lists of ids.
        time: The column by which `--split time` goes; no feature unless it is named as one, too.
        transform: "log1p", "standardize" or "none", of dense columns without their own.
        multi_separator: Between two ids of a list that is text.
        unseen, min_count, max_rows: As `data_prep.known_values.KnownValues` has them.
        no_quotes: A double quote in delimited text is a letter.
        separator: What parts the columns of delimited text; None: what its first lines suggest.
        confirm: Given the inferred roles as text, raises InputError if they will not do; None: they will.

    Raises:
        InputError: The input cannot be read, columns cannot be found out; while reading, a row that does not fit.
    """
    if input is None:
        raise InputError("tabular needs --input, a .csv, .tsv, .parquet or .jsonl file, a folder of them or a pattern")
    if not multi_separator:
        raise InputError("--multi-separator is empty; give the text between two ids of a list")
    notes: list[str] = []
    tables = open_tables(input, notes.append, not no_quotes, separator)
    lists = [None if given is None else _names(given) for given in (positive, dense, sparse, multi)]
    plan = plan_roles(sample_of(tables), Named(label, *lists, time, transform), bad_rows.skips)
    plan.notes[:0] = notes
    _show(plan, progress, confirm)
    labels = Labels(plan.roles.rule)
    reader = _Reader(plan.roles, labels, multi_separator)
    words = {name: FrequentWords() for name in (*plan.roles.sparse, *plan.roles.multi)}

    def feature(name: str, **options: Any) -> SparseFeature:
        if name in plan.roles.multi:
            options |= {"pooling": "mean", "multi_valued": True, "separator": multi_separator}
        return SparseFeature(name, **options)

    sparse = [feature(name, rows=2) for name in words]
    known = KnownValues(sparse, words, unseen, min_count, max_rows, Console(progress).say)
    first = tables[0]
    if isinstance(first, MemoryTable):
        source: dict[str, Any] = {"name": "table", "rows": first.num_rows}
    else:
        source = describe("tabular", [table.path for table in tables])
    return RawTable(
        label=plan.roles.label,
        dense=dict(plan.roles.dense),
        chunks=_chunks(tables, reader, words, bad_rows, progress),
        sparse=sparse,
        source=source,
        measured=known,
        time=reader.time_name,
        summary=labels,
        positive=plan.roles.rule.positive,
    )


def _names(given: Sequence[str]) -> Sequence[str]:
    return (given,) if isinstance(given, str) else given


def _show(plan: Plan, progress: bool, confirm: Callable[[str], None] | None) -> None:
    if plan.inferred and confirm is not None:
        confirm(str(plan))
    elif progress and (plan.inferred or plan.notes):
        print(plan, file=sys.stderr)


class _Reader:
    """Turns rows as they come into rows of a data set.

    Args:
        roles: What each column is for.
        labels: Reads the label.
        separator: Between two ids of a list that is text.

    Attributes:
        labels: What reads the label, and knows what it read.
        time_name: The column of times in the rows that it gives; it has no feature's name.
    """

    def __init__(self, roles: Roles, labels: Labels, separator: str) -> None:
        self.labels = labels
        self._label = roles.label
        self.time_name = roles.time
        while self.time_name in (roles.label, *roles.dense, *roles.sparse, *roles.multi):
            self.time_name = f"{self.time_name} as time"

        def lists(column: pl.Series) -> Any:
            return read_lists(column, separator)

        # For each column of the result: where from, how it is read, what it should have been.
        self._columns: list[tuple[str, str, Reader, str]] = [
            (roles.label, roles.label, labels.read, labels.rule.wanted)
        ]
        self._columns += [(name, name, read_numbers, "a finite number") for name in roles.dense]
        self._columns += [(name, name, read_ids, "an id: a string or a whole number") for name in roles.sparse]
        self._columns += [(name, name, lists, "a list of strings or whole numbers") for name in roles.multi]
        if roles.time is not None:
            wanted = "a time: a number, or a date such as 2024-05-31 12:30:00"
            self._columns.append((self.time_name, roles.time, read_times, wanted))
        self._optional = self.time_name if roles.time_is_guessed else None
        self._separators = dict.fromkeys(roles.sparse) | dict.fromkeys(roles.multi, separator)
        self.wanted = roles.columns

    def __call__(self, rows: Rows) -> "_Read":
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
        given = unnamed(rows.frame[self._label])
        found = list(rows.misfits)
        if reasons:
            fits = np.ones(len(chunk), dtype=bool)
            fits[list(reasons)] = False
            chunk, given = chunk.filter(fits), given.filter(fits)
            found += [(int(rows.numbers[row]), reason, rows.text(row)) for row, reason in reasons.items()]
        self.labels.count(given)
        words = {
            name: frequent_words(unnamed(rows.frame[name]), separator) for name, separator in self._separators.items()
        }
        return _Read(chunk, sorted(found), words)


class _Read(NamedTuple):
    """What a reader made of some rows.

    Args:
        chunk: The good rows.
        misfits: All that do not fit.
        words: Of each column of ids the words of the frequent ones.
    """

    chunk: pl.DataFrame
    misfits: list[Misfit]
    words: dict[str, Counter[str]]


def _shown(value: Any) -> str:
    if isinstance(value, pl.Series):
        value = value.to_list()
    return "missing" if value is None or value == "" or value != value else f"{value!r:.40}"


def _chunks(
    tables: Sequence[Table], reader: _Reader, words: dict[str, FrequentWords], bad_rows: BadRows, progress: bool
) -> Iterator[pl.DataFrame]:
    """The good rows of all tables in order, with the words of frequent ids noted."""

    def read(part: tuple[Table, Job]) -> tuple[Table, _Read]:
        table, job = part
        try:
            return table, reader(job())
        except pl.exceptions.PolarsError as error:
            raise InputError(f"{table.path}: cannot be read ({str(error).splitlines()[0]}); check --input") from None

    size = sum(table.path.stat().st_size for table in tables if table.path.exists())
    with Console(progress).bar(size, "reading", BYTES) as bar:
        parts = ((table, job) for table in tables for job in table.jobs(reader.wanted, bar))
        for table, found in ahead(read, parts):
            for number, reason, text in found.misfits:
                bad_rows.add(table.path, f"{table.unit}{number}", reason, text)
            for name, seen in found.words.items():
                words[name].add(seen)
            if len(found.chunk):
                yield found.chunk
    reader.labels.check()
