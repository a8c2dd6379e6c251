"""Rows of a user's table on their way, and what a table is."""

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
import polars as pl

from recnas.data_prep.text import InputSegment
from recnas.util.console import Bar
from recnas.util.errors import InputError

# Enough for a sample of usual rows.
SAMPLE_BYTES = 4 << 20
# Enough for what must be known of each of many files.
HEAD_BYTES = 64 << 10

Misfit = tuple[int, str, str]
"""Number, reason and text of a row that does not fit."""


@dataclass(frozen=True)
class Rows:
    """Rows as they come.

    Args:
        frame: `[N]` rows.
        numbers: `[N]`, by which each row is named: its line in a text file, its number from 1 elsewhere.
        text: The row of a place in `frame` as it is set aside.
        misfits: Rows that could not be read at all.
    """

    frame: pl.DataFrame
    numbers: np.ndarray
    text: Callable[[int], str]
    misfits: list[Misfit] = field(default_factory=list)


Job = Callable[[], Rows]


class Table(Protocol):
    """A table, or one file of it."""

    path: Path
    """Its name in messages."""
    unit: str
    """What stands before a row's number in messages."""
    indexes: Collection[str]
    """Columns that are said to be the rows' names, as pandas writes them."""

    def sample(self, num_rows: int) -> Rows:
        """About the first rows, all columns."""

    def jobs(self, columns: Sequence[str], bar: Bar) -> Iterator[Job]:
        """Functions that give the next rows each, of at least these columns; any thread may call them.

        Args:
            columns: What is wanted.
            bar: Told how many bytes were read.
        """


class LinesOf:
    """The text of lines of a piece.

    Args:
        piece: The lines.
        places: `[N]`, which of them.
    """

    def __init__(self, piece: InputSegment, places: np.ndarray) -> None:
        self._piece, self._places = piece, places
        self._lines: list[bytes] | None = None

    def __call__(self, row: int) -> str:
        if self._lines is None:
            self._lines = self._piece.data[:-1].split(b"\n")
        return self._lines[self._places[row]].decode(errors="replace")


def distinct_names(path: Path, names: list[str]) -> list[str]:
    """The names of columns; raises InputError if one is there twice."""
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise InputError(f"{path}: the column {name!r} is there twice; rename one")
        seen.add(name)
    return names


def unnamed(column: pl.Series) -> pl.Series:
    """The column without the name that the user gave it: many of a Series' methods take `^a$` for a pattern."""
    return column.alias("value")
