"""The texts of a column's most frequent values, found while the rows go by, in bounded memory."""

from collections import Counter
from contextlib import suppress
from typing import Any

import numpy as np
import polars as pl

from recnas.features.columns import split_texts
from recnas.features.raw_values import id_text, items_of, raw_value

WORDS = 20
"""Values of a feature whose words are kept."""
_LONGEST = 100
# Of each chunk so many are looked at; beyond so many in all, the less frequent half goes.
_OF_A_CHUNK = 64
_CANDIDATES = 4096


class FrequentWords:
    """Candidates for the most frequent values: those that are frequent in any chunk of rows."""

    def __init__(self) -> None:
        self._seen: Counter[str] = Counter()

    def add(self, words: Counter[str]) -> None:
        """Takes in the frequent words of a chunk."""
        self._seen.update(words)
        if len(self._seen) > _CANDIDATES:
            self._seen = Counter(dict(_most_common(self._seen, _CANDIDATES // 2)))

    def most_frequent(self, values: np.ndarray, counts: np.ndarray) -> tuple[str, ...]:
        """The words of the most frequent of these values that occur more than once, each value's once.

        Args:
            values: `[d]` different raw values, ascending.
            counts: `[d]`, how often each is there.
        """
        found: dict[int, str] = {}
        for word, _ in _most_common(self._seen, len(self._seen)):
            found.setdefault(raw_value(word), word)
        raw = np.array(list(found), dtype=values.dtype)
        places = np.minimum(np.searchsorted(values, raw), max(0, len(values) - 1))
        known = [int(place) for place, value in zip(places, raw, strict=True) if len(values) and values[place] == value]
        known = [place for place in known if counts[place] > 1]
        known.sort(key=lambda place: (-counts[place], place))
        return tuple(found[int(values[place])] for place in known[:WORDS])


def frequent_words(column: pl.Series, separator: str | None = None) -> Counter[str]:
    """The most frequent values of a chunk's column as words, with how often each is there.

    Args:
        column: Raw values of any type, or lists of them.
        separator: Between two values of a list that is text; None: text is one value.
    """
    if isinstance(column.dtype, pl.Array):
        column = column.arr.to_list()
    elif column.dtype == pl.String and separator is not None:
        column, _ = split_texts(column, separator)
    if isinstance(column.dtype, pl.List):
        column = column.explode()
    counted: Any = Counter()
    if column.dtype == pl.Object:
        for value in column:
            with suppress(ValueError):
                counted.update(filter(_is_plain, items_of(value, separator)))
        counted = counted.items()
    elif not column.dtype.is_nested():
        counts = pl.DataFrame([column.alias("value")]).drop_nulls().group_by("value").len("count")
        if len(counts) > _OF_A_CHUNK:
            counts = counts.filter(pl.col("count") > 1)
        # Of equally frequent ones always the same.
        counted = counts.sort("count", "value", descending=[True, False]).head(_OF_A_CHUNK).rows()
    words: Counter[str] = Counter()
    for value, count in counted:
        word = _word(value)
        if word is not None:
            words[word] += count
    return Counter(dict(_most_common(words, _OF_A_CHUNK)))


def _is_plain(value: object) -> bool:
    return isinstance(value, str | int | float)


def _most_common(words: Counter[str], number: int) -> list[tuple[str, int]]:
    """As `Counter.most_common`, but of equally frequent words always the same ones."""
    return sorted(words.items(), key=lambda item: (-item[1], item[0]))[:number]


def _word(value: Any) -> str | None:
    """A value as a person writes it: 5.0 is 5. None: it is missing, no id or too long."""
    try:
        text = id_text(value)
        # Half of a surrogate pair has no hash.
        return None if text is None or raw_value(text) is None or len(text) > _LONGEST else text
    except (TypeError, ValueError):
        return None
