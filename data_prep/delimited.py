"""Logs as delimited text of a fixed form: which columns, what each may hold, and how it is read.

A piece of text is read by Polars at once. Only when it has a row that does not fit are its lines looked at one by one,
to name the row or set it aside.
"""

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Protocol

import polars as pl

from recnas.data_prep.bad_rows import BadRows
from recnas.data_prep.pipeline import ahead
from recnas.data_prep.spread import Misfit, Read, read_spread
from recnas.data_prep.text import InputSegment, count_byte, read_pieces
from recnas.util.console import BYTES, Bar, Console
from recnas.util.errors import InputError


class Kind(Protocol):
    """What a column may hold."""

    dtype: Any
    """As what Polars reads it."""

    def fits(self, column: pl.Expr) -> pl.Expr:
        """Whether a value that was read is one of this kind."""

    def read(self, column: pl.Expr) -> pl.Expr:
        """The value as a data set holds it."""

    def misfit(self, text: str) -> str | None:
        """What a text should have been; None if it fits. Keeps to what Polars reads."""


class Label:
    """0 or 1."""

    dtype = pl.Int8

    def fits(self, column: pl.Expr) -> pl.Expr:
        return column.is_not_null() & column.is_in([0, 1])

    def read(self, column: pl.Expr) -> pl.Expr:
        return column

    def misfit(self, text: str) -> str | None:
        return None if _LABEL.fullmatch(text) else "0 or 1"


class Clicks:
    """A whole number of clicks; the label is whether there was one."""

    dtype = pl.Int64

    def fits(self, column: pl.Expr) -> pl.Expr:
        return column.is_not_null() & (column >= 0)

    def read(self, column: pl.Expr) -> pl.Expr:
        return (column > 0).cast(pl.Int8)

    def misfit(self, text: str) -> str | None:
        return None if _NOT_NEGATIVE.fullmatch(text) and int(text) < 2**63 else "a whole number"


class Number:
    """A finite number, or nothing."""

    dtype = pl.Float64

    def fits(self, column: pl.Expr) -> pl.Expr:
        return column.is_null() | column.is_finite()

    def read(self, column: pl.Expr) -> pl.Expr:
        return column

    def misfit(self, text: str) -> str | None:
        # A number beyond 1e308 would be read as infinite.
        return None if not text or (_NUMBER.fullmatch(text) and math.isfinite(float(text))) else "a number"


class Hex:
    """An id of up to 8 hexadecimal digits, or nothing."""

    dtype = pl.String
    id_parser: ClassVar = {"name": "hexadecimal"}
    """As a schema has it."""

    def fits(self, column: pl.Expr) -> pl.Expr:
        return pl.lit(True)  # `read` raises

    def read(self, column: pl.Expr) -> pl.Expr:
        return column.str.to_integer(base=16, dtype=pl.UInt32)

    def misfit(self, text: str) -> str | None:
        return None if not text or _HEX.fullmatch(text) else "a hexadecimal id of up to 8 digits"


@dataclass(frozen=True)
class Decimal:
    """A decimal id, or nothing.

    Args:
        modulus: What an id is reduced by, if it may have more than 32 bits or be negative.
        signed: Whether it may be negative; then it has at most 63 bits, else 64.
    """

    modulus: int | None = None
    signed: bool = False

    @property
    def dtype(self) -> Any:
        return pl.Int64 if self.signed else pl.UInt64

    @property
    def id_parser(self) -> dict[str, Any]:
        """As a schema has it."""
        modulus = {} if self.modulus is None else {"modulus": self.modulus}
        return {"name": "decimal"} | modulus | ({"signed": True} if self.signed else {})

    def fits(self, column: pl.Expr) -> pl.Expr:
        return pl.lit(True) if self.modulus else column.is_null() | (column < 2**32)

    def read(self, column: pl.Expr) -> pl.Expr:
        if self.modulus is None:
            return column.cast(pl.UInt32)
        rest = column % self.modulus
        return ((rest + self.modulus) % self.modulus if self.signed else rest).cast(pl.UInt32)

    def misfit(self, text: str) -> str | None:
        if not text:
            return None
        least, most = (-(2**63), 2**63) if self.signed else (0, 2**64 if self.modulus else 2**32)
        if not (_SIGNED if self.signed else _UNSIGNED).fullmatch(text) or not least <= int(text) < most:
            return f"a whole number{'' if self.signed else ' from 0'} below {most}"
        return None


# What Polars reads as such, but for a plus and blanks.
_LABEL = re.compile(r"0*1|-?0+")
_UNSIGNED, _SIGNED = re.compile(r"\d{1,300}", re.ASCII), re.compile(r"-?\d{1,300}", re.ASCII)
_NOT_NEGATIVE = re.compile(r"-0+|\d{1,300}", re.ASCII)
_NUMBER = re.compile(r"-?(\d+\.?\d*|\.\d+)([eE]-?\d+)?", re.ASCII)
_HEX = re.compile(r"0*[0-9a-fA-F]{1,8}")


@dataclass(frozen=True)
class Form:
    """The form of a log's lines.

    Args:
        columns: Every column in order: its name, and what it holds.
        separator: Between two columns; values are not quoted.
        header: Whether a file's first line names the columns.
    """

    columns: dict[str, Kind]
    separator: str = "\t"
    header: bool = False

    def parse(self, data: bytes, num_lines: int) -> pl.DataFrame | None:
        """The rows of whole lines of text; None if any of them does not fit."""
        # Polars fills short rows up, which the number of separators shows, and refuses long ones. It also takes blanks
        # around and a plus before a number.
        if count_byte(data, self.separator.encode()) != (len(self.columns) - 1) * num_lines:
            return None
        if any(sign in data for sign in (b" ", b"+", b"\r")):
            return None
        try:
            raw = pl.read_csv(
                data,
                has_header=False,
                schema={name: kind.dtype for name, kind in self.columns.items()},
                separator=self.separator,
                quote_char=None,
                raise_if_empty=False,
            )
            # An empty line of a form of one column would be skipped.
            if len(raw) != num_lines:
                return None
            if not raw.select(pl.all_horizontal(k.fits(pl.col(n)).all() for n, k in self.columns.items())).item():
                return None
            return raw.select(kind.read(pl.col(name)).alias(name) for name, kind in self.columns.items())
        except pl.exceptions.PolarsError:
            return None

    def misfit(self, line: str) -> str | None:
        """Why a line does not fit; None if it does."""
        fields = line.split(self.separator)
        if len(fields) != len(self.columns):
            return f"{len(fields)} fields where {len(self.columns)} are expected"
        for (name, kind), text in zip(self.columns.items(), fields, strict=True):
            if wanted := kind.misfit(text):
                return f"{name} is {text!r:.40}, which is not {wanted}"
        return None


def read_rows(form: Form, paths: Sequence[Path], bad_rows: BadRows, progress: bool) -> Iterator[pl.DataFrame]:
    """The rows of files of one form, one file after the other, some at a time.

    Raises:
        InputError: A file cannot be read or has other columns; a row does not fit and `bad_rows` stops at it.
    """
    size = sum(path.stat().st_size for path in paths)
    with Console(progress).bar(size, "reading", BYTES) as bar:
        spread = read_spread(partial(_read_file, form), paths, bar)
        for path, rows, misfits in _read_files(form, paths, bar) if spread is None else spread:
            for misfit in misfits:
                bad_rows.add(path, *misfit)
            if rows is not None:
                yield rows


def _read_files(form: Form, paths: Sequence[Path], bar: Bar) -> Iterator[Read]:
    def read(part: tuple[Path, InputSegment]) -> Read:
        path, piece = part
        return path, *_read_piece(form, path, piece)

    return ahead(read, _pieces(form, paths, bar))


def _read_file(form: Form, path: Path, bar: Bar) -> Iterator[Read]:
    return _read_files(form, [path], bar)


def _pieces(form: Form, paths: Sequence[Path], bar: Bar) -> Iterator[tuple[Path, InputSegment]]:
    for path in paths:
        for piece in read_pieces(path, bar):
            if form.header and piece.first_line == 1:
                piece = _without_header(form, path, piece)
            if piece.num_lines:
                yield path, piece


def _without_header(form: Form, path: Path, piece: InputSegment) -> InputSegment:
    header, _, rest = piece.data.partition(b"\n")
    found = header.decode("utf-8", errors="replace").split(form.separator)
    if found != list(form.columns):
        expected = form.separator.join(form.columns)
        raise InputError(f"{path}:1: the columns are {header!r:.100}, {expected} are expected; check --input")
    return InputSegment(rest, 2, piece.num_lines - 1)


def _read_piece(form: Form, path: Path, piece: InputSegment) -> tuple[pl.DataFrame | None, list[Misfit]]:
    if (rows := form.parse(piece.data, piece.num_lines)) is not None:
        return rows, []
    good, misfits = [], []
    for number, line in piece.lines():
        if reason := form.misfit(line):
            misfits.append((number, reason, line))
        else:
            good.append(line.encode() + b"\n")
    if not good:
        return None, misfits
    if (rows := form.parse(b"".join(good), len(good))) is None:
        last = piece.first_line + piece.num_lines - 1
        raise InputError(f"{path}:{piece.first_line}: lines up to {last} cannot be parsed")
    return rows, misfits
