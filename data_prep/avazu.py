"""Avazu's click log (Kaggle, 2014): `train`, 40,428,967 rows of CSV with a header.

Ids are hexadecimal or decimal by column. All 23 columns but `click` are sparse features, the row's own id and the hour
among them, each reduced mod 2³¹ - 1 as AutoCTR does; there is no dense feature.
"""

import datetime
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl

from recnas.data_prep.bad_rows import BadRows
from recnas.data_prep.delimited import Decimal, Form, Hex, Kind, Label, read_rows
from recnas.data_prep.engine import RawTable
from recnas.data_prep.recipe import Option, recipe
from recnas.data_prep.text import describe, input_files
from recnas.features.feature import SparseFeature
from recnas.features.published import PUBLISHED_ROWS
from recnas.util.errors import InputError

LABEL = "click"
MODULUS = 2**31 - 1

TABLE_ROWS = PUBLISHED_ROWS["avazu"]
HEXADECIMAL = (
    "site_id", "site_domain", "site_category", "app_id", "app_domain", "app_category",
    "device_id", "device_ip", "device_model",
)  # fmt: skip
TIME_FEATURES = tuple(
    SparseFeature(name, rows, column="hour", id_parser={"name": "time", "form": "YYMMDDHH", "part": part})
    for name, rows, part in (("hour_of_day", 24 + 1, "hour"), ("weekday", 7 + 1, "weekday"))
)


def _kind(name: str) -> Kind:
    if name in HEXADECIMAL:
        return Hex()
    if name == "hour":
        return Hour()
    # Row ids go up to 2⁶⁴; C20 has -1 for an unknown value.
    return Decimal(MODULUS) if name == "id" else Decimal(MODULUS, signed=True)


def _id_parser(name: str) -> dict[str, Any]:
    """How serving reads a column."""
    if name in HEXADECIMAL:
        return Hex.id_parser | {"modulus": MODULUS}
    return Decimal().id_parser if name == "hour" else _kind(name).id_parser


class Hour:
    """A day and hour as YYMMDDHH."""

    dtype = pl.UInt32

    def fits(self, column: pl.Expr) -> pl.Expr:
        # An impossible day raises.
        return column.is_not_null() & (column < 100_000_000) & (column % 100 < 24) & _day(column).is_not_null()

    def read(self, column: pl.Expr) -> pl.Expr:
        return column

    def misfit(self, text: str) -> str | None:
        wanted = "an hour as YYMMDDHH"
        if not text.isascii() or not text.isdecimal() or len(text) > 300 or int(text) >= 100_000_000:
            return wanted
        try:
            datetime.datetime.strptime(f"20{int(text):08d}", "%Y%m%d%H")
        except ValueError:
            return wanted
        return None


def _day(hour: pl.Expr) -> pl.Expr:
    return pl.date(2000 + hour // 1_000_000, hour // 10_000 % 100, hour // 100 % 100)


_COLUMNS = {name: _kind(name) for name in TABLE_ROWS}
FORM = Form({"id": _COLUMNS.pop("id"), LABEL: Label(), **_COLUMNS}, separator=",", header=True)


@recipe(
    "Avazu's click log: --input train",
    "recnas prepare avazu --input train.gz --output data/avazu --time-features",
    {"time_features": Option("hour of the day and weekday as features of their own", bool)},
    spreads=True,
)
def read_avazu(input: Path | None, bad_rows: BadRows, progress: bool, time_features: bool = False) -> RawTable:
    """The rows of `train`.

    Args:
        input: the file, a pattern or a folder.
        bad_rows: takes rows that do not fit.
        progress: show a bar.
        time_features: add hour of the day and weekday (0 = Monday) of the column `hour`, YYMMDDHH.

    Raises:
        InputError: no input is given, or a file is not there; while reading, a row that does not fit.
    """
    if input is None:
        raise InputError("avazu needs --input, the file train of the Kaggle challenge (or train.gz)")
    files = input_files(input, ("train", "train.csv"))
    sparse = [SparseFeature(name, rows, id_parser=_id_parser(name)) for name, rows in TABLE_ROWS.items()]
    chunks = _chunks(read_rows(FORM, files, bad_rows, progress), time_features)
    return RawTable(
        label=LABEL,
        dense={},
        chunks=chunks,
        sparse=[*sparse, *(TIME_FEATURES if time_features else ())],
        time="hour",
        source=describe("avazu", files) | {"time_features": time_features},
        files=files,
    )


def _chunks(rows: Iterator[pl.DataFrame], time_features: bool) -> Iterator[pl.DataFrame]:
    hour = pl.col("hour")
    for chunk in rows:
        # A hexadecimal id has up to 32 bits.
        chunk = chunk.with_columns(pl.col(HEXADECIMAL) % MODULUS)
        if time_features:
            chunk = chunk.with_columns(
                (hour % 100).alias("hour_of_day"),
                (_day(hour).dt.weekday() - 1).cast(pl.UInt32).alias("weekday"),
            )
        yield chunk
