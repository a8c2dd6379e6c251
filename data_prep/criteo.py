"""Criteo's click log (Kaggle display advertising challenge, 2014): `train.txt`, 45,840,617 rows.

A row is tab-separated, without a header: the label, 13 numbers I1 … I13 (counts, may be empty, now and then
negative), and 26 ids C1 … C26 (up to 8 hexadecimal digits, may be empty).
"""

import math
import re
from collections.abc import Iterator
from pathlib import Path

import polars as pl
from tqdm import tqdm

from data_prep.bad_rows import BadRows
from data_prep.engine import RawTable
from data_prep.text import Piece, count_byte, describe, read_pieces
from recnas.errors import InputError
from recnas.schema import SparseFeature

LABEL = "label"
DENSE = tuple(f"I{number}" for number in range(1, 14))
SPARSE = tuple(f"C{number}" for number in range(1, 27))
NUM_FIELDS = 1 + len(DENSE) + len(SPARSE)

# The published table sizes (AutoCTR, NASRec).
TABLE_ROWS = (
    1461, 584, 10131227, 2202609, 306, 25, 12518, 634, 4, 93146, 5684, 8351593, 3195,
    28, 14993, 5461307, 11, 5653, 2174, 5, 7046548, 19, 16, 286182, 106, 142573,
)  # fmt: skip

_COLUMNS = {
    LABEL: pl.Int8,
    **dict.fromkeys(DENSE, pl.Float64),
    **dict.fromkeys(SPARSE, pl.String),
}
_NUMBER = re.compile(r"-?\d+(\.\d*)?([eE]-?\d+)?", re.ASCII)
_HEX = re.compile(r"[0-9a-fA-F]{1,8}")


def read_criteo(input: Path | None, bad_rows: BadRows, progress: bool) -> RawTable:
    """The rows of `train.txt` or `train.txt.gz`.

    Raises:
        InputError: no input is given, or the file is not there; while reading, a row that does not fit.
    """
    if input is None:
        raise InputError("criteo needs --input, the train.txt of the Kaggle challenge (or train.txt.gz)")
    sparse = [SparseFeature(name, rows) for name, rows in zip(SPARSE, TABLE_ROWS, strict=True)]
    return RawTable(
        label=LABEL,
        dense=dict.fromkeys(DENSE, "log1p"),
        chunks=_chunks(input, bad_rows, progress),
        sparse=lambda: sparse,
        source=describe("criteo", [input]),
    )


def _chunks(path: Path, bad_rows: BadRows, progress: bool) -> Iterator[pl.DataFrame]:
    bar = tqdm(total=path.stat().st_size, desc="reading", unit="B", unit_scale=True, disable=None if progress else True)
    with bar:
        for piece in read_pieces(path, bar):
            chunk = _parse(piece.data, piece.num_lines)
            if chunk is None:
                good = list(_good_rows(path, piece, bad_rows))
                if not good:
                    continue
                chunk = _parse(b"".join(good), len(good))
                if chunk is None:
                    last = piece.first_line + piece.num_lines - 1
                    raise InputError(f"{path}:{piece.first_line}: lines up to {last} cannot be parsed")
            yield chunk


def _parse(data: bytes, num_lines: int) -> pl.DataFrame | None:
    """The rows of whole lines of text; None if any of them does not fit."""
    # Polars fills short rows up, which the number of tabs shows, and refuses long ones. It also takes blanks around
    # and a plus before a number.
    if count_byte(data, b"\t") != (NUM_FIELDS - 1) * num_lines or any(sign in data for sign in (b" ", b"+", b"\r")):
        return None
    try:
        rows = pl.read_csv(
            data, has_header=False, schema=_COLUMNS, separator="\t", quote_char=None, raise_if_empty=False
        ).with_columns(pl.col(SPARSE).str.to_integer(base=16, dtype=pl.UInt32))
    except pl.exceptions.ComputeError:
        return None
    fits = rows.select(
        (pl.col(LABEL).is_not_null() & pl.col(LABEL).is_in([0, 1])).all()
        & pl.all_horizontal(pl.col(DENSE).is_finite().all())
    ).item()
    return rows if fits and len(rows) == num_lines else None


def _good_rows(path: Path, piece: Piece, bad_rows: BadRows) -> Iterator[bytes]:
    """The lines that fit, one by one; the others go to `bad_rows`."""
    for number, line in piece.lines():
        if reason := _misfit(line):
            bad_rows.add(path, number, reason, line)
        else:
            yield line.encode() + b"\n"


def _misfit(line: str) -> str | None:
    """Why a line does not fit; None if it does."""
    fields = line.split("\t")
    if len(fields) != NUM_FIELDS:
        return f"{len(fields)} fields where {NUM_FIELDS} are expected"
    if fields[0] not in ("0", "1"):
        return f"the label is {fields[0]!r:.40}, it must be 0 or 1"
    for name, field in zip(DENSE, fields[1:], strict=False):
        # The pattern keeps to what Polars reads; a number beyond 1e308 would be read as infinite.
        if field and not (_NUMBER.fullmatch(field) and math.isfinite(float(field))):
            return f"{name} is {field!r:.40}, which is not a number"
    for name, field in zip(SPARSE, fields[1 + len(DENSE) :], strict=True):
        if field and not _HEX.fullmatch(field):
            return f"{name} is {field!r:.40}, which is not a hexadecimal id of up to 8 digits"
    return None
