"""A column of raw values, of whatever type, as numbers, ids, lists of ids or times.

Each reader takes a column `[N]` and gives the values `[N]` with a mask `[N]` of those that do not fit (None: all fit).
Text of blanks only, null and NaN are missing values. Of a type that cannot be read, no value fits but a missing one.
"""

import math
from collections.abc import Callable, Collection, Sequence
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa

from recnas.features.feature import DenseFeature, SparseFeature
from recnas.features.raw_values import (
    WHOLE_NUMBER,
    hash_integers,
    hash_string,
    hash_text,
    id_text,
    items_of,
    list_items,
    missing_numbers,
    raw_value,
)
from recnas.util.errors import InputError

Read = tuple[pl.Series, np.ndarray | None]
Reader = Callable[[pl.Series], Read]
IdOf = Callable[..., int | None]

# Whole numbers of more digits count as strings; see `hash_text`.
_LEAST_HUGE = 10**18
_MOST_DIGITS = 20
# By so many texts it is judged which way of reading them is fast.
_FIRST = 1000
_TIMES_OF_DAY = ("%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%dT%H:%M")
_TIME_FORMATS = (_TIMES_OF_DAY[0], "%Y-%m-%d", *_TIMES_OF_DAY[1:], *(f"{form}%z" for form in _TIMES_OF_DAY))
_SECONDS_A_DAY = 86_400
_MICROSECONDS = 10**6


def read_numbers(column: pl.Series, missing: Sequence[str] = ()) -> Read:
    """Float64, null = missing; infinite numbers and other text do not fit.

    Args:
        column: of anything.
        missing: words for a missing value; see `DenseFeature`.
    """
    column = plain_column(column)
    absent = missing_numbers(missing)
    if column.dtype == pl.String:
        numbers = column.cast(pl.Float64, strict=False)
        if numbers.null_count() > column.null_count():
            column = column.str.strip_chars()
            numbers = column.cast(pl.Float64, strict=False)
        misfits = (numbers.is_null() & ~column.is_in(["", *missing])).fill_null(False)
    else:
        numbers, misfits = column.cast(pl.Float64), pl.zeros(len(column), pl.Boolean, eager=True)
    misfits |= numbers.is_infinite().fill_null(False)
    # NaN is there, and a missing value.
    numbers = numbers.fill_nan(None)
    return (numbers.set(numbers.is_in(list(absent)), None) if absent else numbers), misfit_mask(misfits)


def read_ids(column: pl.Series, missing: Collection[str] = ()) -> Read:
    """UInt32, what `recnas.features.raw_values.raw_value` gives for each value, null = missing; fractions do not fit.

    Args:
        column: of anything.
        missing: what `recnas.features.raw_values.id_text` gives for values that count as missing.
    """
    kind = column.dtype
    if kind == pl.Null:
        return column.cast(pl.UInt32), None
    if kind in (pl.Categorical, pl.Enum):
        column, kind = column.cast(pl.String), pl.String
    if kind == pl.String:
        return _ids_of_text(column, missing), None
    if kind == pl.Boolean:
        column, kind = column.cast(pl.UInt8), pl.UInt8
    if kind.is_float():
        return _ids_of_floats(column, missing)
    if kind in _INTEGERS:
        return _ids_of_integers(column, missing), None
    if kind.is_numeric() or kind == pl.Object:

        def id_of(value: Any) -> int | None:
            text = id_text(value)
            return None if text is None or text in missing else hash_text(text)

        return _ids_of_objects(column, id_of)
    return pl.Series(column.name, [None] * len(column), dtype=pl.UInt32), misfit_mask(column.is_not_null())


def read_feature(column: pl.Series, feature: DenseFeature | SparseFeature) -> Read:
    """What a feature is before it is transformed or looked up: numbers, ids, or lists of ids, null = missing.

    Ids are those of `SparseFeature.id_of`. The column's name must be no pattern, such as `^a$`.
    """
    if isinstance(feature, DenseFeature):
        return read_numbers(column, feature.missing)
    return read_lists_of(column, feature) if feature.multi_valued else read_ids_of(column, feature)


def read_ids_of(column: pl.Series, feature: SparseFeature) -> Read:
    """UInt32, what `feature.id_of` gives for each value, null = missing."""
    ids, misfits = _unkept_ids_of(column, feature)
    return (ids if feature.kept is None else places_of_kept(ids, feature)), misfits


def _unkept_ids_of(column: pl.Series, feature: SparseFeature) -> Read:
    """UInt32, what `feature.unkept_id_of` gives for each value, null = missing."""
    if feature.id_parser is None and feature.vocabulary is None:
        return read_ids(column, feature.missing_ids)
    if column.dtype in (pl.Categorical, pl.Enum):
        column = column.cast(pl.String)
    if column.dtype == pl.Object:
        return _ids_of_objects(column, feature.unkept_id_of)
    hexadecimal = (feature.id_parser or {}).get("name") == "hexadecimal"
    if column.dtype == pl.String and hexadecimal and not feature.missing:
        ids = column.str.to_integer(base=16, dtype=pl.UInt32, strict=False)
        # What was not read is missing, or does not fit; a sign would be read.
        if ids.null_count() == column.null_count() and not column.str.contains("+", literal=True).any():
            return ids % feature.id_parser["modulus"] if "modulus" in feature.id_parser else ids, None
    if column.dtype.is_nested():
        return pl.Series(column.name, [None] * len(column), dtype=pl.UInt32), misfit_mask(column.is_not_null())
    # Each different value is read once.
    distinct = column.unique()
    ids, misfits = _ids_of_objects(distinct, feature.unkept_id_of)
    places = pl.Series(np.arange(len(distinct), dtype=np.uint32))
    place = column.replace_strict(distinct, places, return_dtype=pl.UInt32).to_numpy()
    return ids.gather(place), None if misfits is None else misfits[place]


def read_lists_of(column: pl.Series, feature: SparseFeature) -> Read:
    """List(UInt32) of what `feature.id_of` gives for each item, without the missing ones; see `read_lists`."""

    def read(items: pl.Series) -> Read:
        return read_ids_of(items, feature)

    return read_lists(column, feature.separator, read, feature.id_of)


def read_lists(column: pl.Series, separator: str | None, read: Reader = read_ids, id_of: IdOf = raw_value) -> Read:
    """List(UInt32) of ids as by `read_ids`, without the missing ones; a missing list is empty, a single value is a list
    of one.

    Args:
        column: lists of anything that `read_ids` takes, or text that holds several ids; see `items_of`.
        separator: between two ids of a text that is not in brackets; None: a text is one id.
        read: how items are read, in a column.
        id_of: how a single one is read.
    """
    if column.dtype == pl.Object:
        return _lists_of_objects(column, separator, id_of)
    if column.dtype in (pl.Categorical, pl.Enum):
        column = column.cast(pl.String)
    unreadable = None
    if column.dtype == pl.String and separator is not None:
        column, unreadable = split_texts(column, separator)
    elif isinstance(column.dtype, pl.Array):
        column = column.arr.to_list()
    elif not isinstance(column.dtype, pl.List):
        column = pl.select(pl.concat_list(pl.lit(column)).alias(column.name)).to_series()
    lengths = column.list.len().fill_null(0).to_numpy().astype(np.int64)
    ids, misfits = read(column.filter(lengths > 0).explode())
    known = ids.is_not_null().to_numpy()
    ends = np.cumsum(lengths)
    lists = _regrouped(column.name, ids.drop_nulls().to_numpy(), _sums(known)[ends])
    if misfits is not None:
        sums = _sums(misfits)
        misfits = sums[ends] > sums[ends - lengths]
    if unreadable is not None:
        misfits = unreadable if misfits is None else misfits | unreadable
    return lists, misfits


def split_texts(column: pl.Series, separator: str) -> tuple[pl.Series, np.ndarray | None]:
    """Texts as lists of their items, and where one in brackets is no list that can be read."""
    text = column.str.strip_chars()
    bracketed = (text.str.starts_with("[") & text.str.ends_with("]")).fill_null(False)
    if not bracketed.any():
        return column.str.split(separator), None
    items: dict[str, list[str | None] | None] = {}
    for value in text.filter(bracketed).unique():
        try:
            items[value] = list_items(value)
        except ValueError:
            items[value] = None
    read = pl.Series([items.get(value) for value in text], dtype=pl.List(pl.String))
    split = pl.select(pl.when(bracketed).then(read).otherwise(column.str.split(separator)).alias(column.name))
    return split.to_series(), misfit_mask(bracketed & read.is_null())


def places_of_kept(column: pl.Series, feature: SparseFeature) -> pl.Series:
    """Raw values, or lists of them, as their places among the feature's kept ones; others become its shared id, or null
    or leave the list if it has none."""
    # Without the name that the user gave it: many of a Series' methods take `^a$` for a pattern.
    values = column.alias("value")
    if not isinstance(column.dtype, pl.List):
        found, unknown = feature.places(values.fill_null(0).to_numpy())
        missing = values.is_null().to_numpy()
        return pl.Series(column.name, pa.array(found, mask=missing if unknown is None else missing | unknown))
    lengths = values.list.len().fill_null(0).to_numpy().astype(np.int64)
    items = values.filter(lengths > 0).explode()
    found, unknown = feature.places(items.fill_null(0).to_numpy())
    known = items.is_not_null().to_numpy() if unknown is None else items.is_not_null().to_numpy() & ~unknown
    return _regrouped(column.name, found[known], _sums(known)[np.cumsum(lengths)])


def read_times(column: pl.Series) -> Read:
    """Float64, seconds since 1970 of dates (without a time zone: in UTC), numbers as they are; none may be missing.

    Text holds a number, or a date as ISO 8601 writes it: 2024-05-31, 2024-05-31 12:30:00, 2024-05-31T12:30:00.5+02:00.
    """
    if column.dtype == pl.Date:
        times = column.cast(pl.Int32).cast(pl.Float64) * _SECONDS_A_DAY
    elif isinstance(column.dtype, pl.Datetime):
        times = column.dt.epoch("us").cast(pl.Float64) / _MICROSECONDS
    elif (column := plain_column(column)).dtype == pl.String:
        times = _times_of_text(column.str.strip_chars())
    else:
        times = column.cast(pl.Float64)
    finite = times.is_finite().fill_null(False)
    return times.set(~finite, None), misfit_mask(~finite)


_INTEGERS = (pl.Int8, pl.Int16, pl.Int32, pl.Int64, pl.UInt8, pl.UInt16, pl.UInt32, pl.UInt64)


def plain_column(column: pl.Series) -> pl.Series:
    """A column of anything as numbers, truth values or text."""
    kind = column.dtype
    if kind == pl.Null or kind in (pl.Categorical, pl.Enum):
        return column.cast(pl.String)
    if kind == pl.Object:
        return pl.Series(column.name, [as_text(value) for value in column], dtype=pl.String)
    if kind.is_numeric() or kind in (pl.String, pl.Boolean):
        return column
    # Lists, say, are no numbers either.
    return pl.select(pl.when(pl.lit(column).is_not_null()).then(pl.lit("?")).alias(column.name)).to_series()


def as_text(value: object) -> str | None:
    """Any value as text that a column can hold; None stays None."""
    if value is None:
        return value
    text = str(int(value)) if isinstance(value, bool) else str(value)
    # Half of a surrogate pair cannot be in a column of text.
    return text.encode(errors="backslashreplace").decode()


def misfit_mask(misfits: pl.Series) -> np.ndarray | None:
    """`[N]` as a reader gives it: None where none is true."""
    return misfits.to_numpy() if misfits.any() else None


def _series(name: str, values: np.ndarray, missing: np.ndarray) -> pl.Series:
    return pl.Series(name, pa.array(values.astype(np.uint32, copy=False), mask=missing))


def _sums(mask: np.ndarray) -> np.ndarray:
    """`[N + 1]`: how many of the first n are true."""
    return np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(mask)])


def _regrouped(name: str, values: np.ndarray, ends: np.ndarray) -> pl.Series:
    """Lists of values, of which each ends where the next begins."""
    offsets = np.concatenate([np.zeros(1, dtype=np.int64), ends])
    return pl.Series(name, pa.LargeListArray.from_arrays(offsets, pa.array(values)))


def _ids_of_text(column: pl.Series, missing: Collection[str]) -> pl.Series:
    ids, present, canonical = _ids_of_digits(column, missing)
    if (other := (column != "").fill_null(False) & ~canonical).any():
        places = other.to_numpy()
        ids[places], present[places] = _ids_of_other_text(column.filter(other), missing)
    return _series(column.name, ids, ~present)


def _ids_of_digits(column: pl.Series, missing: Collection[str]) -> tuple[np.ndarray, np.ndarray, pl.Series]:
    """Ids of whole numbers, where one is there, and where the text is one."""
    whole = column.cast(pl.Int64, strict=False)
    # Text such as 007 or +7 is not what its number is written as.
    canonical = (whole.cast(pl.String) == column) & whole.is_between(-_LEAST_HUGE, _LEAST_HUGE, closed="none")
    canonical = canonical.fill_null(False)
    values = whole.fill_null(0).to_numpy()
    return hash_integers(values), canonical.to_numpy() & ~_are_numbers(values, missing), canonical


def _are_numbers(values: np.ndarray, texts: Collection[str]) -> np.ndarray:
    """Where whole numbers or floats are among those that some of the texts stand for, each as `id_text` gives it."""
    found = np.zeros(len(values), dtype=bool)
    for text in filter(WHOLE_NUMBER.fullmatch, texts):
        number = float(text)
        if values.dtype.kind != "f":
            # No column has whole numbers of more digits.
            found |= len(text) <= _MOST_DIGITS and values == int(text)
        elif math.isfinite(number) and str(int(number)) == text:
            found |= values == number
    return found


def _ids_of_other_text(texts: pl.Series, missing: Collection[str]) -> tuple[np.ndarray, np.ndarray]:
    """Ids of text that is not plain digits, and where there is one."""
    ids, present = np.zeros(len(texts), dtype=np.uint32), np.ones(len(texts), dtype=bool)
    other = present.copy()
    # `5.0` and ` 5` are read in a column if they are frequent. All else, and they too, can be read one by one.
    if _near_digits(texts.head(_FIRST)).any():
        near = np.flatnonzero(_near_digits(texts).to_numpy())
        digits = texts.gather(near).str.strip_chars().str.replace(r"\.0+$", "")
        ids[near], present[near], canonical = _ids_of_digits(digits, missing)
        other[near] = ~canonical.to_numpy()
    if other.any():
        # Each different text is read once.
        words = texts.filter(other).to_arrow().cast(pa.large_string()).dictionary_encode()
        found = [array[words.indices.to_numpy()] for array in _ids_of_words(words.dictionary, missing)]
        ids[other], present[other] = found
    return ids, present


def _near_digits(texts: pl.Series) -> pl.Series:
    """Where a text may be a whole number with a fraction of zeros, or with blanks around it."""
    # Looking for two letters is much faster than for a pattern.
    fractions = texts.str.ends_with("0") & texts.str.contains(".0", literal=True)
    return fractions | texts.str.starts_with(" ") | texts.str.ends_with(" ")


def _ids_of_words(words: pa.Array, missing: Collection[str]) -> tuple[np.ndarray, np.ndarray]:
    """Ids of different texts, one by one, and where there is one."""
    stripped = pl.Series(words).str.strip_chars()
    texts: list[str | None] = stripped.to_list()
    ids = np.array([hash_string(text) for text in texts], dtype=np.uint32)
    # Few are numbers, and `id_text` is slower than this.
    numbers = np.flatnonzero(stripped.cast(pl.Float64, strict=False).is_not_null().to_numpy())
    for place in numbers:
        texts[place] = id_text(texts[place])
        ids[place] = hash_text(texts[place])
    return ids, np.array([bool(text) and text not in missing for text in texts], dtype=bool)


def _ids_of_integers(column: pl.Series, missing: Collection[str]) -> pl.Series:
    values = column.fill_null(0).to_numpy()
    ids = hash_integers(values)
    if values.dtype.itemsize == 8:
        # Compared without a sign: the least number of all has no opposite.
        huge = values >= _LEAST_HUGE
        if values.dtype.kind == "i":
            huge |= values <= -_LEAST_HUGE
        for place in np.flatnonzero(huge):
            ids[place] = hash_text(str(values[place]))
    return _series(column.name, ids, column.is_null().to_numpy() | _are_numbers(values, missing))


def _ids_of_floats(column: pl.Series, missing: Collection[str]) -> Read:
    values = column.cast(pl.Float64).fill_null(np.nan).to_numpy()
    absent = np.isnan(values)
    fits = absent | (np.isfinite(values) & (np.trunc(values) == values))
    small = fits & (np.abs(values) < _LEAST_HUGE)
    ids = hash_integers(np.where(small, values, 0).astype(np.int64))
    for place in np.flatnonzero(fits & ~small & ~absent):
        ids[place] = hash_text(str(int(values[place])))
    absent |= ~fits | _are_numbers(values, missing)
    return _series(column.name, ids, absent), None if fits.all() else ~fits


def _ids_of_objects(column: pl.Series, id_of: IdOf = raw_value) -> Read:
    """Of values of several types, one by one."""
    read = [_id_of(value, id_of) for value in column]
    misfits = np.array([value is _UNFIT for value in read], dtype=bool)
    ids = pl.Series(column.name, [None if value is _UNFIT else value for value in read], dtype=pl.UInt32)
    return ids, misfits if misfits.any() else None


def _lists_of_objects(column: pl.Series, separator: str | None, id_of: IdOf) -> Read:
    lists, misfits = [], []
    for value in column:
        try:
            read = [_id_of(item, id_of) for item in items_of(value, separator)]
        except ValueError:
            read = [_UNFIT]
        misfits.append(_UNFIT in read)
        lists.append([item for item in read if item is not None and item is not _UNFIT])
    result = pl.Series(column.name, lists, dtype=pl.List(pl.UInt32))
    return result, np.array(misfits, dtype=bool) if any(misfits) else None


_UNFIT = object()


def _id_of(value: object, id_of: IdOf) -> object:
    try:
        return id_of(value)
    except (InputError, TypeError, ValueError):
        return _UNFIT


def _times_of_text(column: pl.Series) -> pl.Series:
    times = column.cast(pl.Float64, strict=False)
    missing = column.null_count()
    text = column.str.replace(" ", "T", literal=True)
    zoned = text.str.replace("Z$", "+0000").str.replace(r"([+-]\d\d):?(\d\d)$", "$1$2")
    for form in _TIME_FORMATS:
        # Nearly always all are of one form.
        if times.null_count() == missing:
            break
        parsed = (zoned if form.endswith("%z") else text).str.to_datetime(form, time_unit="us", strict=False)
        seconds = parsed.dt.replace_time_zone(None).dt.epoch("us").cast(pl.Float64) / _MICROSECONDS
        times = pl.select(pl.coalesce(pl.lit(times), pl.lit(seconds)).alias(column.name)).to_series()
    return times
