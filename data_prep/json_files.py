"""JSON lines: an object a line, of which a key is a column; a key that is not there is a missing value.

Arrow reads a piece of text at once if each column keeps to the type that it has in the first rows; it is strict. Any
other piece is read line by line, so that a column may well have values of several types.
"""

import io
import json
import re
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json as pj

from recnas.data_prep.rows import HEAD_BYTES, SAMPLE_BYTES, Job, LinesOf, Misfit, Rows
from recnas.data_prep.text import InputSegment, read_pieces, without_blank_end
from recnas.features.frames import series_of
from recnas.util.console import Bar

# Greater whole numbers are not exact as floats.
_EXACT = 2**53
# Half of a surrogate pair, which is no letter.
_HALF, _ESCAPED_HALF = re.compile("[\ud800-\udfff]"), re.compile(rb"\\u[dD][89a-fA-F]")
# A column without a value may become one of text.
_TYPES = {
    pl.Null: pa.string(),
    pl.String: pa.string(),
    pl.Int64: pa.int64(),
    pl.Float64: pa.float64(),
    pl.Boolean: pa.bool_(),
}


class JsonFile:
    """A file of JSON lines.

    Args:
        path: The file.

    Raises:
        InputError: It cannot be read.
    """

    unit = ""
    indexes = ()

    def __init__(self, path: Path) -> None:
        self.path = path
        self._first_piece(HEAD_BYTES)

    def sample(self, num_rows: int) -> Rows:
        piece = self._first_piece(SAMPLE_BYTES)
        rows, places, misfits = _objects(piece)
        columns = list(dict.fromkeys(key for row in rows[:num_rows] for key in row))
        return Rows(
            _frame(rows[:num_rows], columns),
            piece.first_line + places[:num_rows],
            LinesOf(piece, places),
            misfits,
        )

    def jobs(self, columns: Sequence[str], bar: Bar) -> Iterator[Job]:
        schema = _arrow_schema(_frame(_objects(self._first_piece(HEAD_BYTES))[0], columns))
        for piece in without_blank_end(read_pieces(self.path, bar)):
            yield partial(_rows, piece, columns, schema)

    def _first_piece(self, num_bytes: int) -> InputSegment:
        return next(without_blank_end(read_pieces(self.path, Bar(), num_bytes)), InputSegment(b"", 1, 0))


def _rows(piece: InputSegment, columns: Sequence[str], schema: pa.Schema | None) -> Rows:
    if schema is not None and (frame := _read_at_once(piece, schema)) is not None:
        places = np.arange(piece.num_lines)
        return Rows(frame, piece.first_line + places, LinesOf(piece, places))
    rows, places, misfits = _objects(piece)
    return Rows(_frame(rows, columns), piece.first_line + places, LinesOf(piece, places), misfits)


def _objects(piece: InputSegment) -> tuple[list[dict[str, Any]], np.ndarray, list[Misfit]]:
    """The objects of a piece, the place of each one's line, and the lines that are none."""
    rows, places, misfits = [], [], []
    for place, line in enumerate(piece.data.split(b"\n")[:-1]):
        try:
            row = json.loads(line.decode())
        except (ValueError, RecursionError):
            row = None
        if not isinstance(row, dict):
            reason = "the line is not a JSON object"
        elif any(map(_HALF.search, row)):
            reason = "a key has half of a surrogate pair, so it is no text"
        else:
            rows.append(row)
            places.append(place)
            continue
        misfits.append((piece.first_line + place, reason, line.decode(errors="replace")))
    return rows, np.array(places, dtype=np.int64), misfits


def _frame(rows: list[dict[str, Any]], columns: Sequence[str]) -> pl.DataFrame:
    # Not as a list of columns: one without a name would get one.
    return pl.DataFrame({name: series_of(name, [row.get(name) for row in rows]) for name in columns})


def _arrow_schema(frame: pl.DataFrame) -> pa.Schema | None:
    """The columns' types; None if one has no type of its own."""
    fields = []
    for name, kind in frame.schema.items():
        inner = kind.inner if isinstance(kind, pl.List) else kind
        if inner not in _TYPES:
            return None
        fields.append((name, pa.list_(_TYPES[inner]) if isinstance(kind, pl.List) else _TYPES[inner]))
    return pa.schema(fields)


def _read_at_once(piece: InputSegment, schema: pa.Schema) -> pl.DataFrame | None:
    """The rows of a piece; None if a line is no object of these types."""
    data = piece.data
    # Arrow does not look at keys that nobody wants.
    if _ESCAPED_HALF.search(data):
        return None
    letters = np.frombuffer(data, dtype=np.uint8)
    ends = np.flatnonzero(letters == ord("\n"))
    # Arrow does not care where lines end. If each has a begin and an end, as many objects as lines are one in each.
    if letters[0] != ord("{") or (letters[ends[:-1] + 1] != ord("{")).any() or (letters[ends - 1] != ord("}")).any():
        return None
    try:
        data.decode()
        table = pj.read_json(
            io.BytesIO(data),
            read_options=pj.ReadOptions(use_threads=False, block_size=len(data) + 1),
            parse_options=pj.ParseOptions(explicit_schema=schema, unexpected_field_behavior="ignore"),
        )
    except (pa.ArrowInvalid, UnicodeDecodeError):
        return None
    # Whole numbers that a float cannot hold, in a column of floats, are left to the slow way.
    floats = [column for column in map(_flat, table.columns) if pa.types.is_floating(column.type)]
    exact = all(pc.all(pc.less(pc.abs(column), _EXACT)).as_py() is not False for column in floats)
    return pl.DataFrame(pl.from_arrow(table)) if exact and len(table) == piece.num_lines else None


def _flat(column: pa.ChunkedArray) -> pa.ChunkedArray:
    return pc.list_flatten(column) if pa.types.is_list(column.type) else column
