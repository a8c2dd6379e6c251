"""Avazu's log against plain Python."""

import datetime
import random

import polars as pl
import pytest

from recnas.data import Dataset
from recnas.data_prep import prepare
from recnas.data_prep.avazu import FORM, HEXADECIMAL, TABLE_ROWS
from recnas.features.schema import SPLITS
from recnas.util.errors import InputError

MODULUS = 2**31 - 1


def _rows(count: int, seed: int = 0) -> list[dict[str, str]]:
    """Rows of Avazu's form; C14 is the row's number. Hexadecimal ids of digits only are among them."""
    randomness = random.Random(seed)
    rows = []
    for number in range(count):
        row = {name: f"{randomness.getrandbits(32):08x}" for name in HEXADECIMAL}
        row |= {name: str(randomness.randint(0, 3000)) for name in TABLE_ROWS if name not in HEXADECIMAL}
        row |= {"site_id": f"{randomness.randrange(10**8):08d}", "C20": "-1", "C14": str(number)}
        row |= {"id": str(randomness.getrandbits(64)), "click": str(int(randomness.random() < 0.3))}
        row["hour"] = f"1410{randomness.randint(21, 30)}{randomness.randint(0, 23):02d}"
        rows.append(row)
    return rows


def _write(path, rows) -> None:
    names = list(FORM.columns)
    path.write_text("\n".join([",".join(names), *(",".join(row[name] for name in names) for row in rows)]) + "\n")


def _raw(folder) -> pl.DataFrame:
    return pl.concat([pl.read_parquet(folder / split / "*.parquet") for split in SPLITS]).sort("C14")


def test_every_column_is_read_by_its_own_base(tmp_path):
    rows = _rows(120)
    _write(tmp_path / "train", rows)
    schema = prepare("avazu", tmp_path / "out", tmp_path / "train")
    found = _raw(tmp_path / "out")
    for name in TABLE_ROWS:
        base = 16 if name in HEXADECIMAL else 10
        assert found[name].to_list() == [int(row[name], base) % MODULUS for row in rows], name
    assert found["click"].to_list() == [int(row["click"]) for row in rows]
    assert (len(schema.dense), schema.num_dense, schema.num_sparse) == (0, 1, 23)
    assert {feature.name: feature.rows for feature in schema.sparse} == TABLE_ROWS
    assert sum(TABLE_ROWS.values()) == 9_459_467
    batch = next(iter(Dataset(tmp_path / "out").batches("train", 8)))
    assert batch.dense.tolist() == [[0.0]] * 8


def test_time_features_are_hour_and_weekday(tmp_path):
    rows = _rows(60)
    _write(tmp_path / "train", rows)
    schema = prepare("avazu", tmp_path / "out", tmp_path / "train", time_features=True)
    times = [datetime.datetime.strptime(row["hour"], "%y%m%d%H") for row in rows]
    found = _raw(tmp_path / "out")
    assert found["hour_of_day"].to_list() == [time.hour for time in times]
    assert found["weekday"].to_list() == [time.weekday() for time in times]
    assert schema.num_sparse == 25


@pytest.mark.parametrize(
    ("name", "text", "wanted"),
    [
        ("click", "2", "0 or 1"),
        ("site_id", "xyz", "a hexadecimal id"),
        ("C1", "10f5", "a whole number"),
        ("id", str(2**64), "a whole number from 0"),
        ("hour", "-1", "an hour as YYMMDDHH"),
    ],
)
def test_a_value_of_another_kind_is_named(tmp_path, name, text, wanted):
    rows = _rows(60)
    rows[41][name] = text
    _write(tmp_path / "train", rows)
    with pytest.raises(InputError, match=rf"train:43: {name} is '{text}', which is not {wanted}"):
        prepare("avazu", tmp_path / "out", tmp_path / "train")
    schema = prepare("avazu", tmp_path / "out", tmp_path / "train", on_bad_row="skip")
    assert _raw(tmp_path / "out")["C14"].to_list() == [number for number in range(60) if number != 41]
    assert schema.source["rejected_rows"] == 1


def test_another_header_is_named(tmp_path):
    (tmp_path / "train").write_text("id,hour\n1,2\n")
    with pytest.raises(InputError, match="train:1: the columns are"):
        prepare("avazu", tmp_path / "out", tmp_path / "train")


def test_an_option_of_another_recipe_is_refused(tmp_path):
    with pytest.raises(InputError, match="criteo has no option time_features"):
        prepare("criteo", tmp_path / "out", tmp_path / "train", time_features=True)
