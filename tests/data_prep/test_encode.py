"""Serving reads raw values as preparation did: raw file → data set → batches, against `Schema.encode` of raw rows.

The code that an export writes for those who have no recnas must read the same.
"""

import datetime
import json
import math
import random
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recnas.data import Dataset, batch_of, fit_inputs
from recnas.data_prep import prepare
from recnas.data_prep.avazu import FORM as AVAZU
from recnas.data_prep.avazu import HEXADECIMAL
from recnas.data_prep.criteo import FORM as CRITEO
from recnas.data_prep.kdd import FORM as KDD
from recnas.data_prep.synthetic import generate
from recnas.features.feature import DenseFeature, SparseFeature
from recnas.features.inputs import Inputs
from recnas.features.raw_values import raw_value
from recnas.features.schema import SPLITS, Schema
from recnas.util.errors import InputError
from tests.export.written_rows import assert_project_reads

COUNTS = {name: {"rows": 10, "positives": 4} for name in SPLITS}


def examples_of(batch) -> list:
    """Each example of a batch as plain values."""
    keys = batch.sparse.keys()
    lists = [[ids.tolist() for ids in batch.sparse[key].to_dense()] for key in keys]
    return list(zip(batch.dense.tolist(), *lists, strict=True))


def assert_same_as_prepared(folder, rows) -> None:
    """Compares the batches of a data set with the encoded raw rows, whatever split each went to."""
    dataset, schema = Dataset(folder), Schema.load(folder)
    prepared = [x for split in SPLITS for batch in dataset.batches(split, 64) for x in examples_of(batch)]
    for given_rows in (rows, pd.DataFrame(rows), pl.DataFrame(rows), pa.Table.from_pylist(rows)):
        encoded = schema.encode(given_rows)
        assert sorted(examples_of(batch_of(encoded, schema))) == sorted(prepared)
    assert_project_reads(schema, folder.parent / "project", rows)


def lines_to(path, names, rows, separator="\t", header=False) -> None:
    lines = [separator.join(row[name] for name in names) for row in rows]
    path.write_text("\n".join(([separator.join(names)] if header else []) + lines) + "\n")


def test_criteo(tmp_path, train_txt) -> None:
    rows = [dict(zip(CRITEO.columns, line.split("\t"), strict=True)) for line in train_txt.read_text().splitlines()]
    prepare("criteo", tmp_path / "out", train_txt, progress=False)
    assert_same_as_prepared(tmp_path / "out", rows)


def test_avazu(tmp_path) -> None:
    randomness = random.Random(0)
    rows = []
    for _ in range(150):
        row = {
            name: f"{randomness.getrandbits(32):08x}" if name in HEXADECIMAL else str(randomness.randint(0, 3000))
            for name in AVAZU.columns
        }
        row |= {"id": str(randomness.getrandbits(64)), "C20": "-1", "click": str(randomness.randint(0, 1))}
        row |= {"hour": f"1410{randomness.randint(21, 30)}{randomness.randint(0, 23):02d}"}
        row |= {"C1": "0010", "device_ip": "", "site_id": "00000012"}
        rows.append(row)
    lines_to(tmp_path / "train", list(AVAZU.columns), rows, ",", header=True)
    prepare("avazu", tmp_path / "out", tmp_path / "train", time_features=True, progress=False)
    assert_same_as_prepared(tmp_path / "out", rows)


def test_kdd(tmp_path) -> None:
    randomness = random.Random(0)
    rows = [
        {name: str(randomness.choice([7, 2**31, 2**32 - 1])) for name in KDD.columns}
        | {"click": str(randomness.randint(0, 1)), "display_url": str(randomness.getrandbits(64)), "query": ""}
        | {"user": str(user), "depth": randomness.choice(["", "3"]), "ad": "0042"}
        for user in (randomness.randint(1, 5) for _ in range(150))
    ]
    profiles = {str(user): {"gender": str(user % 3), "age": str(user)} for user in range(1, 5)}
    lines_to(tmp_path / "training.txt", list(KDD.columns), rows)
    users = [{"user": user, **profile} for user, profile in profiles.items()]
    lines_to(tmp_path / "userid_profile.txt", ["user", "gender", "age"], users)
    prepare("kdd", tmp_path / "out", tmp_path, progress=False)
    nobody = {"gender": None, "age": None}
    assert_same_as_prepared(tmp_path / "out", [row | profiles.get(row["user"], nobody) for row in rows])


def test_movielens(tmp_path, movielens_folder) -> None:
    def read(kind: str) -> list[dict[str, str]]:
        header, *lines = (movielens_folder / f"ml-100k.{kind}").read_text().splitlines()
        names = [name.partition(":")[0] for name in header.split("\t")]
        return [dict(zip(names, line.split("\t"), strict=True)) for line in lines]

    users = {row["user_id"]: row for row in read("user")}
    items = {row["item_id"]: row for row in read("item")}
    prepare("movielens", tmp_path / "out", movielens_folder, progress=False)
    rows = [rating | users[rating["user_id"]] | items[rating["item_id"]] for rating in read("inter")]
    assert_same_as_prepared(tmp_path / "out", rows)


def test_synthetic(tmp_path) -> None:
    prepare("synthetic", tmp_path / "out", rows=2000, progress=False)
    assert_same_as_prepared(tmp_path / "out", pl.concat(generate(2000)).to_dicts())


numbers = st.sampled_from(["", "0", "-3", "1.5", "1e3", " 7 ", "2500000000"])
ids = st.sampled_from(["", "5", "5.0", "007", "-1", "a", "A", "é", "1.50", "4294967296", str(2**70)])
tags = st.sampled_from(["", "a", "a|b", "a||5.0", "|", "5|5"])


@settings(max_examples=20, deadline=None)
@given(data=st.data())
def test_a_table_of_text(tmp_path_factory, data) -> None:
    folder = tmp_path_factory.mktemp("tabular")
    one = st.fixed_dictionaries({"price": numbers, "visits": numbers, "user": ids, "tags": tags})
    rows = data.draw(st.lists(one, min_size=30, max_size=40))
    rows = [row | {"label": str(place % 2)} for place, row in enumerate(rows)]
    lines_to(folder / "in.csv", list(rows[0]), rows, ",", header=True)
    options = data.draw(st.sampled_from([{}, {"min_count": 3}, {"unseen": "missing"}, {"unseen": "hash"}]))
    roles = {"label": "label", "dense": ["price", "visits:log1p"], "sparse": ["user"], "multi": ["tags"]}
    prepare("tabular", folder / "out", folder / "in.csv", progress=False, **options, **roles)
    assert_same_as_prepared(folder / "out", rows)


def test_a_table_of_typed_values(tmp_path) -> None:
    rows = [
        {"y": n % 2, "x": None if n % 5 == 0 else n / 3, "user": None if n % 7 == 0 else n, "tags": [n, None][: n % 3]}
        for n in range(60)
    ]
    (tmp_path / "in.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    roles = {"label": "y", "dense": ["x"], "sparse": ["user"], "multi": ["tags"]}
    prepare("tabular", tmp_path / "out", tmp_path / "in.jsonl", progress=False, **roles)
    assert_same_as_prepared(tmp_path / "out", rows)


ODD_NUMBERS = ["", " ", "NA", " NULL", "nan", "NaN", "inf", "-inf", "Infinity", "+inf", "1e999", "-1e400", "0x1", "1_0"]
ODD_NUMBERS += ["1e308", "-1e308", "-0.0", "007", " 7 ", "5e-324", None, math.nan, math.inf, -math.inf, 1e300, 0]


@pytest.mark.parametrize("odd", ODD_NUMBERS)
def test_odd_numbers_are_served_as_they_were_prepared_however_they_are_fed(tmp_path, odd) -> None:
    rows = [{"y": n % 2, "x": str(n % 19 / 4) if n % 5 else "", "user": f"u{n % 4}"} for n in range(60)]
    table = [*rows, {"y": 1, "x": odd, "user": "u1"}]
    roles = {"label": "y", "dense": ["x"], "sparse": ["user"], "on_bad_row": "skip", "progress": False}
    first = tmp_path / "first"
    prepare("tabular", first, pd.DataFrame(rows, dtype=object), **roles)
    inputs = Inputs(("columns", "field", "bins", "piecewise", "missing"), bins=16, crosses=("user:x",))
    schema = fit_inputs(Dataset(first), inputs)
    frame = pd.DataFrame(table, dtype=object)
    if isinstance(odd, float):
        # Numbers as numbers.
        frame = frame.assign(x=pd.to_numeric(frame["x"]))
    schema.save(tmp_path)
    prepare("tabular", tmp_path / "out", frame, like=tmp_path, split="test", on_bad_row="skip", progress=False)
    dataset = Dataset(tmp_path / "out", needed=("test",)).fed(schema)
    *_, last = (example for batch in dataset.batches("test", 64) for example in examples_of(batch))
    served = frame.iloc[-1:]
    if dataset.rows("test") == len(table):
        for given_rows in (served, served.to_dict("records")[0]):
            (example,) = examples_of(batch_of(schema.encode(given_rows), schema))
            assert example == last
        return
    assert dataset.rows("test") == len(rows)
    for given_rows in (served, served.to_dict("records")[0]):
        with pytest.raises(InputError, match=r"x is .*, which is not a finite number"):
            schema.encode(given_rows)


SCHEMA = Schema(
    "click",
    (DenseFeature("price", {"name": "log1p"}, column="cost", missing=("NA",)),),
    (
        SparseFeature("user", 1000),
        SparseFeature("hex", 1000, id_parser={"name": "hexadecimal"}),
        SparseFeature("whole", 1000, id_parser={"name": "decimal", "modulus": 2**31 - 1, "signed": True}),
        SparseFeature("weekday", 8, column="hour", id_parser={"name": "time", "form": "YYMMDDHH", "part": "weekday"}),
        SparseFeature("city", 3, vocabulary=("94043", "Rome"), missing=("NA",)),
        SparseFeature("tags", 50, multi_valued=True, separator="|"),
    ),
    COUNTS,
)
GOOD = {"cost": 2, "user": 5, "hex": "ff", "whole": -1, "hour": 14102123, "city": "Rome", "tags": ["a", 5]}


def test_a_value_may_be_written_in_several_ways() -> None:
    ways = [
        GOOD,
        GOOD | {"cost": "2.0", "user": "5.0", "hex": "00FF", "whole": "-1", "hour": "14102123", "tags": "a|5"},
        GOOD | {"cost": 2.0, "user": 5.0, "whole": -1.0, "hour": 14102123.0, "tags": ("a", None, "5.0"), "other": "x"},
    ]
    first = SCHEMA.encode(GOOD)
    weekday = datetime.date(2014, 10, 21).weekday()
    assert first.ids.tolist() == [[6, 256, (2**31 - 2) % 999 + 1, weekday + 1, 2]]
    assert first.lists[0].values.tolist() == [raw_value("a") % 49 + 1, 6]
    for way in ways:
        for array, expected in zip(SCHEMA.encode(way).arrays, first.arrays, strict=True):
            np.testing.assert_array_equal(array, expected)
    assert SCHEMA.encode(GOOD | {"city": 94043}).ids[0, 4] == 1


@pytest.mark.parametrize("kind", [list, pd.DataFrame, pl.DataFrame, pa.Table.from_pylist])
def test_missing_values_are_row_0_and_the_number_0(kind) -> None:
    nothing = dict.fromkeys(GOOD)
    found = SCHEMA.encode(kind([nothing, dict.fromkeys(GOOD, "") | {"cost": "NA", "city": "NA"}, {"cost": None}]))
    assert found.dense.tolist() == [[0.0]] * 3
    assert found.ids.tolist() == [[0] * 5] * 3
    assert [array.tolist() for array in found.lists[0]] == [[0, 0, 0], [0, 1, 2, 3]]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"cost": "dear"}, "row 2: cost is 'dear', which is not a finite number"),
        ({"cost": float("inf")}, "row 2: cost is inf, which is not a finite number"),
        ({"user": 0.5}, "row 2: user is 0.5, which is not an id"),
        ({"hex": "xyz"}, "row 2: hex is 'xyz', which is not a text of up to 8 hexadecimal digits"),
        ({"whole": "1.5"}, "row 2: whole is '1.5', which is not a whole number from -9223372036854775808"),
        ({"hour": 14102124}, r"row 2: hour is 14102124(\.0)?, which is not an hour as YYMMDDHH"),
        ({"tags": [0.5]}, r"row 2: tags is \[?0.5\]?, which is not a list of strings or whole numbers"),
    ],
)
def test_what_cannot_be_read_is_named_by_row_and_column(change, message) -> None:
    rows = [GOOD | dict.fromkeys(change), GOOD | change]
    for given_rows in (rows, pd.DataFrame(rows), pl.DataFrame(rows, strict=False)):
        with pytest.raises(InputError, match=message):
            SCHEMA.encode(given_rows)


@pytest.mark.parametrize("name", ["cost", "user", "hex", "whole", "hour", "city"])
def test_a_list_where_one_value_is_expected_is_named(name) -> None:
    row = GOOD | {"tags": "a|5", name: [1]}
    for rows in (row, pd.DataFrame([row]), pl.DataFrame([row])):
        with pytest.raises(InputError, match=f"row 1: {name} is .*, which is not"):
            SCHEMA.encode(rows)


def test_a_number_is_no_hexadecimal_id() -> None:
    with pytest.raises(InputError, match="row 1: hex is 12, which is not a text of up to 8 hexadecimal digits"):
        SCHEMA.encode(GOOD | {"hex": 12})


def test_a_column_that_no_row_has_is_named_unless_that_is_allowed() -> None:
    typo = {name: value for name, value in GOOD.items() if name != "cost"} | {"kost": 2}
    for rows in (typo, [typo, typo], pd.DataFrame([typo])):
        with pytest.raises(InputError, match="no row has a value 'cost', for feature price"):
            SCHEMA.encode(rows)
        assert SCHEMA.encode(rows, allow_absent=True).dense[0, 0] == 0
    assert len(SCHEMA.encode([typo, GOOD])) == 2


def test_what_is_no_row_is_refused() -> None:
    with pytest.raises(InputError, match="row 2 is 3, which is not an object"):
        SCHEMA.encode([GOOD, 3])
    with pytest.raises(InputError, match=r"rows are builtins\.int; give dictionaries"):
        SCHEMA.encode(3)
    with pytest.raises(InputError, match="version 1, which does not say how raw values are read"):
        replace(SCHEMA, version=1).encode(GOOD)
    with pytest.raises(InputError, match="version 2, whose rule for the values of ids is another one; prepare the"):
        replace(SCHEMA, version=2).encode(GOOD)


def test_a_version_2_schema_whose_ids_have_readings_of_their_own_is_served_as_ever() -> None:
    published = replace(SCHEMA, sparse=tuple(feature for feature in SCHEMA.sparse if feature.id_parser is not None))
    old, new = (replace(published, version=version).encode(GOOD) for version in (2, 3))
    for array, expected in zip(old.arrays, new.arrays, strict=True):
        np.testing.assert_array_equal(array, expected)


def test_readings_and_columns_survive_json() -> None:
    assert Schema.from_json(json.loads(json.dumps(SCHEMA.to_json()))) == SCHEMA


def test_encoding_rows_needs_neither_torch_nor_polars(tmp_path) -> None:
    SCHEMA.save(tmp_path)
    code = (
        f"import sys; from recnas.features.schema import Schema; Schema.load({str(tmp_path)!r}).encode({GOOD!r}); "
        "sys.exit(any(name in sys.modules for name in ('torch', 'polars')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
