"""A table of the user's own, of every format, with every fault."""

import csv
import gzip
import io
import json
import math
import random
import re
import sys
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import recnas.data_prep.tabular
from recnas.cli import main
from recnas.data import Dataset
from recnas.data.describe import describe
from recnas.data_prep import prepare
from recnas.data_prep.bad_rows import BadRows
from recnas.data_prep.json_files import _arrow_schema, _frame
from recnas.data_prep.json_files import _rows as _json_rows
from recnas.data_prep.missing_words import OF_IDS
from recnas.data_prep.tabular import read_tabular
from recnas.data_prep.text import InputSegment, read_pieces
from recnas.features.columns import read_ids, read_lists, read_numbers, read_times
from recnas.features.raw_values import hash_string, raw_value
from recnas.features.schema import SPLITS
from recnas.util.errors import InputError

COLUMNS = {"label": "click", "dense": ["price", "age:log1p"], "sparse": ["user", "city"], "multi": ["tags"]}
START = datetime(2024, 5, 31, 12, tzinfo=UTC)


def _rows(count: int = 120, seed: int = 0) -> list[dict]:
    """Rows with missing values, lists and text of all sorts; `age` is the row's number."""
    randomness = random.Random(seed)
    cities = ["Zürich", "New York, NY", 'The "City"', "05201", "", "x|y", " "]
    return [
        {
            "click": int(randomness.random() < 0.3),
            "price": randomness.choice([None, 1.25, 99.5, -3.0]),
            "age": number,
            "user": randomness.choice([None, 1, 2, 3, 2**40, -7]),
            "city": randomness.choice(cities) or None,
            "tags": randomness.sample(["a", "b", "cd", "17"], randomness.randint(0, 3)),
            "when": (START + timedelta(minutes=number)).strftime("%Y-%m-%d %H:%M:%S"),
        }
        for number in range(count)
    ]


def _delimited(rows: list[dict], separator: str = ",") -> bytes:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), delimiter=separator, lineterminator="\n")
    writer.writeheader()
    writer.writerows(row | {"tags": "|".join(row["tags"])} for row in rows)
    return text.getvalue().encode()


def _json_lines(rows: list[dict]) -> bytes:
    # A missing key is a missing value.
    return "".join(json.dumps({k: v for k, v in row.items() if v is not None}) + "\n" for row in rows).encode()


def _inputs(folder: Path, rows: list[dict]) -> dict[str, object]:
    """The same table as every sort of input."""
    frame = pl.DataFrame(rows)
    packed = pa.compress(_json_lines(rows), "zstd", asbytes=True)
    contents = {
        "a.csv": _delimited(rows),
        "b.csv": b"\xef\xbb\xbf" + _delimited(rows, ";").replace(b"\n", b"\r\n").removesuffix(b"\r\n"),
        "c.tsv": _delimited(rows, "\t"),
        "d.txt": _delimited(rows, "\t"),
        "e.csv.gz": gzip.compress(_delimited(rows)),
        "f.jsonl.zst": packed,
        "g.ndjson": _json_lines(rows),
    }
    for name, data in contents.items():
        (folder / name).write_bytes(data)
    frame.write_parquet(folder / "h.parquet", row_group_size=50)
    frame.with_columns(
        pl.col("when").str.to_datetime(), pl.col("city").cast(pl.Categorical), pl.col("click").cast(pl.Boolean)
    ).write_parquet(folder / "i.parquet")
    return {name: folder / name for name in [*contents, "h.parquet", "i.parquet"]} | {
        "pandas": pd.DataFrame(rows),
        "polars": frame,
        "lazy": frame.lazy(),
        "arrow": frame.to_arrow(),
    }


def _found(folder: Path) -> pl.DataFrame:
    """All rows of a data set whose `age` is the row's number."""
    frames = [pl.read_parquet(folder / split / "*.parquet").with_columns(split=pl.lit(split)) for split in SPLITS]
    return pl.concat(frames).sort("age")


def _read(folder: Path, input: object, policy: str = "error", **options) -> pl.DataFrame:
    """The rows that the recipe gives, in order."""
    bad_rows = BadRows(folder, policy)
    try:
        table = read_tabular(input, bad_rows, False, **options)
        empty = pl.DataFrame(schema=dict.fromkeys((table.label, *table.dense, *(f.name for f in table.sparse))))
        return pl.concat([empty, *table.chunks], how="vertical_relaxed")
    finally:
        bad_rows.close()


def _csv(folder: Path, text: str | bytes, name: str = "clicks.csv") -> Path:
    path = folder / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def test_every_format_gives_the_same_data_set(tmp_path):
    rows = _rows()
    results = {}
    for number, (name, table) in enumerate(_inputs(tmp_path, rows).items()):
        output = tmp_path / f"out{number}"
        schema = prepare("tabular", output, table, split="time", time="when", unseen="hash", progress=False, **COLUMNS)
        results[name] = {key: value for key, value in schema.to_json().items() if key != "source"}, _found(output)
    expected_schema, expected_rows = results["a.csv"]
    for name, (schema, found) in results.items():
        assert schema == expected_schema, name
        assert found.equals(expected_rows), name
    assert expected_rows["user"].to_list() == [raw_value(row["user"]) for row in rows]
    assert expected_rows["city"].to_list() == [raw_value(row["city"]) for row in rows]
    assert expected_rows["tags"].to_list() == [[raw_value(tag) for tag in row["tags"]] for row in rows]
    assert expected_rows["click"].to_list() == [row["click"] for row in rows]
    assert expected_rows["age"].to_list() == list(range(120))
    assert expected_rows["split"].to_list() == ["train"] * 96 + ["validation"] * 12 + ["test"] * 12


def test_a_data_set_of_an_own_table_can_be_loaded(tmp_path):
    path = _csv(tmp_path, _delimited(_rows(400)))
    schema = prepare("tabular", tmp_path / "out", path, **COLUMNS)
    assert [feature.name for feature in schema.sparse] == ["user", "city", "tags"]
    assert [feature.multi_valued for feature in schema.sparse] == [False, False, True]
    assert schema.source["name"] == "tabular"
    batch = next(iter(Dataset(tmp_path / "out").batches("train", 64)))
    assert batch.dense.shape == (64, 2)


def test_several_files_are_one_table_whatever_the_order_of_their_columns(tmp_path):
    rows = _rows(60)
    _csv(tmp_path, _delimited(rows[:20]), "part-2.csv")
    _csv(tmp_path, _delimited([dict(reversed(row.items())) for row in rows[20:]]), "part-10.csv")
    found = _read(tmp_path, tmp_path, **COLUMNS)
    assert found["age"].to_list() == list(range(60))
    assert found["user"].to_list() == [raw_value(row["user"]) for row in rows]


anything = st.one_of(
    st.text(),
    st.from_regex(r"-?[0-9+. ]{1,20}", fullmatch=True),
    st.integers(-(2**63), 2**63 - 1).map(str),
    st.from_regex(r"-?[0-9]{1,19}\.0{1,3}", fullmatch=True),
    st.just("0"),
)


@given(st.lists(st.none() | anything.filter(lambda text: "\0" not in text)))
def test_text_is_hashed_as_the_schema_says(values):
    ids, misfits = read_ids(pl.Series("x", values, dtype=pl.String))
    assert ids.to_list() == [raw_value(value) for value in values]
    assert misfits is None


@pytest.mark.parametrize("kind", [pl.Int64, pl.UInt64, pl.Int8, pl.UInt32])
@given(data=st.data())
def test_whole_numbers_are_hashed_as_the_schema_says(kind, data):
    least, most = (pl.select(getattr(kind, end)()).item() for end in ("min", "max"))
    edges = [least, most, *(value for value in (0, 10**18, -(10**18)) if least <= value <= most)]
    whole = st.integers(least, most) | st.sampled_from(edges)
    values = data.draw(st.lists(st.none() | whole))
    ids, _ = read_ids(pl.Series("x", values, dtype=kind))
    assert ids.to_list() == [raw_value(value) for value in values]


@given(st.lists(st.none() | st.floats() | st.integers(-(10**20), 10**20).map(float)))
def test_floats_are_ids_if_they_are_whole(values):
    ids, misfits = read_ids(pl.Series("x", values, dtype=pl.Float64))
    for place, value in enumerate(values):
        try:
            assert ids[place] == raw_value(value)
        except InputError:
            assert misfits[place]
        else:
            assert misfits is None or not misfits[place]


@given(st.lists(st.none() | st.lists(st.none() | st.integers(-5, 10**19))))
def test_lists_are_hashed_item_by_item(values):
    for column in (pl.Series("x", values, dtype=pl.List(pl.Int128)), pl.Series("x", values, dtype=pl.Object)):
        lists, misfits = read_lists(column, "|")
        assert lists.to_list() == [[raw_value(item) for item in row or () if item is not None] for row in values]
        assert misfits is None


def test_values_of_several_types_in_one_column_are_hashed_one_by_one(tmp_path):
    values = [5, "5", 5.0, "five", None, float("nan"), True, 2**70, "\ud800", 0.5, [1]]
    lines = [json.dumps({"y": place % 2, "id": value, "row": place}) for place, value in enumerate(values)]
    path = _csv(tmp_path, "\n".join(lines), "a.jsonl")
    found = _read(tmp_path, path, "skip", label="y", sparse=["id"], dense=["row"])
    good = [5, 5, 5, hash_string("five"), None, None, 1, hash_string(str(2**70))]
    assert found["id"].to_list() == good
    rejected = (tmp_path / "rejected-rows.txt").read_text().splitlines()
    assert [line.split("\t")[0] for line in rejected] == ["a.jsonl:9", "a.jsonl:10", "a.jsonl:11"]
    frame = pd.DataFrame({"y": [0, 1, 1], "id": ["a", 7, None]})
    assert _read(tmp_path, frame, label="y", sparse=["id"])["id"].to_list() == [hash_string("a"), 7, None]


def _json_objects(ids: st.SearchStrategy) -> st.SearchStrategy:
    ids, numbers = st.none() | ids, st.none() | st.floats()
    return st.fixed_dictionaries({}, optional={"id": ids, "x": numbers, "l": st.lists(ids), "other": ids})


# Of one type, as is usual, or of several.
json_ids = [st.text(max_size=3), st.integers(2**53 - 2, 2**53 + 2), st.floats(), st.booleans()]
json_samples_and_rows = st.sampled_from([*json_ids, st.one_of(json_ids)]).flatmap(
    lambda ids: st.tuples(_json_objects(ids), st.lists(_json_objects(ids), max_size=5))
)
ODD_JSON = [b"", b"{", b'{"id": 1} {"id": 2}', b'{"id": "\xff"}', b'{"id": "\\ud800"}', b'{"x": 01}', b'{"id": 1.0}']


@settings(deadline=None)
@given(json_samples_and_rows, st.lists(st.sampled_from(ODD_JSON), max_size=2))
def test_json_read_at_once_is_what_it_is_line_by_line(sample_and_rows, odd):
    sample, rows = sample_and_rows
    schema = _arrow_schema(_frame([sample], ["id", "x", "l"]))
    lines = [*(json.dumps(row).encode() for row in rows), *odd]
    data = b"".join(line + b"\n" for line in lines) or b"{}\n"
    piece = InputSegment(data, 1, data.count(b"\n"))
    results = []
    for given_schema in (schema, None):
        frame = (found := _json_rows(piece, ["id", "x", "l"], given_schema)).frame
        read = [read_ids(frame["id"]), read_numbers(frame["x"]), read_lists(frame["l"], "|")]
        masks = [[False] * len(frame) if mask is None else mask.tolist() for _, mask in read]
        fits = [
            [None if bad else value for value, bad in zip(values.to_list(), mask, strict=True)]
            for (values, _), mask in zip(read, masks, strict=True)
        ]
        results.append((fits, masks, found.numbers.tolist(), found.misfits))
    assert results[0] == results[1]


@given(
    st.datetimes(datetime(1900, 1, 1), datetime(2100, 1, 1)),
    st.sampled_from(["T", " "]),
    st.sampled_from(["", "Z", "+02:00", "-0530"]),
)
def test_dates_are_seconds(time, letter, zone):
    text = time.isoformat(letter) + zone
    expected = datetime.fromisoformat(text)
    expected = expected if zone else expected.replace(tzinfo=UTC)
    seconds, misfits = read_times(pl.Series("t", [text, "1.5"]))
    assert misfits is None
    assert seconds.to_list() == [pytest.approx(expected.timestamp(), abs=1e-5), 1.5]


def test_dates_without_a_time_of_day_are_days():
    seconds, _ = read_times(pl.Series("t", ["1970-01-02", "1970-01-02T01:00"]))
    assert seconds.to_list() == [86_400.0, 90_000.0]


# Lines of four columns: click, price, user, text.
def _field(text: str, quoted: bool) -> str:
    return '"' + text.replace('"', '""') + '"' if quoted or set(text) & set(',"') else text


good_lines = st.builds(
    lambda click, price, user, text, quoted: (
        [click, price, user, text],
        ",".join(_field(value, quoted) for value in (click, price, user, text)),
    ),
    st.sampled_from(["0", "1"]),
    st.sampled_from(["", "1.5", "-2", "1e3"]),
    st.sampled_from(["", "7", "abc"]),
    st.text(st.characters(exclude_characters="\0\r\n", exclude_categories=["Cs"]), max_size=8),
    st.booleans(),
)
BAD_LINES = [
    b"", b"0,1,7", b"0,1,7,x,y", b"2,1,7,x", b",1,7,x", b"0,abc,7,x", b"0,inf,7,x", b'0,1,"7,x', b'0,1,7,"x"y',
    b'0,1,a"b"c,x', b"0,1,7,\0", b"0,1,\xff,x", b"0,1,7,x\ry", b'"', b'0,"",7,x"', b'1,1,7,"x""',
]  # fmt: skip


@settings(deadline=None, max_examples=60)
@given(
    lines=st.lists(good_lines | st.sampled_from(BAD_LINES), min_size=1, max_size=30),
    end=st.sampled_from([b"\n", b"\r\n"]),
    mark=st.sampled_from([b"", b"\xef\xbb\xbf"]),
    last=st.booleans(),
    piece_bytes=st.sampled_from([40, 200, 1 << 20]),
)
def test_every_good_row_is_kept_and_every_bad_one_is_set_aside(tmp_path_factory, lines, end, mark, last, piece_bytes):
    folder = tmp_path_factory.mktemp("mixed")
    raw = [line if isinstance(line, bytes) else line[1].encode() for line in lines]
    # An empty line at the end is none without a line end.
    content = mark + end.join([b"click,price,user,text", *raw]) + end * (last or raw[-1] == b"")
    (folder / "a.csv").write_bytes(content)
    options = {"label": "click", "dense": ["price"], "sparse": ["user", "text"]}
    good = [line[0] for line in lines if isinstance(line, tuple)]
    # Empty lines at the end are no rows.
    last_row = max((number for number, line in enumerate(raw, 2) if line), default=0)
    bad = [number for number, line in enumerate(lines, 2) if isinstance(line, bytes) and number <= last_row]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("recnas.data_prep.csv_files.read_pieces", partial(_pieces_of, piece_bytes))
        # However many labels are 2, they are bad ones.
        patch.setattr("recnas.data_prep.labels._ODD_SHARE", 1)
        if not last_row:
            with pytest.raises(InputError, match=r"a\.csv: has a header and no rows"):
                _read(folder, folder / "a.csv", "skip", **options)
            return
        found = _read(folder, folder / "a.csv", "skip", **options)
        if bad:
            with pytest.raises(InputError, match=rf"a\.csv:{bad[0]}: .*; --on-bad-row skip sets such rows aside"):
                _read(folder, folder / "a.csv", **options)
    assert found["click"].to_list() == [int(row[0]) for row in good]
    assert found["price"].to_list() == [float(row[1]) if row[1] else None for row in good]
    assert found["user"].to_list() == [raw_value(row[2]) for row in good]
    assert found["text"].to_list() == [None if row[3] in OF_IDS else raw_value(row[3]) for row in good]
    rejected = folder / "rejected-rows.txt"
    named = re.findall(rb"^a\.csv:(\d+)\t", rejected.read_bytes(), re.MULTILINE) if rejected.exists() else []
    assert list(map(int, named)) == bad


def _pieces_of(piece_bytes, path, bar, _bytes=None):
    return read_pieces(path, bar, piece_bytes)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("0,1", "2 fields where 3 are expected"),
        ("0,1,a,", "4 fields where 3 are expected"),
        ("2,1,a", "y is '2', which is not 0 or 1"),
        (",1,a", "y is missing, which is not 0 or 1"),
        ("0,many,a", "x is 'many', which is not a finite number"),
        ("0,-inf,a", "x is '-inf', which is not a finite number"),
        ("0,1e999,a", "x is '1e999', which is not a finite number"),
        ("0,1,a\0b", "there is a NUL byte"),
        ('0,1,"a', "a quote is not closed on its line"),
        ('0,1,5" tv"', "a quote is neither at the begin or end of a field nor doubled"),
        ("0,1,a\rb", "there is a carriage return within the line"),
        (b"0,1,\xff", "the text is not UTF-8"),
    ],
)
def test_a_bad_line_is_named_or_set_aside(tmp_path, line, reason):
    line = line if isinstance(line, bytes) else line.encode()
    good = [b"%d,%d,b" % (number % 2, number) for number in range(40)]
    path = _csv(tmp_path, b"\n".join([b"y,x,id", *good[:30], line, *good[30:]]))
    options = {"label": "y", "dense": ["x:none"], "sparse": ["id"]}
    with pytest.raises(InputError, match=rf"clicks\.csv:32: ({reason}); --on-bad-row skip"):
        prepare("tabular", tmp_path / "out", path, **options)
    schema = prepare("tabular", tmp_path / "out", path, on_bad_row="skip", **options)
    assert schema.source["rejected_rows"] == 1
    assert sum(schema.rows(split) for split in SPLITS) == 40
    assert (tmp_path / "out" / "rejected-rows.txt").read_bytes().startswith(b"clicks.csv:32\t")


def test_a_half_last_line_is_a_bad_row(tmp_path):
    path = _csv(tmp_path, "y,x,id\n1,2,a\n0,3,b\n1,4")
    with pytest.raises(InputError, match=r"clicks\.csv:4: 2 fields where 3 are expected"):
        _read(tmp_path, path, label="y", dense=["x"], sparse=["id"])
    assert len(_read(tmp_path, path, "skip", label="y", dense=["x"], sparse=["id"])) == 2


@pytest.mark.parametrize(
    ("column", "value", "reason"),
    [
        ("y", 0.5, "y is 0.5, which is not 0 or 1"),
        ("y", math.nan, "y is missing, which is not 0 or 1"),
        ("x", math.inf, "x is inf, which is not a finite number"),
        ("id", 2.5, "id is 2.5, which is not an id: a string or a whole number"),
        ("t", None, "t is missing, which is not a time"),
    ],
)
def test_a_bad_row_of_a_table_is_named_by_its_number(tmp_path, column, value, reason):
    columns = {"y": [0.0, 1.0] * 20, "x": [1.5] * 40, "id": [3.0] * 40, "t": [float(n) for n in range(40)]}
    columns[column][30] = value
    frame = pl.DataFrame(columns, strict=False)
    frame.write_parquet(tmp_path / "a.parquet", row_group_size=10)
    options = {"label": "y", "dense": ["x"], "sparse": ["id"], "time": "t"}
    for table, name in ((tmp_path / "a.parquet", "a.parquet"), (frame.to_pandas(), "table")):
        with pytest.raises(InputError, match=rf"{name}:row 31: {reason}"):
            prepare("tabular", tmp_path / "out", table, overwrite=True, **options)
        schema = prepare("tabular", tmp_path / "out", table, on_bad_row="skip", overwrite=True, **options)
        assert schema.source["rejected_rows"] == 1
        rejected = (tmp_path / "out" / "rejected-rows.txt").read_text()
        assert rejected.startswith(f"{name}:row 31\t{reason}")
        assert json.loads(rejected.split("\t")[2]).keys() == columns.keys()


@pytest.mark.parametrize("line", ["[1]", "{", "7", "nul", '{"y": 1} x', "", "\0"])
def test_a_line_that_is_no_json_object_is_a_bad_row(tmp_path, line):
    path = _csv(tmp_path, f'{{"y": 0, "id": 1}}\n{line}\n{{"y": 1}}\n', "a.json")
    with pytest.raises(InputError, match=r"a\.json:2: the line is not a JSON object"):
        _read(tmp_path, path, label="y", sparse=["id"])
    assert _read(tmp_path, path, "skip", label="y", sparse=["id"])["id"].to_list() == [1, None]


def test_files_that_are_no_tables_are_named(tmp_path):
    with pytest.raises(InputError, match="tabular needs --input"):
        prepare("tabular", tmp_path / "out")
    with pytest.raises(InputError, match=r"none\.csv: no such file"):
        prepare("tabular", tmp_path / "out", tmp_path / "none.csv")
    with pytest.raises(InputError, match=r"none\.parquet: no such file"):
        prepare("tabular", tmp_path / "out", tmp_path / "none.parquet")
    for name in ("a.csv", "a.jsonl"):
        with pytest.raises(InputError, match=f"{name}: the file is empty"):
            prepare("tabular", tmp_path / "out", _csv(tmp_path, "", name))
    with pytest.raises(InputError, match=r"a\.parquet: is no whole Parquet file"):
        prepare("tabular", tmp_path / "out", _csv(tmp_path, "PAR1", "a.parquet"))
    with pytest.raises(InputError, match=r"a\.xlsx: the name must end in \.csv, \.tsv"):
        prepare("tabular", tmp_path / "out", _csv(tmp_path, "x", "a.xlsx"))
    data = gzip.compress(_delimited(_rows(2000)))
    with pytest.raises(InputError, match=r"b\.csv\.gz: cannot be unpacked"):
        prepare("tabular", tmp_path / "out", _csv(tmp_path, data[:-100], "b.csv.gz"), **COLUMNS)
    with pytest.raises(InputError, match=r"c\.csv: has a header and no rows; give a table with rows"):
        prepare("tabular", tmp_path / "out", _csv(tmp_path, "y,id\n", "c.csv"), label="y", sparse=["id"])
    with pytest.raises(InputError, match=r"input is builtins\.list; give a file's name"):
        prepare("tabular", tmp_path / "out", [1])
    with pytest.raises(InputError, match="criteo reads files; input is a DataFrame"):
        prepare("criteo", tmp_path / "out", pd.DataFrame({"y": [1]}))


@pytest.mark.parametrize(
    ("header", "message"),
    [
        (b"y,y,id", "the column 'y' is there twice"),
        (b'y,"id', "a quote is not closed"),
        (b"y,\0", "there is a NUL byte; is it a text file"),
        (b"", "the first line is empty; it must be the columns' names"),
        (b"y,\xff", "the text is not UTF-8; is it a text file"),
    ],
)
def test_a_header_that_is_none_is_named(tmp_path, header, message):
    with pytest.raises(InputError, match=rf"clicks\.csv(:1)?: {message}"):
        prepare("tabular", tmp_path / "out", _csv(tmp_path, header + b"\n1,2,3\n"))


def test_a_key_may_be_missing_in_a_whole_file(tmp_path):
    (tmp_path / "in").mkdir()
    _csv(tmp_path / "in", '{"y": 0, "id": 1}\n', "a-1.jsonl")
    _csv(tmp_path / "in", '{"y": 1}\n', "a-2.jsonl")
    assert _read(tmp_path, tmp_path / "in", label="y", sparse=["id"])["id"].to_list() == [1, None]


def test_a_damaged_parquet_file_is_named(tmp_path):
    pl.DataFrame({"y": [0, 1] * 500, "id": list(range(1000))}).write_parquet(tmp_path / "a.parquet")
    data = bytearray((tmp_path / "a.parquet").read_bytes())
    data[4:200] = bytes(196)
    _csv(tmp_path, bytes(data), "a.parquet")
    with pytest.raises(InputError, match=r"a\.parquet: is no whole Parquet file"):
        prepare("tabular", tmp_path / "out", tmp_path / "a.parquet")


def test_a_second_file_with_other_columns_is_named(tmp_path):
    (tmp_path / "in").mkdir()
    _csv(tmp_path / "in", "y,id\n1,2\n", "a-1.csv")
    _csv(tmp_path / "in", "y,other\n1,2\n", "a-2.csv")
    with pytest.raises(InputError, match=r"a-2\.csv: has other columns than a-1\.csv, see id"):
        prepare("tabular", tmp_path / "out", tmp_path / "in", label="y", sparse=["id"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"label": "yy"}, "--label yy: there is no such column; there are y, x, id"),
        ({"sparse": ["ids"]}, "--sparse ids: there is no such column; there are y, x, id"),
        ({"sparse": ["id"], "dense": ["x", "id"]}, "--sparse id: the column is in --dense already; name it once"),
        ({"sparse": ["id", "id"]}, "--sparse id: the column is in --sparse already; name it once"),
        ({"sparse": ["id"], "dense": ["x", "x:log1p"]}, "--dense x: the column is in --dense already"),
        ({"label": "x", "time": "x"}, "--time x: the column is in --label already"),
        ({"dense": ["x:log"]}, "--dense x:log: 'log' is none of log1p, standardize, none"),
        ({"transform": "log"}, "--transform log is none of"),
        ({"dense": ["x"]}, "no column is an id, a model needs one; name it with --sparse, of y, x, id"),
        ({"sparse": ["id"], "min_count": 0}, "--min-count 0: it must be 1 or more"),
        ({"sparse": ["id"], "max_rows": 1}, "--max-rows 1: it must be from 2 to"),
        ({"sparse": ["id"], "multi_separator": ""}, "--multi-separator is empty"),
        ({"sparse": ["id"], "split": "time"}, "--split time: these rows have no time"),
    ],
)
def test_options_that_do_not_fit_are_named(tmp_path, options, message):
    path = _csv(tmp_path, "y,x,id\n" + "".join(f"{n % 2},{n},a\n" for n in range(40)))
    with pytest.raises(InputError, match=message):
        prepare("tabular", tmp_path / "out", path, progress=False, **options)


@pytest.mark.parametrize("value", [START, [1], {"a": 1}, timedelta(1), b"x"])
def test_no_value_of_a_type_that_cannot_be_read_fits(tmp_path, value):
    frame = pl.DataFrame({"y": [0, 1], "a": [None, value], "id": [1, 2]})
    with pytest.raises(InputError, match=r"table:row 2: a is .*, which is not an id: a string or a whole number"):
        _read(tmp_path, frame, label="y", sparse=["a"])
    with pytest.raises(InputError, match=r"table:row 2: a is .*, which is not a finite number"):
        _read(tmp_path, frame, label="y", dense=["a"], sparse=["id"])
    with pytest.raises(InputError, match=r"table:row 1: a is missing, which is not 0 or 1"):
        _read(tmp_path, frame, label="a", sparse=["id"])


def test_quotes_can_be_letters(tmp_path):
    path = _csv(tmp_path, 'y,id\n1,5" tv\n0,"a"\n')
    found = _read(tmp_path, path, label="y", sparse=["id"], no_quotes=True)
    assert found["id"].to_list() == [hash_string('5" tv'), hash_string('"a"')]
    with pytest.raises(InputError, match=r"clicks\.csv:2: a quote is not closed"):
        _read(tmp_path, path, label="y", sparse=["id"])


@pytest.mark.parametrize("shuffled", [False, True])
def test_a_split_by_time_goes_by_the_named_column(tmp_path, shuffled):
    rows = _rows(200)
    if shuffled:
        random.Random(3).shuffle(rows)
    path = _csv(tmp_path, _delimited(rows))
    schema = prepare("tabular", tmp_path / "out", path, split="time", time="when", **COLUMNS)
    found = _found(tmp_path / "out")
    assert found["split"].to_list() == ["train"] * 160 + ["validation"] * 20 + ["test"] * 20
    first = (START + timedelta(minutes=160)).timestamp()
    assert schema.split["by"] == "when"
    assert schema.split["first"]["validation"] == first


def test_a_time_may_be_a_feature_too(tmp_path):
    path = _csv(tmp_path, "y,t,id\n" + "".join(f"{n % 2},{n},a\n" for n in range(100)))
    options = {"label": "y", "dense": ["t:none"], "sparse": ["id"], "time": "t"}
    schema = prepare("tabular", tmp_path / "out", path, split="time", **options)
    assert [feature.name for feature in schema.dense] == ["t"]
    assert pl.read_parquet(tmp_path / "out" / "test" / "*.parquet")["t"].to_list() == list(range(90, 100))


def test_an_inferred_time_may_be_missing_unless_it_is_needed(tmp_path):
    lines = [f"{n % 2},2024-05-{1 + n % 30:02d},{n % 7}\n" for n in range(100)]
    path = _csv(tmp_path, "y,day,user_id\n" + "".join(lines) + "1,,5\n")
    assert prepare("tabular", tmp_path / "out", path).rows("train") == 81
    with pytest.raises(InputError, match="--split time: some rows have no day"):
        prepare("tabular", tmp_path / "out2", path, split="time")
    with pytest.raises(InputError, match=r"clicks\.csv:102: day is missing, which is not a time"):
        prepare("tabular", tmp_path / "out2", path, split="time", time="day")


def _wide_rows(count: int = 200) -> list[dict]:
    return [
        {
            "": n,
            "Click": n % 2,
            "row": f"r{n}",
            "userId": n % 150,
            "zip code": f"{n % 90:05d}",
            "bid": n * 3 % 101,
            "hour": n % 24 // 2,
            "price": n / 8,
            "brand": f"b{n % 30}",
            "member": "true" if n % 3 else "",
            "day": f"2024-05-{1 + n % 30:02d}",
            "timestamp": 1_700_000_000 + n,
            "country": "CH",
            "nothing": "",
        }
        for n in range(count)
    ]


WIDE_ROLES = {
    "Click": "label", "row": "left out", "userId": "sparse", "zip code": "sparse", "bid": "dense", "hour": "sparse",
    "price": "dense", "brand": "sparse", "member": "sparse", "day": "time", "timestamp": "left out",
    "country": "left out", "nothing": "left out",
}  # fmt: skip


def _planned(plan: str) -> list[list[str]]:
    """The lines of a plan's table."""
    return [re.split(r"  +", line) for line in plan.partition("\n\n")[0].splitlines()]


def _plain_csv(rows: list[dict]) -> str:
    return "\n".join([",".join(rows[0]), *(",".join(map(str, row.values())) for row in rows)]) + "\n"


def test_roles_are_inferred_from_names_and_values(tmp_path):
    path = _csv(tmp_path, _plain_csv(_wide_rows()))
    plans = []
    read_tabular(path, BadRows(tmp_path, "error"), False, confirm=plans.append)
    found = _planned(plans[0])
    assert found[0] == ["column", "role", "why"]
    assert {name: role for name, role, _ in found[1:]} == WIDE_ROLES | {"(unnamed)": "left out"}
    typed = pl.read_csv(path, schema_overrides={"zip code": pl.String})
    typed = typed.select(*WIDE_ROLES, pl.Series("tags", [[1, 2]] * 200)).with_columns(pl.col("day").str.to_date())
    read_tabular(typed, BadRows(tmp_path, "error"), False, confirm=plans.append)
    found = _planned(plans[1])
    assert {name: role for name, role, _ in found[1:]} == WIDE_ROLES | {"tags": "multi"}


def test_of_many_columns_the_first_of_each_role_are_shown(tmp_path):
    table = pl.DataFrame(
        {"click": [0, 1] * 60}
        | {f"n{place}": [value + 0.5 for value in range(120)] for place in range(40)}
        | {f"c{place}": [f"v{value % 7}" for value in range(120)] for place in range(40)}
    )
    plans = []
    read_tabular(table, BadRows(tmp_path, "error"), False, confirm=plans.append)
    shown = str(plans[0])
    assert shown.count(" dense ") == shown.count(" sparse ") == 15
    assert "… and 50 more, of roles that are above" in shown
    assert "The same as flags" not in shown
    # All of them are taken.
    schema = prepare("tabular", tmp_path / "out", table, progress=False)
    assert (schema.num_dense, schema.num_sparse) == (40, 40)


def test_what_is_named_wins_over_what_is_inferred(tmp_path):
    path = _csv(tmp_path, _plain_csv(_wide_rows()))
    schema = prepare("tabular", tmp_path / "a", path, time="timestamp", split="time", progress=False)
    assert schema.split["by"] == "timestamp"
    schema = prepare("tabular", tmp_path / "b", path, sparse=["brand", "row"], progress=False)
    assert (schema.label, schema.dense, [f.name for f in schema.sparse]) == ("Click", (), ["brand", "row"])
    schema = prepare("tabular", tmp_path / "c", path, label="hour", progress=False, sparse="brand", on_bad_row="skip")
    assert schema.label == "hour"


def test_a_label_that_cannot_be_inferred_is_asked_for(tmp_path):
    path = _csv(tmp_path, "click,id\n1,a\n3,a\n")
    with pytest.raises(InputError, match=r"no column is named label, click, .* and holds only 0 and 1; name the label"):
        prepare("tabular", tmp_path / "out", path)


def test_python_never_asks(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(sys, "stdin", None)
    path = _csv(tmp_path, _plain_csv(_wide_rows()))
    prepare("tabular", tmp_path / "out", path)
    assert "userId     sparse    150 different whole numbers" in capsys.readouterr().err
    prepare("tabular", tmp_path / "quiet", path, progress=False)
    assert capsys.readouterr().err == ""


def test_inferred_roles_are_prepared_only_when_confirmed(tmp_path, capsys, monkeypatch):
    path = _csv(tmp_path, _plain_csv(_wide_rows()))
    command = ["prepare", "tabular", "--input", str(path), "--output", str(tmp_path / "out"), "--quiet"]
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    assert main(command) == 2
    plan, message = capsys.readouterr().err.strip().rsplit("\n", 1)
    assert "bid        dense" in plan
    assert message == "recnas: the columns' roles were inferred; add --yes if they are right, or name the columns"
    for answer, code in (("n\n", 2), ("", 2), ("y\n", 0)):
        terminal = io.StringIO(answer)
        terminal.isatty = lambda: True
        monkeypatch.setattr(sys, "stdin", terminal)
        assert main(command) == code
        assert "Prepare like this? [y/N]" in capsys.readouterr().err
        assert (tmp_path / "out").exists() == (code == 0)
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    assert main([*command, "--overwrite", "--yes"]) == 0


def test_there_is_nothing_to_confirm_when_all_is_named(tmp_path, capsys):
    path = _csv(tmp_path, _delimited(_rows()))
    flags = ["--label", "click", "--dense", "price", "age:log1p", "--sparse", "user", "--min-count", "2"]
    command = ["prepare", "tabular", "--input", str(path), "--output", str(tmp_path / "out"), "--quiet", *flags]
    assert main(command) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert "2 dense and 1 sparse features" in out


def test_memory_does_not_grow_with_the_rows(tmp_path, monkeypatch):
    alive = []
    monkeypatch.setattr("recnas.data_prep.csv_files.read_pieces", partial(_pieces_of, 2000))
    add = recnas.data_prep.tabular.FrequentWords.add
    monkeypatch.setattr(
        recnas.data_prep.tabular.FrequentWords, "add", lambda self, w: (alive.append(w.total()), add(self, w))
    )
    path = _csv(tmp_path, "y,id\n" + "0,a\n1,b\n" * 5000)
    chunks = read_tabular(path, BadRows(tmp_path, "error"), False, label="y", sparse=["id"]).chunks
    next(chunks)
    assert alive == [499]
    assert sum(map(len, chunks)) == 10_000 - 499


ODD_NAMES = ["*", "^.*$", "^a$", "a", "a.b", "y*", " "]


@pytest.mark.parametrize("form", ["csv", "jsonl", "parquet", "memory"])
def test_names_that_look_like_patterns_are_names(tmp_path, form):
    columns = {name: [n * (place + 1) for n in range(40)] for place, name in enumerate(ODD_NAMES)}
    frame = pl.DataFrame([pl.Series("y", [0, 1] * 20), *(pl.Series(name, values) for name, values in columns.items())])
    frame = frame.with_columns(pl.Series("^l$", ["1|2"] * 40))
    path = tmp_path / f"in.{form}"
    if form == "csv":
        frame.write_csv(path)
    elif form == "parquet":
        frame.write_parquet(path)
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in frame.iter_rows(named=True)))
    options = {
        "label": "y",
        "dense": ["*", "^a$:none"],
        "sparse": ["^.*$", "a", "a.b", "y*", " "],
        "multi": ["^l$"],
        "time": "*",
    }
    source = frame if form == "memory" else path
    for split, unseen in (("time", "shared"), ("autoctr", "missing"), ("hash", "hash"), ("autoctr", "hash")):
        prepare("tabular", tmp_path / "out", source, split=split, overwrite=True, unseen=unseen, **options)
    found = pl.concat([pl.read_parquet(tmp_path / "out" / split / "*.parquet") for split in SPLITS])
    for name in options["sparse"]:
        assert sorted(found[name].to_list()) == columns[name]
    assert sorted(found["^a$"].to_list()) == columns["^a$"]
    described = describe(tmp_path / "out")
    assert [feature.maximum for feature in described.dense][1] == 39 * 3
    assert [feature.distinct for feature in described.sparse] == [40] * 5 + [2]
    assert next(iter(Dataset(tmp_path / "out").batches("train", 32))).dense.shape == (32, 2)


def test_all_files_of_a_folder_are_read_packed_or_not(tmp_path):
    rows = _rows(60)
    _csv(tmp_path, _delimited(rows[:20]), "part-1.csv")
    _csv(tmp_path, gzip.compress(_delimited(rows[20:40])), "part-2.csv.gz")
    _csv(tmp_path, pa.compress(_delimited(rows[40:]), "zstd", asbytes=True), "part-3.csv.zst")
    for name in ("part-1.csv.bak", "part-2.csv.gz.md5", ".part-4.csv", "part-5.csv.partial"):
        _csv(tmp_path, "no table", name)
    assert _read(tmp_path, tmp_path, **COLUMNS)["age"].to_list() == list(range(60))


def test_a_folder_with_two_kinds_of_files_is_refused(tmp_path):
    _csv(tmp_path, _delimited(_rows(60)), "a.csv.gz")
    _csv(tmp_path, _json_lines(_rows(60)), "b.jsonl")
    with pytest.raises(InputError, match=r"holds a\.csv\.gz and b\.jsonl; choose with --input"):
        _read(tmp_path, tmp_path, **COLUMNS)


@pytest.mark.parametrize("pattern", ["", "a*"])
def test_the_same_rows_packed_and_unpacked_are_refused(tmp_path, pattern):
    _csv(tmp_path, _delimited(_rows(60)), "a.csv")
    _csv(tmp_path, gzip.compress(_delimited(_rows(60))), "a.csv.gz")
    with pytest.raises(InputError, match=r"a\.csv\.gz: the same rows as a\.csv, packed otherwise"):
        _read(tmp_path, tmp_path / pattern, **COLUMNS)


def test_half_of_a_surrogate_pair_can_be_set_aside(tmp_path):
    frame = pd.DataFrame({"y": [0, 1, 1], "id": ["a", "\ud800", "b"], "x": ["1", "2", "\udfff"]}, dtype=object)
    found = _read(tmp_path, frame, "skip", label="y", sparse=["id"], dense=["x"])
    assert found["id"].to_list() == [hash_string("a")]
    assert "\\ud800" in (tmp_path / "rejected-rows.txt").read_text()


def test_a_whole_number_with_a_fraction_of_zeros_is_that_number(tmp_path):
    frame = pd.DataFrame({"y": [0, 1] * 60, "user_id": [None, *map(float, range(-59, 60))]})
    frame.to_csv(tmp_path / "a.csv", index=False)
    assert "-7.0" in (tmp_path / "a.csv").read_text()
    found = [_read(tmp_path, source, label="y") for source in (frame, tmp_path / "a.csv")]
    assert found[0].equals(found[1])
    assert found[1]["user_id"].to_list() == [None, *map(raw_value, range(-59, 60))]


@pytest.mark.parametrize(
    ("name", "good"),
    [("a.csv", ["y,id", "0,1", "", "1,2"]), ("a.jsonl", ['{"y": 0, "id": 1}', "", '{"y": 1, "id": 2}'])],
)
@pytest.mark.parametrize("piece_bytes", [1, 7, 1 << 20])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_empty_lines_are_skipped_at_the_end_only(tmp_path, monkeypatch, name, good, piece_bytes, end):
    monkeypatch.setattr("recnas.data_prep.csv_files.read_pieces", partial(_sometimes_in_pieces, piece_bytes))
    monkeypatch.setattr("recnas.data_prep.json_files.read_pieces", partial(_sometimes_in_pieces, piece_bytes))
    path = _csv(tmp_path, end.join(good) + end * 5, name)
    assert _read(tmp_path, path, "skip", label="y", sparse=["id"])["id"].to_list() == [1, 2]
    rejected = (tmp_path / "rejected-rows.txt").read_text().splitlines()
    assert [line.split("\t")[0] for line in rejected] == [f"{name}:{good.index('') + 1}"]


def _sometimes_in_pieces(piece_bytes, path, bar, head=None):
    return read_pieces(path, bar, head or piece_bytes)


def test_lists_and_arrays_in_one_column_are_lists(tmp_path):
    column = pd.Series([["a", "b"], np.array([1, 2]), None, ("a",), np.array(["a"])])
    found = _read(tmp_path, pd.DataFrame({"y": [0, 1, 0, 1, 0], "tags": column}), label="y", multi=["tags"])
    a, b = hash_string("a"), hash_string("b")
    assert found["tags"].to_list() == [[a, b], [1, 2], [], [a], [a]]


def test_tables_in_memory_that_cannot_be_read_give_one_line(tmp_path):
    with pytest.raises(InputError, match="the LazyFrame cannot be collected"):
        _read(tmp_path, pl.scan_parquet(tmp_path / "none.parquet"))
    with pytest.raises(InputError, match="the LazyFrame cannot be collected"):
        _read(tmp_path, pl.LazyFrame({"y": [1]}).select("x"))
    frame = pd.DataFrame({"y": [0, 1], "x": [1j, 2j], "id": [1, 2]})
    with pytest.raises(InputError, match="x is 1j, which is not a finite number"):
        _read(tmp_path, frame, label="y", dense=["x"], sparse=["id"])
    arrow = pa.table({"y": [0, 1], "x": pa.array([(1, 2, 3), (1, 2, 3)], pa.month_day_nano_interval())})
    with pytest.raises(InputError, match="a column has a type that cannot be read"):
        _read(tmp_path, arrow, label="y", sparse=["x"])


def test_one_name_is_enough_to_split_by(tmp_path):
    path = _csv(tmp_path, _delimited([row | {"user": place % 50} for place, row in enumerate(_rows(400))]))
    splits = []
    for by in ("user", ["user"]):
        prepare("tabular", tmp_path / "out", path, split="hash", split_by=by, overwrite=True, **COLUMNS)
        splits.append(_found(tmp_path / "out"))
    assert splits[0].equals(splits[1])
