"""What is no whole file is refused in one line and leaves nothing; a row that is no text is a bad row."""

from __future__ import annotations

import gzip
import io
import json
import os
import zipfile
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import recnas.data_prep
from recnas.data_prep.text import read_pieces
from recnas.features.feature import SparseFeature
from recnas.features.schema import SPLITS, Schema
from recnas.util.console import Bar
from recnas.util.errors import InputError

ROWS = [{"click": number % 2, "user": f"u{number % 7}"} for number in range(2000)]
LINES = "".join(f"{json.dumps(row)}\n" for row in ROWS).encode()
CSV = b"click,user\n" + b"".join(f"{row['click']},{row['user']}\n".encode() for row in ROWS)


def prepare(input: Path, output: Path, **options: object) -> Schema:
    return recnas.data_prep.prepare(
        "tabular", output, input=input, label="click", sparse=["user"], progress=False, **options
    )


def zipped(data: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("log.csv", data)
    return file.getvalue()


def parquet(data: bytes) -> bytes:
    file = io.BytesIO()
    pl.read_csv(data).write_parquet(file, row_group_size=100)
    return file.getvalue()


FORMS: dict[str, Callable[[bytes], bytes]] = {
    ".csv": bytes,
    ".csv.gz": gzip.compress,
    ".csv.zst": lambda data: pa.compress(data, "zstd", asbytes=True),
    ".csv.zip": zipped,
    ".parquet": parquet,
}


@pytest.mark.parametrize("policy", ["error", "skip"])
@pytest.mark.parametrize("suffix", FORMS)
@pytest.mark.parametrize("change", ["cut", "grown"])
def test_a_file_that_changes_while_it_is_read_gives_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str, policy: str, change: str
) -> None:
    log = tmp_path / f"log{suffix}"
    log.write_bytes(FORMS[suffix](CSV))
    before = log.stat().st_size
    split = recnas.data_prep.make_split

    def changing(*arguments: object) -> object:
        # After the log was looked at, before its rows are read.
        with log.open("r+b") as file:
            file.truncate(before // 2) if change == "cut" else file.seek(0, 2) and file.write(b"\n")
        return split(*arguments)

    monkeypatch.setattr(recnas.data_prep, "make_split", changing)
    with pytest.raises(InputError, match=r"log\.") as told:
        prepare(log, tmp_path / "out", on_bad_row=policy)
    assert "\n" not in str(told.value)
    if suffix == ".csv":
        after = before // 2 if change == "cut" else before + 1
        size = f"changed while read, from {before:,} bytes to {after:,}; wait until nobody writes there"
        assert size in str(told.value) or (policy == "error" and "fields where 2 are expected" in str(told.value))
    assert [path.name for path in tmp_path.iterdir()] == [log.name]


def test_a_pipe_and_a_device_are_refused_at_once(tmp_path: Path) -> None:
    pipe = tmp_path / "log.csv"
    os.mkfifo(pipe)
    with pytest.raises(InputError, match=r"log\.csv: is a pipe, which can be read only once; give a file"):
        prepare(pipe, tmp_path / "out")
    with pytest.raises(InputError, match="is a pipe"):
        recnas.data_prep.prepare("criteo", tmp_path / "out", input=pipe, progress=False)
    for name in ("log.parquet", "log.jsonl"):
        (tmp_path / name).symlink_to("/dev/zero")
        with pytest.raises(InputError, match=rf"{name}: is no file"):
            prepare(tmp_path / name, tmp_path / "out")


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("packed")


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), suffix=st.sampled_from([".csv.gz", ".csv.zst", ".csv.zip"]))
def test_damaged_packed_text_is_one_line_or_what_was_packed(packed: Path, data: st.DataObject, suffix: str) -> None:
    whole = bytearray(FORMS[suffix](CSV))
    end = len(whole) - 1
    for _ in range(data.draw(st.integers(1, 4))):
        # The directory of a zip is at its end.
        place = data.draw(st.one_of(st.integers(0, end), st.integers(end - 120, end)))
        whole[place] = data.draw(st.integers(0, 255))
    log = packed / f"log{suffix}"
    log.write_bytes(whole + data.draw(st.sampled_from([b"", b"garbage", b"\0" * 9])))
    refused = ""
    try:
        assert all(piece.data for piece in read_pieces(log, Bar()))
    except InputError as error:
        refused = str(error)
    assert not refused or refused.startswith(f"{log}: ")
    assert "\n" not in refused


@pytest.mark.parametrize("place", [0, 1000, 2000])
@pytest.mark.parametrize("line", [r'{"\ud800": 1}', r'{"click": 1, "user": "u1", "\uDFFF x": 1}'])
def test_half_of_a_surrogate_pair_in_a_key_is_a_bad_row(tmp_path: Path, line: str, place: int) -> None:
    lines = LINES.splitlines(keepends=True)
    lines.insert(place, line.encode() + b"\n")
    # A letter beyond 16 bits, which JSON may write as a pair, is none of it.
    lines.append(b'{"click": 0, "user": "\\ud83d\\ude00", "\\ud83d\\ude00": 1}\n')
    log = tmp_path / "log.jsonl"
    log.write_bytes(b"".join(lines))
    with pytest.raises(InputError, match=rf"log\.jsonl:{place + 1}: a key has half of a surrogate pair"):
        prepare(log, tmp_path / "out")
    schema = prepare(log, tmp_path / "out", on_bad_row="skip")
    assert sum(counts["rows"] for counts in schema.splits.values()) == len(ROWS) + 1
    number, _, text = (tmp_path / "out" / "rejected-rows.txt").read_text().splitlines()[0].split("\t")
    assert (number, text) == (f"log.jsonl:{place + 1}", line)


def test_half_of_a_surrogate_pair_in_a_key_that_no_feature_has_is_left_alone_when_rows_are_encoded() -> None:
    counts = {split: {"rows": 10, "positives": 5} for split in SPLITS}
    schema = Schema("click", (), (SparseFeature("user", 9),), counts)
    plain = schema.encode([{"user": "u1"}]).ids
    assert (schema.encode([{"user": "u1", "\ud800": 1}]).ids == plain).all()
    assert (schema.encode({"user": "u1", "\ud800": {"\ud800": 1}}).ids == plain).all()


def test_a_file_without_a_name_in_a_zip_is_one_line(tmp_path: Path) -> None:
    whole = bytearray(zipped(CSV))
    # The length of its name, in the directory.
    length = whole.rindex(b"PK\x01\x02") + 28
    whole[length : length + 2] = b"\0\0"
    log = tmp_path / "log.csv.zip"
    log.write_bytes(whole)
    with pytest.raises(InputError, match=r"log\.csv\.zip: ") as refused:
        list(read_pieces(log, Bar()))
    assert "\n" not in str(refused.value)
