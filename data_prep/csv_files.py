"""Delimited text with a header: CSV and TSV as RFC 4180 has it, every field read as text.

A field may be in double quotes, with separators and doubled quotes in it, but no line end: a line is a row. A piece of
text is read by Polars at once; where the lines are and how many fields each has is counted with NumPy.
"""

import csv
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np
import polars as pl

from recnas.data_prep.rows import HEAD_BYTES, SAMPLE_BYTES, Job, LinesOf, Rows, distinct_names
from recnas.data_prep.separators import LINES_OF_GUESS, guessed_separator
from recnas.data_prep.text import InputSegment, count_byte, piece_bytes_of, read_pieces, without_blank_end
from recnas.util.console import Bar
from recnas.util.errors import InputError

_NEW_LINE, _QUOTE = b"\n"[0], b'"'[0]


class CsvFile:
    """A file of delimited text.

    Args:
        path: The file.
        separators: What may part two columns; which of them does is told by the first lines.
        quotes: Whether fields may be in double quotes; else a quote is a letter.

    Attributes:
        doubt: What else may part the columns, as a sentence; None: it is plain.

    Raises:
        InputError: It cannot be read, or its header is none.
    """

    unit = ""
    indexes = ()

    def __init__(self, path: Path, separators: str, quotes: bool = True) -> None:
        self.path = path
        self._quotes = quotes
        header, rest = _parted(next(read_pieces(path, Bar(), HEAD_BYTES)))
        if reason := _letter_misfit(header):
            raise InputError(f"{path}:1: {reason}; is it a text file?")
        text = header.decode()
        if not text.strip():
            raise InputError(f"{path}:1: the first line is empty; it must be the columns' names")
        lines = [line for _, line in islice(rest.lines(), LINES_OF_GUESS)]
        self._separator, self.doubt = guessed_separator(text, lines, separators, quotes)
        if not quotes:
            names = text.split(self._separator)
        elif header.count(b'"') % 2:
            raise InputError(f"{path}:1: a quote is not closed; the first line must be the columns' names")
        else:
            names = next(csv.reader([text], delimiter=self._separator))
        if names.count("") > 1:
            # Commas at a line's end, say. They get the names that pandas gives them.
            names = [name or f"Unnamed: {place}" for place, name in enumerate(names)]
        self.columns = distinct_names(path, names)

    def sample(self, num_rows: int) -> Rows:
        _, first = _parted(next(without_blank_end(read_pieces(self.path, Bar(), SAMPLE_BYTES))))
        rows = self._rows(first, self.columns)
        return replace(rows, frame=rows.frame.head(num_rows), numbers=rows.numbers[:num_rows])

    def jobs(self, columns: Sequence[str], bar: Bar) -> Iterator[Job]:
        for piece in without_blank_end(read_pieces(self.path, bar, piece_bytes_of(len(self.columns)))):
            if piece.first_line == 1:
                _, piece = _parted(piece)
            if piece.num_lines:
                yield partial(self._rows, piece, columns)

    def _rows(self, piece: InputSegment, columns: Sequence[str]) -> Rows:
        frame = self._parse(piece.data, piece.num_lines, columns) if self._is_clean(piece) else None
        if frame is not None:
            places = np.arange(piece.num_lines)
            return Rows(frame, piece.first_line + places, LinesOf(piece, places))
        reasons = self._misfits(piece)
        good, places, misfits = piece.data, np.arange(piece.num_lines), []
        if reasons:
            lines = piece.data[:-1].split(b"\n")
            places = np.delete(places, list(reasons))
            good = b"".join(lines[place] + b"\n" for place in places)
            misfits = [
                (piece.first_line + place, reason, lines[place].decode(errors="replace"))
                for place, reason in sorted(reasons.items())
            ]
        if (frame := self._parse(good, len(places), columns)) is None:
            last = piece.first_line + piece.num_lines - 1
            raise InputError(f"{self.path}:{piece.first_line}: lines up to {last} cannot be parsed; check the quotes")
        return Rows(frame, piece.first_line + places, LinesOf(piece, places), misfits)

    def _is_clean(self, piece: InputSegment) -> bool:
        """Whether no line needs a look, but for too many fields, which Polars refuses."""
        data = piece.data
        return (
            count_byte(data, self._separator.encode()) == (len(self.columns) - 1) * piece.num_lines
            and not (self._quotes and b'"' in data)
            and _letter_misfit(data) is None
        )

    def _parse(self, data: bytes, num_lines: int, columns: Sequence[str]) -> pl.DataFrame | None:
        """The columns of whole lines; None if they are not so many rows."""
        if not num_lines:
            return pl.DataFrame(schema=dict.fromkeys(columns, pl.String))
        place_of = {name: place for place, name in enumerate(self.columns)}
        try:
            frame = pl.read_csv(
                data,
                has_header=False,
                schema=dict.fromkeys(self.columns, pl.String),
                columns=[place_of[name] for name in columns],
                separator=self._separator,
                quote_char='"' if self._quotes and b'"' in data else None,
                raise_if_empty=False,
            )
        except pl.exceptions.PolarsError:
            return None
        # Polars' `select` would take a name such as "*" for a pattern.
        return frame[list(columns)] if len(frame) == num_lines else None

    def _misfits(self, piece: InputSegment) -> dict[int, str]:
        """Why lines cannot be read, by their place."""
        letters = np.frombuffer(piece.data, dtype=np.uint8)
        ends = np.flatnonzero(letters == _NEW_LINE)
        starts = np.concatenate([np.zeros(1, dtype=np.int64), ends[:-1] + 1])
        separators = letters == ord(self._separator)
        reasons: dict[int, str] = {}
        if self._quotes and b'"' in piece.data:
            quotes = letters == _QUOTE
            inside = np.bitwise_xor.accumulate(quotes)
            # A line that begins inside of quotes, because one above is not closed, is turned over.
            turned = np.concatenate([np.zeros(1, dtype=bool), inside[ends[:-1]]])
            inside ^= np.repeat(turned, ends - starts + 1)
            separators &= ~inside
            for place in np.flatnonzero(inside[ends]).tolist():
                reasons[place] = "a quote is not closed on its line"
            for place in _lines_at(ends, self._stray_quotes(letters, quotes, inside)):
                reasons.setdefault(place, "a quote is neither at the begin or end of a field nor doubled")
        before = np.concatenate([np.zeros(1, dtype=np.int64), np.searchsorted(np.flatnonzero(separators), ends)])
        num_fields = np.diff(before) + 1
        for place in np.flatnonzero(num_fields != len(self.columns)).tolist():
            wrong = f"{num_fields[place]} fields where {len(self.columns)} are expected"
            reasons.setdefault(place, wrong)
        if _letter_misfit(piece.data):
            for place, line in enumerate(piece.data[:-1].split(b"\n")):
                if reason := _letter_misfit(line):
                    reasons[place] = reason
        return reasons

    def _stray_quotes(self, letters: np.ndarray, quotes: np.ndarray, inside: np.ndarray) -> np.ndarray:
        """Where quotes open after a letter or close before one."""
        places = np.flatnonzero(quotes)
        # The text ends with a new line, so that what is before the first letter is one too.
        opening = inside[places]
        neighbours = letters[np.where(opening, places - 1, places + 1)]
        return places[~np.isin(neighbours, [_NEW_LINE, _QUOTE, ord(self._separator)])]


def _lines_at(ends: np.ndarray, places: np.ndarray) -> list[int]:
    return np.unique(np.searchsorted(ends, places)).tolist()


def _letter_misfit(data: bytes) -> str | None:
    """What text cannot have."""
    if b"\0" in data:
        return "there is a NUL byte"
    if b"\r" in data:
        return "there is a carriage return within the line"
    if not data.isascii():
        try:
            data.decode()
        except UnicodeDecodeError:
            return "the text is not UTF-8"
    return None


def _parted(piece: InputSegment) -> tuple[bytes, InputSegment]:
    """A file's header, and the piece after it."""
    header, _, rest = piece.data.partition(b"\n")
    return header, InputSegment(rest, 2, piece.num_lines - 1)
