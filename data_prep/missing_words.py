"""Words that stand for a missing value in a user's table, such as the NULL of a database's dump."""

import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import polars as pl

from recnas.data_prep.rows import unnamed
from recnas.data_prep.sample import Sample
from recnas.features.columns import as_text, read_numbers
from recnas.features.frames import series_of

if TYPE_CHECKING:
    from recnas.data_prep.roles import Roles

OF_NUMBERS = (
    *("\\N", "NULL", "Null", "null", "NA", "N/A", "n/a", "#N/A", "<NA>", "None", "none", "nan", "NaN", "NAN"),
    *("NaT", "#NULL!"),
)
"""By default among numbers. Not a dash: accounts write 0 so."""
OF_IDS = ("\\N", "NULL", "null", "<NA>", "None", "nan", "NaN")
"""By default among ids. Not NA, which is Namibia, nor none, which is an answer."""
# So many of a column's values must be numbers, and so few other words be there, to speak of words among numbers: half a
# column may well be missing.
_MOSTLY = 0.5
_FEW_WORDS = 3


@dataclass(frozen=True)
class MissingWords:
    """What stands for a missing value.

    Args:
        of_numbers: In dense columns.
        of_ids: In columns of ids and of lists.
    """

    of_numbers: tuple[str, ...] = OF_NUMBERS
    of_ids: tuple[str, ...] = OF_IDS

    @classmethod
    def given(cls, words: Iterable[str] | None) -> "MissingWords":
        """Those that the user gave, for all columns; None: the usual ones."""
        if words is None:
            return cls()
        words = tuple(dict.fromkeys(text for word in words if (text := word.strip())))
        return cls(words, words)

    def without(self, sample: Sample) -> Sample:
        """A sample without them, by which columns can be judged.

        Text in which only words of numbers stand between numbers is a column of numbers.
        """
        words = {name: self._words_of(unnamed(sample.frame[name])) for name in sample.frame.columns}
        frames = [_without(frame, words) for frame in (sample.frame, *sample.parts)]
        return replace(sample, frame=frames[0], parts=frames[1:])

    def _words_of(self, column: pl.Series) -> Sequence[str]:
        if column.dtype not in (pl.String, pl.Object):
            return ()
        values = _without_words(column, self.of_numbers).drop_nulls()
        return self.of_numbers if len(values) and read_numbers(values)[1] is None else self.of_ids

    def notes(self, frame: pl.DataFrame, roles: "Roles", inferred: bool) -> list[str]:
        """What should be known of the words in a table's first rows, a sentence each.

        Args:
            frame: The rows.
            roles: What its columns are for.
            inferred: Whether that was inferred.
        """
        words_of = dict.fromkeys(roles.dense, self.of_numbers)
        words_of |= dict.fromkeys((*roles.sparse, *roles.multi), self.of_ids)
        texts = {name: text for name in words_of if (text := _text(unnamed(frame[name]))) is not None}
        found = {name: words for name, text in texts.items() if (words := _found(text, words_of[name]))}
        counted = set().union(*found.values())
        notes = []
        if found:
            shown = "; ".join(f"{name} {', '.join(words)}" for name, words in found.items())
            notes.append(f"Words that count as missing values: {shown} (--missing names others)")

        def remedy(words: Iterable[str]) -> str:
            return shlex.join(["--missing", *sorted(counted | set(words))])

        for name in (name for name in texts if name not in roles.dense):
            if self == MissingWords() and (left := _found(texts[name], set(OF_NUMBERS) - set(OF_IDS))):
                notes.append(f"{name}: {', '.join(left)} counts as a value; {remedy(left)} makes it a missing one")
            if inferred and (odd := _words_among_numbers(texts[name], self.of_ids)):
                notes.append(f"{name}: numbers but for {', '.join(odd)}, so ids; if that is none: {remedy(odd)}")
        return notes


def _without_words(column: pl.Series, words: Sequence[str]) -> pl.Series:
    """A column of text, or of values of several types, with null for such words; any other as it is."""
    if column.dtype == pl.Object:
        rest = [None if isinstance(value, str) and value.strip() in words else value for value in column]
        return series_of(column.name, rest)
    if column.dtype != pl.String or not words:
        return column
    return column.set(column.str.strip_chars().is_in(list(words)).fill_null(False), None)


def _without(frame: pl.DataFrame, words: Mapping[str, Sequence[str]]) -> pl.DataFrame:
    columns = {name: _without_words(unnamed(frame[name]), words[name]) for name in frame.columns}
    return pl.DataFrame(columns)


def _text(column: pl.Series) -> pl.Series | None:
    """The texts of a column without blanks around them, null for what is no text; None: it holds no text."""
    if column.dtype == pl.Object:
        column = pl.Series(
            "value", [as_text(value) if isinstance(value, str) else None for value in column], dtype=pl.String
        )
    return column.str.strip_chars() if column.dtype == pl.String else None


def _found(text: pl.Series, words: Iterable[str]) -> list[str]:
    return sorted(text.filter(text.is_in(list(words)).fill_null(False)).unique())


def _words_among_numbers(text: pl.Series, missing: Sequence[str]) -> list[str]:
    """The few words without which a column would be one of numbers."""
    values = _without_words(text, ["", *missing]).drop_nulls()
    _, misfits = read_numbers(values)
    if misfits is None or misfits.sum() > (1 - _MOSTLY) * len(values):
        return []
    words = sorted(values.filter(misfits).unique())
    return words if len(words) <= _FEW_WORDS else []
