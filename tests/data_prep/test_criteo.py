"""Criteo's log: from raw text to batches, against plain Python; and what is said about rows that do not fit."""

import gzip
import math

import numpy as np
import polars as pl
import pytest
from sklearn.model_selection import StratifiedKFold

from recnas.data import Dataset
from recnas.data_prep import prepare
from recnas.data_prep.criteo import TABLE_ROWS
from recnas.data_prep.text import input_files
from recnas.features.schema import SPLITS, Schema
from recnas.util.errors import InputError


def _expected(lines: list[str]) -> dict[str, list[tuple[float, list[float], list[int]]]]:
    """Label, dense inputs and table rows of every example, computed one by one."""
    labels = [int(line.split("\t")[0]) for line in lines]
    split_of = {}
    folds = StratifiedKFold(n_splits=10, shuffle=True, random_state=2018).split(np.zeros(len(labels)), labels)
    for fold, (_, members) in enumerate(folds):
        split_of |= dict.fromkeys(members, SPLITS[max(0, fold - 7)])
    result = {name: [] for name in SPLITS}
    for number, line in enumerate(lines):
        label, *values = line.split("\t")
        dense = [math.log(1 + max(float(value), 0)) if value else 0.0 for value in values[:13]]
        sparse = [
            int(value, 16) % (rows - 1) + 1 if value else 0
            for value, rows in zip(values[13:], TABLE_ROWS.values(), strict=True)
        ]
        result[split_of[number]].append((float(label), dense, sparse))
    return result


def _loaded(path, split: str) -> list[tuple[float, list[float], list[int]]]:
    result = []
    for batch in Dataset(path).batches(split, 7):
        ids = batch.sparse.values().reshape(26, len(batch)).T
        result += zip(batch.label.tolist(), batch.dense.tolist(), ids.tolist(), strict=True)
    return result


def _assert_same(path, lines: list[str]) -> None:
    for split, examples in _expected(lines).items():
        loaded = _loaded(path, split)
        assert [example[0] for example in loaded] == [example[0] for example in examples]
        assert [example[2] for example in loaded] == [example[2] for example in examples]
        np.testing.assert_allclose([e[1] for e in loaded], [e[1] for e in examples], rtol=1e-6)


def _raw_columns(path) -> pl.DataFrame:
    return pl.concat([pl.read_parquet(path / split / "*.parquet") for split in SPLITS])


def test_raw_text_becomes_the_batches_that_plain_python_computes(tmp_path, train_txt):
    prepare("criteo", tmp_path / "out", train_txt)
    _assert_same(tmp_path / "out", train_txt.read_text().splitlines())


def test_labels_and_rows_stay_together_and_no_row_is_lost(tmp_path, train_txt):
    prepare("criteo", tmp_path / "out", train_txt)
    rows = _raw_columns(tmp_path / "out")
    # I5 holds each row's number, from 0.
    found = dict(rows.select("I5", "label").iter_rows())
    lines = train_txt.read_text().splitlines()
    assert found == {number: int(line[0]) for number, line in enumerate(lines)}
    assert len(rows) == len(lines)


def test_rows_keep_the_files_order_within_a_split(tmp_path, train_txt):
    prepare("criteo", tmp_path / "out", train_txt)
    for split in SPLITS:
        assert pl.read_parquet(tmp_path / "out" / split / "*.parquet")["I5"].is_sorted()


def test_ids_are_kept_raw_and_missing_ones_are_null(tmp_path, train_txt):
    prepare("criteo", tmp_path / "out", train_txt)
    rows = _raw_columns(tmp_path / "out").sort("I5")
    for number, line in enumerate(train_txt.read_text().splitlines()):
        wanted = [int(value, 16) if value else None for value in line.split("\t")[14:]]
        assert list(rows.row(number)[14:]) == wanted


def test_the_schema_has_the_published_tables_and_the_counts(tmp_path, train_txt):
    schema = prepare("criteo", tmp_path / "out", train_txt)
    assert schema == Schema.load(tmp_path / "out")
    assert tuple(feature.rows for feature in schema.sparse) == tuple(TABLE_ROWS.values())
    assert len(TABLE_ROWS) == 26
    assert sum(TABLE_ROWS.values()) == 33_762_601
    assert sum(schema.rows(split) for split in SPLITS) == 200
    positives = sum(line[0] == "1" for line in train_txt.read_text().splitlines())
    assert sum(schema.splits[split]["positives"] for split in SPLITS) == positives
    assert schema.source["name"] == "criteo"
    assert schema.source["size"] == train_txt.stat().st_size
    assert schema.source["rejected_rows"] == 0


@pytest.mark.parametrize(
    "form",
    [
        pytest.param(lambda text: gzip.compress(text), id="gzip"),
        pytest.param(lambda text: text.replace(b"\n", b"\r\n"), id="windows line ends"),
        pytest.param(lambda text: b"\xef\xbb\xbf" + text, id="byte-order mark"),
        pytest.param(lambda text: text.removesuffix(b"\n"), id="no line end at the end"),
        pytest.param(lambda text: text.replace(b"\n", b"\r\n").removesuffix(b"\n"), id="half a line end"),
        pytest.param(lambda text: text.upper(), id="upper-case hex"),
    ],
)
def test_the_same_rows_in_another_form_give_the_same_data_set(tmp_path, train_txt, form):
    text = train_txt.read_bytes()
    data = form(text)
    other = tmp_path / ("other.txt.gz" if data[:2] == b"\x1f\x8b" else "other.txt")
    other.write_bytes(data)
    prepare("criteo", tmp_path / "out", other)
    _assert_same(tmp_path / "out", text.decode().splitlines())


def test_the_size_of_the_pieces_changes_nothing(tmp_path, train_txt, monkeypatch):
    monkeypatch.setattr("recnas.data_prep.text.read_pieces.__defaults__", (1000,))
    prepare("criteo", tmp_path / "out", train_txt)
    _assert_same(tmp_path / "out", train_txt.read_text().splitlines())


def _spoiled(line: str, place: int, value: str) -> str:
    fields = line.split("\t")
    fields[place] = value
    return "\t".join(fields)


BAD = {
    "too few fields": (lambda line: line.rsplit("\t", 1)[0], "39 fields where 40 are expected"),
    "too many fields": (lambda line: line + "\tff", "41 fields where 40 are expected"),
    "an empty line": (lambda line: "", "1 fields where 40 are expected"),
    "label 2": (lambda line: _spoiled(line, 0, "2"), "label is '2', which is not 0 or 1"),
    "no label": (lambda line: _spoiled(line, 0, ""), "label is '', which is not 0 or 1"),
    "a word for a label": (lambda line: _spoiled(line, 0, "yes"), "label is 'yes'"),
    "a word for a number": (lambda line: _spoiled(line, 3, "x"), "I3 is 'x', which is not a number"),
    "not a number": (lambda line: _spoiled(line, 13, "nan"), "I13 is 'nan', which is not a number"),
    "infinity": (lambda line: _spoiled(line, 1, "inf"), "I1 is 'inf', which is not a number"),
    "too large a number": (lambda line: _spoiled(line, 1, "1e999"), "I1 is '1e999', which is not a number"),
    "a blank": (lambda line: _spoiled(line, 1, " 5"), "I1 is ' 5', which is not a number"),
    "not hex": (lambda line: _spoiled(line, 14, "0xyz"), "C1 is '0xyz', which is not a hexadecimal id"),
    "signed hex": (lambda line: _spoiled(line, 15, "+ab"), "C2 is '\\+ab', which is not a hexadecimal id"),
    "9 digits": (lambda line: _spoiled(line, 39, "123456789"), "C26 is '123456789', which is not a hexadecimal id"),
    "quotes": (lambda line: _spoiled(line, 39, '"ab"'), "C26 is '\"ab\"', which is not"),
    "not UTF-8": (lambda line: _spoiled(line, 20, "\udcff"), "C7 is '\ufffd', which is not a hexadecimal id"),
    "a lone carriage return": (lambda line: _spoiled(line, 2, "5\r"), "I2 is '5.r', which is not a number"),
}


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_row_is_named_by_its_line(tmp_path, train_txt, kind):
    spoil, reason = BAD[kind]
    lines = train_txt.read_text().splitlines()
    lines[122] = spoil(lines[122])
    train_txt.write_bytes("\n".join(lines).encode(errors="surrogateescape"))
    with pytest.raises(
        InputError, match=rf"train\.txt:123: {reason}.*; --on-bad-row skip sets such rows aside"
    ) as caught:
        prepare("criteo", tmp_path / "out", train_txt)
    assert "\n" not in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["train.txt"]


def test_two_bad_rows_whose_fields_make_up_for_each_other_are_found(tmp_path, train_txt):
    lines = train_txt.read_text().splitlines()
    lines[4] += "\tff"
    lines[9] = lines[9].rsplit("\t", 1)[0]
    train_txt.write_text("\n".join(lines))
    with pytest.raises(InputError, match=r"train\.txt:5: 41 fields"):
        prepare("criteo", tmp_path / "out", train_txt)


@pytest.mark.parametrize("piece_bytes", [500, 3000, 10**6])
def test_skipping_keeps_every_good_row_and_lists_the_bad_ones(tmp_path, train_txt, monkeypatch, piece_bytes):
    monkeypatch.setattr("recnas.data_prep.text.read_pieces.__defaults__", (piece_bytes,))
    good = train_txt.read_text().splitlines()
    lines = list(good)
    bad = {}
    # The first row, the last, and two neighbours among them.
    for place, kind in zip([0, *range(20, 170, 11), 21], BAD, strict=False):
        bad[place] = BAD[kind]
    bad[199] = BAD["label 2"]
    for place, (spoil, _) in bad.items():
        lines[place] = spoil(lines[place])
    train_txt.write_bytes("\n".join(lines).encode(errors="surrogateescape") + b"\n")
    schema = prepare("criteo", tmp_path / "out", train_txt, on_bad_row="skip")
    _assert_same(tmp_path / "out", [line for place, line in enumerate(good) if place not in bad])
    assert schema.source["rejected_rows"] == len(bad)
    rejected = (tmp_path / "out" / "rejected-rows.txt").read_bytes().decode().split("\n")
    assert rejected.pop() == ""
    assert [line.split("\t")[0] for line in rejected] == [f"train.txt:{place + 1}" for place in sorted(bad)]


def test_no_good_row_at_all_is_refused(tmp_path, train_txt):
    train_txt.write_text("x\n" * 50)
    with pytest.raises(InputError, match="no good row"):
        prepare("criteo", tmp_path / "out", train_txt, on_bad_row="skip")


def test_the_challenges_test_file_without_labels_is_refused(tmp_path, train_txt, criteo_lines):
    train_txt.write_text("\n".join(line[2:] for line in criteo_lines(50)))
    with pytest.raises(InputError, match=r"train\.txt:1: 39 fields where 40 are expected"):
        prepare("criteo", tmp_path / "out", train_txt)


def test_an_empty_file_is_refused(tmp_path, train_txt):
    for data in (b"", b"\xef\xbb\xbf"):
        train_txt.write_bytes(data)
        with pytest.raises(InputError, match=r"train\.txt: the file is empty"):
            prepare("criteo", tmp_path / "out", train_txt)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(InputError, match=r"none\.txt: no such file; check --input"):
        prepare("criteo", tmp_path / "out", tmp_path / "none.txt")


def test_a_folder_in_place_of_the_file_is_refused(tmp_path):
    with pytest.raises(InputError, match="has no file named"):
        prepare("criteo", tmp_path / "out", tmp_path)


def test_a_forgotten_input_is_asked_for(tmp_path):
    with pytest.raises(InputError, match="criteo needs --input"):
        prepare("criteo", tmp_path / "out")


@pytest.mark.parametrize("damage", [lambda data: data[: len(data) // 2], lambda data: b"plain" + data])
def test_a_damaged_gzip_file_is_refused(tmp_path, train_txt, damage):
    packed = tmp_path / "train.txt.gz"
    packed.write_bytes(damage(gzip.compress(train_txt.read_bytes())))
    with pytest.raises(InputError, match=r"train\.txt\.gz: cannot be unpacked"):
        prepare("criteo", tmp_path / "out", packed)


def test_a_file_without_lines_is_refused(tmp_path, train_txt, monkeypatch):
    monkeypatch.setattr("recnas.data_prep.text.MAX_LINE_BYTES", 1000)
    monkeypatch.setattr("recnas.data_prep.text.read_pieces.__defaults__", (500,))
    train_txt.write_bytes(bytes(5000))
    with pytest.raises(InputError, match=r"train\.txt:1: a line of more than 0 MB; is it a text file\?"):
        prepare("criteo", tmp_path / "out", train_txt)


def test_a_folder_gives_the_log_only_and_once(tmp_path):
    for name in ("day_2", "day_10.gz", "day_1.zst", "day_1.bak", "day_2.md5", "day_x", "day_3.gz.partial"):
        (tmp_path / name).touch()
    names = ("train.txt", "day_<number>")
    assert [path.name for path in input_files(tmp_path, names)] == ["day_1.zst", "day_2", "day_10.gz"]
    (tmp_path / "day_2.gz").touch()
    with pytest.raises(InputError, match=r"day_2\.gz: the same rows as day_2, packed otherwise"):
        input_files(tmp_path, names)
    (tmp_path / "train.txt").touch()
    with pytest.raises(InputError, match=r"holds train\.txt and day_1\.zst; choose with --input"):
        input_files(tmp_path, names)
