"""Which values of a user's table have an id of their own, and how large the embedding tables are."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np
import polars as pl

from recnas.data_prep.counts import ValueCounts
from recnas.data_prep.rows import unnamed
from recnas.data_prep.words import FrequentWords
from recnas.features.feature import MAX_ROWS, MISSING, SHARED, SparseFeature
from recnas.util.errors import InputError

HASH = "hash"
UNSEEN_KINDS = (SHARED, HASH, MISSING)
MOST_KNOWN = 200_000
"""Of more values than that a column is hashed unless the user says otherwise: a schema lists all that are known."""
MOST_KNOWN_IN_ALL = 1_000_000
"""The same of all columns together: a schema of 20 MB, which takes half a second to read."""
MOST_HASHED_ROWS = 10_000_000
"""Rows of all hashed tables together unless the user says otherwise: with 16 columns and Adam's state some 2 GB, which
most machines can train."""
# A value seen once teaches a row of its own nothing; those values together teach the one that they share.
_MIN_COUNTS = {SHARED: 2, MISSING: 1}

# How far the search for a table without shared rows goes: so many rows for each value, at least so many.
_ROWS_A_VALUE = 4
_FEW_ROWS = 1024
# Of more values, each row count takes too long to try, and hardly any fits unless the values are a range.
_FEW_VALUES = 2000
_CANDIDATES = 8


class KnownValues:
    """Counts the values of a table, and then says which are known: those that are frequent enough in training rows.

    Values of other rows do not count: a model that knew them would look better on them than it is.

    Args:
        features: The sparse features, of raw values.
        words: The texts of frequent values; filled while the rows are read.
        unseen: What a value that is not known becomes: one of `UNSEEN_KINDS`; None: "shared", but "hash" where there
            are too many known ones.
        min_count: In so many training rows a value is known, at the least; None: 2 where others share an id, else 1.
        max_rows: A bound on the rows of each table.
        say: Takes lines for the user.

    Raises:
        InputError: an option is out of range, or two do not go together.
    """

    def __init__(
        self,
        features: Sequence[SparseFeature],
        words: Mapping[str, FrequentWords],
        unseen: str | None,
        min_count: int | None,
        max_rows: int | None,
        say: Callable[[str], None],
    ) -> None:
        if unseen is not None and unseen not in UNSEEN_KINDS:
            raise InputError(f"--unseen {unseen}: it is one of {', '.join(UNSEEN_KINDS)}")
        if min_count is not None and min_count < 1:
            raise InputError(f"--min-count {min_count}: it must be 1 or more")
        if min_count is not None and unseen == HASH:
            raise InputError(f"--min-count is for --unseen {SHARED} or {MISSING}: a hashed value is never left out")
        least = 3 if unseen == SHARED else 2
        if max_rows is not None and not least <= max_rows <= MAX_ROWS:
            raise InputError(f"--max-rows {max_rows}: it must be from {least} to {MAX_ROWS}")
        self._features, self._words, self._say = features, words, say
        self._is_given, self._unseen = unseen is not None, unseen or SHARED
        self._min_count = _MIN_COUNTS.get(self._unseen, 1) if min_count is None else min_count
        self._max_rows = max_rows
        self._in_training = {feature.name: ValueCounts() for feature in features}
        self._elsewhere = {feature.name: ValueCounts() for feature in features}

    def add(self, chunk: pl.DataFrame, places: np.ndarray) -> None:
        """Counts the values of rows, each with its place in `SPLITS`."""
        for name in self._in_training:
            column = unnamed(chunk[name])
            for counts, rows in ((self._in_training, places == 0), (self._elsewhere, places != 0)):
                values = column.filter(rows)
                values = values.explode() if values.dtype == pl.List else values
                counts[name].add(values.drop_nulls().cast(pl.UInt32).to_numpy())

    def features(self) -> list[SparseFeature]:
        """The features with their tables, known values and words."""
        counts = {name: counts.take() for name, counts in self._in_training.items()}
        known = {name: _known(*pair, self._min_count, self._room) for name, pair in counts.items()}
        hashed = set(known) if self._unseen == HASH else set() if self._is_given else self._without_room(known)
        if hashed and self._unseen != HASH:
            self._say(
                f"hashed, as the schema lists at most {MOST_KNOWN:,} values of a column and {MOST_KNOWN_IN_ALL:,} in "
                f"all: {', '.join(sorted(hashed))}; --unseen {SHARED} lists them all the same"
            )
        self._say_shared(counts, {name: kept for name, kept in known.items() if name not in hashed})
        sizes = self._hashed_rows({name: counts[name][0] for name in counts if name in hashed})
        result = []
        for feature in self._features:
            values, numbers = counts[feature.name]
            feature = replace(feature, words=self._words[feature.name].most_frequent(values, numbers))
            if feature.name in hashed:
                result.append(replace(feature, rows=sizes[feature.name]))
            else:
                kept = tuple(known[feature.name].tolist())
                rows = max(2, len(kept) + (2 if self._unseen == SHARED else 1))
                result.append(replace(feature, rows=rows, kept=kept, unseen=self._unseen))
        return result

    @property
    def _room(self) -> int:
        """The most values that a table can have a row for, beside that of missing values and the shared one."""
        return (self._max_rows or MAX_ROWS) - (2 if self._unseen == SHARED else 1)

    def _without_room(self, known: Mapping[str, np.ndarray]) -> set[str]:
        """The features whose known values are too many: the largest first until the others fit."""
        sizes = {name: len(values) for name, values in known.items()}
        hashed = {name for name, size in sizes.items() if size > MOST_KNOWN}
        for name in sorted(sizes.keys() - hashed, key=lambda name: (-sizes[name], name)):
            if sum(size for other, size in sizes.items() if other not in hashed) <= MOST_KNOWN_IN_ALL:
                break
            hashed.add(name)
        return hashed

    def _hashed_rows(self, in_training: Mapping[str, np.ndarray]) -> dict[str, int]:
        """The rows of the tables whose ids are hashed, by their names; one line where they are cut down.

        Args:
            in_training: The values of the training rows.
        """
        most = MOST_HASHED_ROWS if self._max_rows is None else self._max_rows
        everywhere = {name: np.union1d(values, self._elsewhere[name].take()[0]) for name, values in in_training.items()}
        sizes = {name: table_rows_of(values, most) for name, values in everywhere.items()}
        if self._max_rows is None and sum(sizes.values()) > most:
            level = _level(list(sizes.values()), most)
            sizes = {
                name: size if size <= level else table_rows_of(everywhere[name], level) for name, size in sizes.items()
            }
        cut = [name for name, values in everywhere.items() if sizes[name] <= len(values)]
        if self._max_rows is None and cut:
            figures = ", ".join(f"{name} {sizes[name]:,} for {len(everywhere[name]):,} values" for name in sorted(cut))
            self._say(
                f"hashed tables have at most {most:,} rows in all, so some values share one: {figures}; --max-rows N "
                "gives each table up to N"
            )
        return sizes

    def _say_shared(self, counts: Mapping[str, tuple[np.ndarray, np.ndarray]], known: Mapping[str, np.ndarray]) -> None:
        """One line: how many values of the training rows are not known."""
        others = {name: len(counts[name][0]) - len(kept) for name, kept in known.items()}
        if not any(others.values()):
            return
        what = "share an id with those never seen" if self._unseen == SHARED else "count as missing"
        figures = (f"{name} {number:,} of {len(counts[name][0]):,}" for name, number in others.items() if number)
        self._say(f"values that are rare in training rows {what}: {', '.join(figures)}")


def _known(values: np.ndarray, counts: np.ndarray, min_count: int, room: int) -> np.ndarray:
    """The values, ascending, that occur often enough: the most frequent ones if there is no room for all."""
    frequent = counts >= min_count
    values, counts = values[frequent], counts[frequent]
    if len(values) > room:
        # Of equally frequent ones the smallest.
        values = np.sort(values[np.argsort(-counts, kind="stable")[:room]])
    return values


def _level(sizes: Sequence[int], most: int) -> int:
    """The bound on each of some sizes with which they are `most` together, or as near below as whole numbers go.

    >>> _level([3, 20, 30], 23), _level([3, 4], 100)
    (10, 100)
    """
    left = most
    for place, size in enumerate(sorted(sizes)):
        if size > (each := left // (len(sizes) - place)):
            return each
        left -= size
    return most


def table_rows_of(values: np.ndarray, most_rows: int = MAX_ROWS) -> int:
    """How many rows a table for these ids gets: row 0 is the missing value's, v mod (rows - 1) + 1 that of id v.

    With d ids it is d + 1 rows, if then no two ids share one, as is so for a range of numbers; else as few more as
    keep all ids apart, up to 4 d (1024 if that is more). Of more than 2000 ids only the range from the least to the
    greatest and some odd numbers just below 4 d are tried. If none keeps all apart, it is the one of the tried
    in which the fewest ids share a row.

    Args:
        values: `[d]` different raw values.
        most_rows: Rows at most; of more ids, some share rows.

    >>> table_rows_of(np.array([3, 4, 5])), table_rows_of(np.array([0, 6, 12]))
    (4, 6)
    """
    num_values = len(values)
    if num_values < 2:
        return 2
    if num_values >= most_rows:
        return most_rows
    most = min(most_rows - 1, max(_FEW_ROWS, _ROWS_A_VALUE * num_values))
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
