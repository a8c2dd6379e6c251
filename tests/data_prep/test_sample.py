"""The rows by which a table is judged, wherever they are, and what parts its columns."""

import gzip
import re
from pathlib import Path

import polars as pl
import pytest

from recnas.cli import main
from recnas.data_prep import prepare
from recnas.data_prep.sample import sample_of
from recnas.data_prep.separators import guessed_separator, separator_of
from recnas.data_prep.tables import open_tables
from recnas.features.raw_values import raw_value
from recnas.features.schema import SPLITS, Schema
from recnas.util.errors import InputError

LINES = [f"{place % 2},u{place % 9},{place % 7 / 4}" for place in range(60)]
HEADER = "click,user,price"


def _write(folder: Path, files: dict[str, str]) -> Path:
    folder.mkdir(exist_ok=True)
    for name, text in files.items():
        (folder / name).write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
    return folder


def _prepared(folder: Path, **options) -> Schema:
    return prepare("tabular", folder.parent / "out", folder, overwrite=True, **options)


def _found(schema: Schema) -> tuple[int, list[str], list[str]]:
    names = [[feature.name for feature in features] for features in (schema.dense, schema.sparse)]
    return sum(schema.rows(split) for split in SPLITS), *names


@pytest.mark.parametrize("first", [HEADER, HEADER + "\n", HEADER + "\n\n\n", ""])
@pytest.mark.parametrize("packing", ["", ".gz"])
def test_parts_without_rows_are_passed_over(tmp_path, capsys, first, packing):
    rows = "\n".join([HEADER, *LINES])
    names = [f"part-{place}.csv{packing}" for place in (1, 2, 3)]
    folder = _write(tmp_path / "in", dict(zip(names, (first, first, rows), strict=True)))
    assert _found(_prepared(folder)) == (60, ["price"], ["user"])
    said = capsys.readouterr().err
    assert (f"passed over: {folder / names[0]}: the file is empty (and 1 more)" in said) == (first == "")


def test_an_empty_parquet_part_is_passed_over(tmp_path):
    rows = pl.read_csv("\n".join([HEADER, *LINES]).encode())
    (tmp_path / "in").mkdir()
    rows.clear().write_parquet(tmp_path / "in" / "part-1.parquet")
    rows[:1].write_parquet(tmp_path / "in" / "part-2.parquet")
    rows[1:].write_parquet(tmp_path / "in" / "part-3.parquet", row_group_size=7)
    sample = sample_of(open_tables(tmp_path / "in", print))
    assert sample.frame.equals(rows)
    assert _found(_prepared(tmp_path / "in")) == (60, ["price"], ["user"])


def test_a_sample_is_taken_from_as_many_parts_as_it_needs(tmp_path):
    folder = _write(tmp_path / "in", {f"{part}.csv": "\n".join([HEADER, *LINES]) for part in range(4)})
    sample = sample_of(open_tables(folder, print), 130)
    assert [len(part) for part in sample.parts] == [60, 60, 10]
    assert sample.frame["user"].to_list() == [f"u{place % 60 % 9}" for place in range(130)]


def test_parts_may_have_columns_of_other_types(tmp_path):
    lines = ['{"click": 0, "user": 1}', '{"click": 1, "user": "a", "price": 0.5}', '{"click": 1, "price": 1}']
    folder = _write(tmp_path / "in", {f"{place}.jsonl": line + "\n" for place, line in enumerate(lines)})
    frame = sample_of(open_tables(folder, print)).frame
    assert frame["click"].to_list() == [0, 1, 1]
    assert frame["user"].to_list() == [1, "a", None]
    assert frame["price"].to_list() == [None, 0.5, 1.0]


@pytest.mark.parametrize(
    ("name", "what"), [("a.csv", "a header"), ("a.tsv.gz", "a header"), ("a.parquet", "columns"), (None, "columns")]
)
def test_a_table_without_rows_is_said_to_have_none(tmp_path, name, what):
    table: object = pl.DataFrame({"click": [], "user": []})
    if name is not None:
        table = tmp_path / name
        if name == "a.parquet":
            pl.DataFrame({"click": [], "user": []}).write_parquet(table)
        else:
            _write(tmp_path, {name: "click\tuser\n" if "tsv" in name else "click,user"})
    for options in ({}, {"label": "click", "sparse": ["user"]}):
        with pytest.raises(InputError, match=f"has {what} and no rows; give a table with rows"):
            prepare("tabular", tmp_path / "out", table, **options)


def test_that_no_part_has_rows_is_said_of_all(tmp_path):
    folder = _write(tmp_path / "in", {"1.csv": HEADER, "2.csv": HEADER, "3.csv": HEADER})
    with pytest.raises(InputError, match=r"1\.csv: has a header and no rows \(nor have the 2 other files\)"):
        _prepared(folder)
    with pytest.raises(InputError, match=r"1\.csv: the file is empty"):
        _prepared(_write(tmp_path / "none", {"1.csv": "", "2.csv": ""}))


def test_of_a_sample_without_a_good_row_the_first_bad_line_is_told(tmp_path):
    _write(tmp_path / "in", {"a.csv": "\n".join([HEADER, *(line + "," for line in LINES)])})
    message = r"a\.csv:2: 4 fields where 3 are expected; no line of the first ones is a good row"
    for policy in ("error", "skip"):
        with pytest.raises(InputError, match=message):
            _prepared(tmp_path / "in", on_bad_row=policy)
    with pytest.raises(InputError, match=r"a\.csv:2: 4 fields where 3 are expected; --on-bad-row skip"):
        _prepared(tmp_path / "in", label="click", sparse=["user"])
    with pytest.raises(InputError, match=r"a\.jsonl:1: the line is not a JSON object; no line"):
        prepare("tabular", tmp_path / "out", _write(tmp_path / "j", {"a.jsonl": "[1]\n" * 30}), label="y", sparse=["x"])


@pytest.mark.parametrize(("commas", "name"), [(1, r"\(unnamed\)"), (3, "Unnamed: 5")])
def test_columns_that_commas_at_each_lines_end_make_are_left_out_and_said(tmp_path, capsys, commas, name):
    _write(tmp_path / "in", {"a.csv": "\n".join(line + "," * commas for line in [HEADER, *LINES])})
    assert _found(_prepared(tmp_path / "in")) == (60, ["price"], ["user"])
    assert re.search(rf"^{name} +left out  no value in 60 rows$", capsys.readouterr().err, re.MULTILINE)


SEMICOLONS = ["0;1,5;u1", "1;2,5;u2", "0;1,0;u1"]


@pytest.mark.parametrize(
    ("header", "lines", "letters", "expected", "doubted"),
    [
        ('"price, EUR";click', ['"1,5";0'], ",\t;|", ";", False),
        ("click;price, EUR;user", SEMICOLONS, ",\t;|", ";", True),
        ("click;price, EUR;user", ["0;1;u1"], ",\t;|", ";", False),
        ("click,user", ["0,a|b", "1,c|d"], ",\t;|", ",", False),
        ("click,tags|all", ["0,a|b", "1,c|d"], ",\t;|", ",", True),
        ("click,tags|all", ["0,a", "1,c|d|e"], ",\t;|", ",", False),
        ("click\tfirst, last", ["0\ta, b", "1\tc, d"], "\t,;|", "\t", True),
        ("click", ["0", "1"], ",\t;|", ",", False),
        ("click,user", [], ",\t;|", ",", False),
        ("click,user", ["0,a,", "1,b,"], ",\t;|", ",", False),
        ('a,"b;c;d;e"', ['0,"1;2"'], ";,", ",", False),
    ],
)
def test_the_separator_is_the_one_that_fits_header_and_lines(header, lines, letters, expected, doubted):
    found, doubt = guessed_separator(header, lines, letters, quotes=True)
    assert found == expected
    assert (doubt is not None) == doubted


def test_a_doubt_about_the_separator_is_said(tmp_path, capsys):
    lines = ["click;price, EUR;user", *SEMICOLONS * 20]
    _write(tmp_path / "in", {"a.csv": "\n".join(lines), "b.csv": "\n".join(lines)})
    schema = _prepared(tmp_path / "in", label="click", sparse=["user"])
    assert _found(schema) == (120, [], ["user"])
    said = capsys.readouterr().err
    assert said.count("parted by") == 1
    assert "a.csv: columns are parted by ';' (3 columns), though they could be by ',' (2); --separator says" in said


def test_prices_with_a_comma_in_a_quoted_header_are_one_column(tmp_path):
    rows = [f'"{place},5";{place % 2};u{place % 5}' for place in range(60)]
    path = _write(tmp_path / "in", {"a.csv": "\n".join(['"price, EUR";click;user', *rows])})
    schema = _prepared(path, label="click", sparse=["user", "price, EUR"], unseen="hash")
    frame = pl.concat([pl.read_parquet(tmp_path / "out" / split / "*.parquet") for split in SPLITS])
    assert sorted(frame["price, EUR"].to_list()) == sorted(raw_value(f"{place},5") for place in range(60))
    assert schema.sparse[1].name == "price, EUR"


@pytest.mark.parametrize("separator", ["tab", "\\t", "\t", "~", "space", "^"])
def test_a_separator_can_be_given(tmp_path, separator):
    letter = separator_of(separator)
    text = "\n".join(line.replace(",", letter) for line in [HEADER, *LINES])
    _write(tmp_path, {"a.csv": text})
    flags = ["--separator", separator, "--yes", "--quiet"]
    assert (
        main(["prepare", "tabular", "--input", str(tmp_path / "a.csv"), "--output", str(tmp_path / "out"), *flags]) == 0
    )
    assert _found(Schema.load(tmp_path / "out")) == (60, ["price"], ["user"])


@pytest.mark.parametrize("separator", ["", ";;", "\n", '"', "é", "\0"])
def test_what_cannot_part_columns_is_refused(tmp_path, separator):
    _write(tmp_path, {"a.csv": "\n".join([HEADER, *LINES])})
    with pytest.raises(InputError, match=r"--separator .*: it must be one ASCII letter"):
        prepare("tabular", tmp_path / "out", tmp_path / "a.csv", separator=separator)


def test_a_separator_is_for_text_alone(tmp_path):
    pl.DataFrame({"click": [0, 1]}).write_parquet(tmp_path / "a.parquet")
    for table in (tmp_path / "a.parquet", pl.DataFrame({"click": [0, 1]})):
        with pytest.raises(InputError, match="--separator is for delimited text"):
            prepare("tabular", tmp_path / "out", table, separator=",")
