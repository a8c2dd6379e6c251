"""A user's own table → a data set: columns by name or by what is in them, ids hashed, tables as large as needed."""

import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from recnas.data_prep.bad_rows import BadRows
from recnas.data_prep.engine import RawTable
from recnas.data_prep.known_values import MOST_KNOWN, UNSEEN_KINDS, KnownValues
from recnas.data_prep.labels import Labels
from recnas.data_prep.like import Unseen, as_read, roles_like
from recnas.data_prep.list_text import SEPARATOR, list_notes
from recnas.data_prep.missing_words import MissingWords
from recnas.data_prep.pipeline import ahead
from recnas.data_prep.recipe import Option, recipe
from recnas.data_prep.roles import TRANSFORMS, Named, Plan, Roles, plan_roles
from recnas.data_prep.rows import Job, Misfit, Rows, Table, unnamed
from recnas.data_prep.sample import sample_of
from recnas.data_prep.tables import MemoryTable, open_tables
from recnas.data_prep.text import describe
from recnas.data_prep.words import FrequentWords, frequent_words
from recnas.features.columns import Reader, read_feature, read_times
from recnas.features.encoding import column_of, wanted_of
from recnas.features.feature import DenseFeature, SparseFeature
from recnas.features.schema import Schema
from recnas.util.console import BYTES, Console
from recnas.util.errors import InputError, first_line
from recnas.util.printable import printable

__all__ = ["TRANSFORMS", "read_tabular"]


@recipe(
    "your own table: --input a .csv, .tsv, .jsonl (or .gz, .zst, .zip of them) or .parquet, a folder or a pattern",
    "recnas prepare tabular --input clicks.csv --output data/clicks --label click --dense price age:log1p "
    "--sparse user item --time when --split time",
    {
        "label": Option("column of 0 and 1, or of two values such as no and yes; if not given, of a usual name"),
        "positive": Option(
            "the label's values that are a click; all others are none then", several=True, metavar="VALUE"
        ),
        "dense": Option("columns of numbers, NAME or NAME:TRANSFORM", several=True),
        "sparse": Option("columns of ids, strings or whole numbers, which are hashed", several=True),
        "multi": Option("columns of lists of ids; without all three, features are inferred", several=True),
        "time": Option("column of numbers or dates for --split time; no feature of itself"),
        "transform": Option(
            "of dense columns without their own: log(1 + x), mean 0 and deviation 1 (the default), or none",
            choices=TRANSFORMS,
        ),
        "multi_separator": Option(
            "between two ids of a list that is text (default: |); lists in brackets need none", metavar="TEXT"
        ),
        "missing": Option(
            "words for a missing value; if not given, \\N, NULL, None, nan and, among numbers, NA and its like",
            several=True,
            metavar="WORD",
        ),
        "unseen": Option(
            "what values are that training rows do not have, or but rarely: in a row that they share (the default, "
            f"up to {MOST_KNOWN:,} known values a column), in the row of a hash that is others' too, or missing",
            choices=UNSEEN_KINDS,
        ),
        "min_count": Option(
            "a value with fewer training rows is not known; see --unseen (default: 2, of missing 1)", int
        ),
        "max_rows": Option("most rows of an embedding table; the most frequent values have their own", int),
        "no_quotes": Option("a double quote in the text is a letter", bool),
        "separator": Option(
            "between columns of delimited text, a letter or tab (default: told by the first lines)", metavar="TEXT"
        ),
        "confirm": Option("is given the inferred columns as text and raises InputError to stop", flag=False),
    },
    tables=True,
    beside_like=("time", "no_quotes", "separator", "confirm"),
)
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
    multi_separator: str | None = None,
    missing: Sequence[str] | None = None,
    unseen: str | None = None,
    min_count: int | None = None,
    max_rows: int | None = None,
    no_quotes: bool = False,
    separator: str | None = None,
    confirm: Callable[[str], None] | None = None,
    like: Schema | None = None,
) -> RawTable:
    """The rows of a table of the user's own.

    Ids are what `recnas.features.raw_values.raw_value` makes of each value, so that serving can do the same.

    Args:
        input: What `recnas.data_prep.tables.open_tables` takes.
        bad_rows: Takes rows that do not fit.
        progress: Show progress, and which role each column was inferred to have.
        label: The column of labels: 0 and 1, false and true, or two values of which one is plainly a click.
        positive: The label's values that are a click; all others but missing ones are none then.
        dense: The columns of numbers, NAME or NAME:TRANSFORM.
        sparse: The columns of ids: strings or whole numbers.
        multi: The columns of lists of ids.
        time: The column by which `--split time` goes; no feature unless it is named as one, too.
        transform: "log1p", "standardize" or "none", of dense columns without their own.
        multi_separator: Between two ids of a list that is text; None: `|`, unless the first rows speak against it.
        missing: Words for a missing value of a feature; None: the usual ones (`recnas.data_prep.missing_words`).
        unseen, min_count, max_rows: As `recnas.data_prep.known_values.KnownValues` has them.
        no_quotes: A double quote in delimited text is a letter.
        separator: What parts the columns of delimited text; None: what its first lines suggest.
        like: A data set's that these rows are prepared like; only the options about reading go with it.
        confirm: Given the inferred roles as text, raises InputError if they will not do; None: they will.

    Raises:
        InputError: The input cannot be read, columns cannot be found out; while reading, a row that does not fit.
    """
    if input is None:
        raise InputError("tabular needs --input, a .csv, .tsv, .parquet or .jsonl file, a folder of them or a pattern")
    if multi_separator == "":
        raise InputError("--multi-separator is empty; give the text between two ids of a list")
    notes: list[str] = []
    tables = open_tables(input, notes.append, not no_quotes, separator)
    if like is not None:
        for line in notes:
            Console(progress).say(line)
        return _read_like(tables, like, time, bad_rows, progress)
    listed = [None if given is None else _names(given) for given in (positive, dense, sparse, multi)]
    named = Named(label, *listed, time, transform)
    words_for_missing = MissingWords.given(None if missing is None else _names(missing))
    sample = sample_of(tables)
    seen = words_for_missing.without(sample)
    plan = plan_roles(seen, named, bad_rows.skips)
    roles, labels = plan.roles, Labels(plan.roles.rule)
    plan.notes[:0] = notes + words_for_missing.notes(sample.frame, roles, plan.inferred)
    if multi_separator is None:
        multi_separator = SEPARATOR
        plan.notes += list_notes(seen.frame, named.multi or (), roles.sparse if named.sparse is None else ())
    _show(plan, progress, confirm)
    lists = {"pooling": "mean", "multi_valued": True, "separator": multi_separator}
    features = [SparseFeature(name, rows=2, missing=words_for_missing.of_ids) for name in roles.sparse]
    features += [SparseFeature(name, rows=2, missing=words_for_missing.of_ids, **lists) for name in roles.multi]
    numbers = [DenseFeature(name, {"name": "none"}, missing=words_for_missing.of_numbers) for name in roles.dense]
    reader = _Reader(roles, labels, [*numbers, *features])
    words = {feature.name: FrequentWords() for feature in features}
    known = KnownValues(features, words, unseen, min_count, max_rows, Console(progress).say)
    return RawTable(
        label=roles.label,
        dense=dict(roles.dense),
        raw={feature.name: {"missing": feature.missing} for feature in numbers},
        chunks=_chunks(tables, reader, words, bad_rows, progress),
        sparse=features,
        source=_source(tables),
        files=_files(tables),
        measured=known,
        time=reader.time_name,
        summaries=(labels,),
        positive=roles.rule.positive,
    )


def _read_like(tables: Sequence[Table], like: Schema, time: str | None, bad_rows: BadRows, progress: bool) -> RawTable:
    """The rows of a table with the columns and features of another data set."""
    sample = sample_of(tables).frame
    roles = roles_like(like, sample, time)
    labels = Labels(roles.rule)
    reader = _Reader(roles, labels, [*like.dense, *map(as_read, like.sparse)])
    if absent := [name for name in reader.wanted if name not in sample.columns]:
        raise InputError(f"{tables[0].path}: there is no column {absent[0]!r}; there are {', '.join(sample.columns)}")
    return RawTable(
        label=like.label,
        dense=dict(roles.dense),
        chunks=_chunks(tables, reader, {}, bad_rows, progress),
        sparse=like.sparse,
        source=_source(tables),
        files=_files(tables),
        time=reader.time_name,
        summaries=(labels, Unseen(like.sparse)),
        like=like,
        positive=like.positive,
    )


def _source(tables: Sequence[Table]) -> dict[str, Any]:
    first = tables[0]
    if isinstance(first, MemoryTable):
        return {"name": "table", "rows": first.num_rows}
    return describe("tabular", _files(tables))


def _files(tables: Sequence[Table]) -> list[Path]:
    return [table.path for table in tables if not isinstance(table, MemoryTable)]


def _names(given: Sequence[str]) -> Sequence[str]:
    return (given,) if isinstance(given, str) else given


def _show(plan: Plan, progress: bool, confirm: Callable[[str], None] | None) -> None:
    if plan.inferred and confirm is not None:
        confirm(str(plan))
    elif progress and (plan.inferred or plan.notes):
        print(printable(str(plan)), file=sys.stderr)


class _Reader:
    """Turns rows as they come into rows of a data set.

    Args:
        roles: What each column is for.
        labels: Reads the label.
        features: All features, of raw values.

    Attributes:
        labels: What reads the label, and knows what it read.
        time_name: The column of times in the rows that it gives; it has no feature's name.
    """

    def __init__(self, roles: Roles, labels: Labels, features: Sequence[DenseFeature | SparseFeature]) -> None:
        self.labels = labels
        self._label = roles.label
        self.time_name = roles.time
        while self.time_name in (roles.label, *roles.dense, *roles.sparse, *roles.multi):
            self.time_name = f"{self.time_name} as time"
        # For each column of the result: where from, how it is read, what it should have been.
        self._columns: list[tuple[str, str, Reader, str]] = [
            (roles.label, roles.label, labels.read, labels.rule.wanted)
        ]
        self._columns += [
            (feature.name, column_of(feature), partial(read_feature, feature=feature), wanted_of(feature))
            for feature in features
        ]
        if roles.time is not None:
            wanted = "a time: a number, or a date such as 2024-05-31 12:30:00"
            self._columns.append((self.time_name, roles.time, read_times, wanted))
        self._optional = self.time_name if roles.time_is_guessed else None
        self._worded = [feature for feature in features if isinstance(feature, SparseFeature) and not feature.words]
        self.wanted = list(dict.fromkeys(source for _, source, _, _ in self._columns))

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
            feature.name: frequent_words(unnamed(rows.frame[column_of(feature)]), feature.separator)
            for feature in self._worded
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
            raise InputError(f"{table.path}: cannot be read ({first_line(error)}); check --input") from None

    size = sum(table.path.stat().st_size for table in tables if table.path.exists())
    with Console(progress).bar(size, "reading", BYTES) as bar:
        parts = ((table, job) for table in tables for job in table.jobs(reader.wanted, bar))
        for table, found in ahead(read, parts):
            for number, reason, text in found.misfits:
                bad_rows.add(table.path, f"{table.unit}{number}", reason, text)
            for name, seen in words.items():
                seen.add(found.words[name])
            if len(found.chunk):
                yield found.chunk
    reader.labels.check()
