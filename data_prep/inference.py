"""The role of a column that nobody named, judged by its name, a sample of its values and the clicks beside them."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from recnas.data_prep.list_text import are_in_brackets
from recnas.data_prep.names import is_time_name, said_by_name
from recnas.data_prep.rows import unnamed
from recnas.data_prep.sample import Sample
from recnas.data_prep.signal import told_by_clicks
from recnas.features.columns import Reader, as_text, read_numbers, read_times
from recnas.features.frames import series_of

LEFT_OUT = "left out"
TIME_NAMES = ("time", "timestamp", "date", "datetime")
FEW_VALUES = 20
# Of fewer rows, all may well differ by chance.
_MIN_ROWS_OF_ROW_ID = 100
_MIN_ROWS_OF_INDEX = 20
# So many equal pairs are to be expected of numbers drawn at random; if there is none, they were counted.
_EXPECTED_PAIRS = 5
_EXAMPLES = 3
# Text like 05201 is no number.
_PADDED = r"^\s*[+-]?0\d"
# So few words among numbers do not make a column one of words without a doubt.
_ODD_SHARE = 0.1
# A float does not tell whole numbers from here on apart.
_EXACT = 2.0**53
# Seconds, milliseconds, microseconds and nanoseconds since 1970 of the years 2001 to 2033.
_EPOCHS = tuple((1e9 * unit, 2e9 * unit) for unit in (1, 1e3, 1e6, 1e9))
# Ten years from 2010 on, say.
_FEW_YEARS = 1.3
_PANDAS_INDEX = re.compile(r"__index_level_\d+__")
_UNNAMED = re.compile(r"|Unnamed: \d+(\.\d+)*|_unnamed_?\d*", re.IGNORECASE)


@dataclass(frozen=True)
class Judgement:
    """What a column is taken for.

    Args:
        role: "dense", "sparse", "multi", "time" or `LEFT_OUT`.
        why: In a few words.
        unsure: Whether neither name nor values tell that it is ids; ids cost little.
    """

    role: str
    why: str
    unsure: bool = False


def judge(sample: Sample, name: str, time: str | None, labels: pl.Series) -> Judgement:
    """The role of a column.

    Args:
        sample: The table's first rows.
        name: The column.
        time: The column of times, if there is one.
        labels: `[N]` of the sample's rows, 0 or 1, null where there is none.
    """
    column = unnamed(sample.frame[name])
    num_rows = len(column)
    if nested := _nested(column):
        return Judgement(LEFT_OUT, nested)
    if column.dtype in (pl.List, pl.Array) or (column.dtype == pl.Object and _holds(column, list | tuple)):
        return Judgement("multi", "lists")
    if column.dtype == pl.Object:
        column = pl.Series("value", [as_text(value) for value in column], dtype=pl.String)
    elif column.dtype != pl.Null and not (column.dtype.is_numeric() or column.dtype in _OTHER_TYPES):
        return Judgement(LEFT_OUT, f"holds {column.dtype}, which cannot be a feature")
    there = _there(column)
    values = column.filter(there)
    if not len(values):
        return Judgement(LEFT_OUT, f"no value in {num_rows:,} rows")
    different = values.unique(maintain_order=True)
    seen = ", ".join(str(value)[:20] for value in different.head(_EXAMPLES)) + " …" * (len(different) > _EXAMPLES)
    if len(different) == 1 and len(values) == num_rows:
        return Judgement(LEFT_OUT, f"always {seen}")
    if values.dtype == pl.String and are_in_brackets(values):
        return Judgement("multi", f"lists, as text in brackets: {seen}")
    kind = _number_kind(different)
    index = row_index(sample, name)
    # A date is one even where pandas had it for an index.
    may_be_time = name and (index is None or kind is None or is_time_name(name))
    if may_be_time and _is_time(name, different, kind, len(values)):
        if time is not None:
            return Judgement(LEFT_OUT, f"another time: {seen}")
        return Judgement("time", f"for --split time, no feature: {seen}")
    if index is not None:
        remedy = "take it in with --dense or --sparse" if name else "to take it in, name it in the header"
        return Judgement(LEFT_OUT, f"{index}: {seen}; {remedy}")
    if kind == "fractions":
        return Judgement("dense", f"numbers: {seen}")
    what = f"{len(different):,} different {'whole numbers' if kind else 'values'}: {seen}"
    unsure = False
    if kind == "whole" and len(different) > FEW_VALUES:
        told, by = _told(name, _numbers(values).to_numpy(), labels.filter(there))
        if told == "quantities":
            return Judgement("dense", f"{what}, quantities {by}")
        what, unsure = f"{what}, ids {by}", told is None
    elif kind is None and len(different) > FEW_VALUES and (odd := _odd_among_numbers(values)) is not None:
        what, unsure = f"{what}, ids as {odd[:20]!r} is no number", True
    if len(different) == num_rows >= _MIN_ROWS_OF_ROW_ID:
        return Judgement(LEFT_OUT, f"no two of {num_rows:,} are equal: {seen}")
    return Judgement("sparse", what, unsure)


def row_index(sample: Sample, name: str) -> str | None:
    """Why a column looks like a row's index, which tells where a row stood and nothing that a new one has; or None."""
    if name in sample.indexes or _PANDAS_INDEX.fullmatch(name):
        return "a row's index, as pandas writes it"
    if _UNNAMED.fullmatch(name):
        return "without a name, as a row's index is written"
    # In each of several files rows may be counted anew.
    parts = [part[name] for part in sample.parts if len(part) >= _MIN_ROWS_OF_INDEX and name in part.columns]
    if _is_counted(sample.frame[name]) or (len(parts) > 1 and all(map(_is_counted, parts))):
        return "a row's index, whole numbers that never repeat"
    return None


def _is_counted(column: pl.Series) -> bool:
    """Whether whole numbers never repeat, and either are in order or so close that random ones would repeat."""
    size = len(column)
    if size < _MIN_ROWS_OF_INDEX or not (column.dtype.is_numeric() or column.dtype == pl.String):
        return False
    column = unnamed(column)
    if column.null_count() or column.n_unique() < size or _number_kind(column) != "whole":
        return False
    numbers = _numbers(column).to_numpy()
    steps = np.diff(numbers)
    pairs = size**2 / 2 / (numbers.max() - numbers.min() + 1)
    return bool((steps > 0).all() or (steps < 0).all() or pairs >= _EXPECTED_PAIRS)


def _told(name: str, numbers: np.ndarray, labels: pl.Series) -> tuple[str | None, str]:
    """Whether whole numbers are "ids" or "quantities", and what says so; None: nothing does, or not all the same."""
    by_name = said_by_name(name)
    if by_name == "ids":
        return by_name, "by name"
    if np.abs(numbers).max() >= _EXACT:
        return "ids", "by their size"
    there = labels.is_not_null().to_numpy()
    by_clicks = told_by_clicks(numbers[there], labels.drop_nulls().to_numpy())
    if by_name is None:
        return by_clicks, "by their clicks" if by_clicks else "for want of a sign"
    return (None, "by their clicks, though not by name") if by_clicks == "ids" else (by_name, "by name")


_OTHER_TYPES = (pl.String, pl.Boolean, pl.Categorical, pl.Enum, pl.Date, pl.Datetime)


def _nested(column: pl.Series) -> str | None:
    """Why values that hold others can be no feature; None: they can, or are none such."""
    kind = column.dtype
    if kind == pl.Object:
        if _holds(column, Mapping):
            return "objects, which cannot be a feature"
        if not _holds(column, list | tuple):
            return None
        items = series_of("value", [item for value in column if isinstance(value, list | tuple) for item in value])
    elif kind in (pl.List, pl.Array):
        items = unnamed(column.explode())
    else:
        return "objects, which cannot be a feature" if kind == pl.Struct else None
    if items.dtype.is_nested() or (items.dtype == pl.Object and _holds(items, Mapping | list | tuple)):
        return "lists of lists or objects, which cannot be a feature"
    items = items.drop_nulls()
    if items.dtype.is_float() and not (items == items.floor()).all():
        return "lists of numbers with fractions, which cannot be a feature"
    if items.dtype == pl.Object or items.dtype.is_numeric() or items.dtype in (*_ID_TYPES, pl.Null):
        return None
    return f"lists of {items.dtype}, which cannot be a feature"


_ID_TYPES = (pl.String, pl.Boolean, pl.Categorical, pl.Enum)


def _holds(column: pl.Series, types: Any) -> bool:
    """Whether most objects of a column are of a type; a few are bad rows."""
    values = [value for value in column if value is not None]
    return 2 * sum(isinstance(value, types) for value in values) > len(values)


def _there(column: pl.Series) -> pl.Series:
    """Which values are not missing."""
    if column.dtype.is_float():
        return column.is_not_nan().fill_null(False)
    return (column != "").fill_null(False) if column.dtype == pl.String else column.is_not_null()


def _numbers(values: pl.Series) -> pl.Series:
    """Values that are whole numbers, of whatever type, as Float64."""
    return read_numbers(values)[0]


def _number_kind(values: pl.Series) -> str | None:
    """Whether values are "whole" numbers, some have "fractions", or they are none (None)."""
    kind = values.dtype
    if kind.is_integer():
        return "whole"
    if kind == pl.String:
        if values.str.contains(_PADDED).any() or not _reads(read_numbers, values):
            return None
    elif not kind.is_numeric():
        return None
    numbers = _numbers(values)
    return "whole" if (numbers == numbers.floor()).all() else "fractions"


def _odd_among_numbers(values: pl.Series) -> str | None:
    """The first text that is no number, of a column where nearly all are."""
    if values.dtype != pl.String or values.str.contains(_PADDED).any():
        return None
    _, misfits = read_numbers(values)
    few = misfits is not None and misfits.mean() <= _ODD_SHARE
    return values[int(np.flatnonzero(misfits)[0])] if few else None


def _is_time(name: str, values: pl.Series, kind: str | None, num_rows: int) -> bool:
    """Whether different values, of so many rows, are times."""
    if values.dtype.is_temporal():
        return True
    if not (values.dtype == pl.String or values.dtype.is_numeric()):
        return False
    if kind:
        if name.lower() in TIME_NAMES:
            return True
        numbers = _numbers(values)
        least, most = numbers.min(), numbers.max()
        if not any(first <= least and most < last for first, last in _EPOCHS):
            return False
        # Whatever their name, numbers that hardly repeat are not spread over all years as ids of so many digits are.
        hardly_repeat = 2 * len(values) > num_rows >= _MIN_ROWS_OF_ROW_ID
        return is_time_name(name) or (kind == "whole" and hardly_repeat and most < _FEW_YEARS * least)
    # Text such as 05201 could be read as a number.
    return not values.cast(pl.Float64, strict=False).is_not_null().any() and _reads(read_times, values)


def _reads(read: Reader, values: pl.Series) -> bool:
    return read(values)[1] is None
