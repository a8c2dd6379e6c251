"""What a model is fed of a data set: made from training rows, and the same when it is loaded as of raw rows."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recnas.data import Batch, Dataset, batch_of, fit_inputs, fitting
from recnas.features.columns import read_feature
from recnas.features.feature import DenseFeature, SparseFeature, table_rows
from recnas.features.inputs import AS_PREPARED, NUMBERS, Inputs
from recnas.features.raw_values import joint_value, joint_values, raw_value
from recnas.features.schema import SPLITS, Schema
from recnas.util.errors import InputError

Row = Mapping[str, Any]

WORDS = ("a", "b", "c", "5", "7")
DENSE = (
    DenseFeature("price", {"name": "log1p"}, column="cost", missing=("NA", "-9")),
    DenseFeature("visits", {"name": "standardize", "mean": 2.0, "std": 3.0}),
    DenseFeature("age", {"name": "none"}),
)
SPARSE = (
    SparseFeature("hashed", 50),
    SparseFeature("city", 20, vocabulary=WORDS, missing=("NA",)),
    SparseFeature("shared", 5, kept=tuple(sorted(map(raw_value, ("a", "b", "5")))), unseen="shared", words=("a", "b")),
    SparseFeature("known", 4, kept=tuple(sorted(map(raw_value, ("a", "b", "5")))), column="other"),
    SparseFeature("hex", 2**31 - 1, id_parser={"name": "hexadecimal"}),
    SparseFeature("tags", 30, multi_valued=True, separator="|"),
    SparseFeature("genres", 9, multi_valued=True, separator="|", vocabulary=WORDS),
    SparseFeature(
        "groups", 5, multi_valued=True, separator="|", kept=tuple(sorted(map(raw_value, "abc"))), column="tags"
    ),
)
SINGLE = [*(feature.name for feature in (*DENSE, *SPARSE) if not getattr(feature, "multi_valued", False))]


def write(folder: Path, rows: Sequence[Row], own: tuple[Sequence[DenseFeature], Sequence[SparseFeature]]) -> Dataset:
    """The rows as a data set, each split with all of them."""
    dense, sparse = own
    columns = {"y": pl.Series([place % 2 for place in range(len(rows))], dtype=pl.Int8)}
    for feature in (*dense, *sparse):
        raw = pl.Series("value", [row[feature.column or feature.name] for row in rows], dtype=pl.String)
        columns[feature.name], misfits = read_feature(raw, feature)
        assert misfits is None
    for split in SPLITS:
        (folder / split).mkdir(parents=True)
        for part, start in enumerate(range(0, len(rows), 40)):
            frame = pl.DataFrame(columns)[start : start + 40]
            frame.write_parquet(folder / split / f"part-{part:05d}.parquet", row_group_size=16)
    counts = {"rows": len(rows), "positives": len(rows) // 2}
    Schema("y", tuple(dense), tuple(sparse), dict.fromkeys(SPLITS, counts)).save(folder)
    return Dataset(folder)


def plain(batch: Batch) -> list[Any]:
    lists = [[ids.tolist() for ids in batch.sparse[key].to_dense()] for key in batch.sparse.keys()]  # noqa: SIM118
    # As bits: nothing is rounded otherwise.
    return [batch.dense.numpy().view(np.uint32).tolist(), batch.sparse.keys(), lists]


ids = st.sampled_from(["", "NA", "a", "b", "c", "d", "5", "5.0", "e"])
hexadecimal = st.sampled_from(["", "ff", "00FF", "1", "2", "68fd1e64"])
tags = st.sampled_from(["", "a", "a|b", "a||5", "|", "5|5|c", "d", "d|e"])
numbers = st.sampled_from(["", "0", "-3", "1.5", " 7 ", "2500000000"]) | st.floats(-5, 5).map(str)
rows_of = st.fixed_dictionaries(
    {"cost": numbers | st.sampled_from(["NA", "-9", "-9.0"]), "visits": numbers, "age": numbers}
    | {"hashed": ids, "city": ids, "shared": ids, "other": ids, "hex": hexadecimal, "tags": tags, "genres": tags}
)
crosses = st.lists(st.lists(st.sampled_from(SINGLE), min_size=2, max_size=3, unique=True).map(":".join), max_size=3)
inputs_of = st.builds(
    Inputs,
    numbers=st.sets(st.sampled_from(("columns", "field", "bins", "piecewise", "missing"))).map(tuple),
    bins=st.integers(16, 40),
    pieces=st.integers(8, 20),
    crosses=crosses.map(tuple),
    cross_rows=st.sampled_from([1, 3, 1000]),
    min_count=st.integers(1, 12),
)


@settings(max_examples=25, deadline=None)
@given(st.lists(rows_of, min_size=30, max_size=90), inputs_of, st.sampled_from([None, 3, 10]), st.data())
def test_what_is_loaded_is_what_encode_makes_of_raw_rows(tmp_path_factory, rows, inputs, cap, data):
    dataset = write(tmp_path_factory.mktemp("set"), rows, (DENSE, SPARSE))
    schema = fit_inputs(dataset, inputs)
    assert Schema.from_json(json.loads(json.dumps(schema.to_json()))) == schema
    (loaded,) = dataset.fed(schema).batches("validation", len(rows), max_rows_per_table=cap)
    schema = schema.capped(cap)
    serving = data.draw(st.permutations(range(len(rows))))
    ordered = [rows[place] for place in serving]
    for given_rows in (ordered, pd.DataFrame(ordered), pl.DataFrame(ordered), pa.Table.from_pylist(ordered)):
        encoded = plain(batch_of(schema.encode(given_rows), schema))
        dense, keys, lists = plain(loaded)
        assert encoded == [[dense[n] for n in serving], keys, [[values[n] for n in serving] for values in lists]]
    for place, feature in enumerate(schema.sparse):
        if not feature.multi_valued:
            parts = [[row[part.column or part.number or part.name] for row in rows] for part in feature.joint]
            column = feature.column or feature.number or feature.name
            values = list(zip(*parts, strict=True)) if parts else [row[column] for row in rows]
            assert [[feature.row_of(value)] for value in values] == plain(loaded)[2][place]


@settings(max_examples=40, deadline=None)
@given(st.lists(rows_of, min_size=30, max_size=90), st.integers(2, 12))
def test_rare_ids_have_the_row_of_those_never_seen(tmp_path_factory, rows, least):
    dataset = write(tmp_path_factory.mktemp("set"), rows, (DENSE, SPARSE))
    schema = fit_inputs(dataset, Inputs(min_count=least))
    (own,), (fed,) = (list(found.batches("train", len(rows))) for found in (dataset, dataset.fed(schema)))
    for before, after in zip(dataset.schema.sparse, schema.sparse, strict=True):
        assert after.rows <= before.rows
        counts = Counter(own.sparse[before.name].values().tolist())
        pairs = set()
        if not before.multi_valued:
            pairs = set(
                zip(own.sparse[before.name].values().tolist(), fed.sparse[after.name].values().tolist(), strict=True)
            )
        unseen = table_rows(np.array([after.shared_id or 0]), after.rows, np.array([after.shared_id is None])).item()
        for row, found in pairs:
            if row == 0:
                assert found == 0
            elif counts[row] < least or (before.shared_id is not None and row == before.shared_id + 1):
                assert found == unseen
            else:
                assert found != unseen
                assert sum(other == found for _, other in pairs) == 1


def test_ids_in_lists_that_are_rare_leave_them_or_share_a_row(tmp_path):
    rows = [dict.fromkeys([feature.column or feature.name for feature in (*DENSE, *SPARSE)], "") for _ in range(40)]
    for place, row in enumerate(rows):
        row["tags"] = row["genres"] = "a|b" if place < 10 else "a" if place < 20 else "b|c" if place < 21 else ""
    dataset = write(tmp_path / "set", rows, (DENSE, SPARSE))
    (batch,) = dataset.fed(fit_inputs(dataset, Inputs(min_count=15))).batches("train", 40)
    kept, shared = 1, 2
    expected = [[kept, shared]] * 10 + [[kept]] * 10 + [[shared, shared]] + [[0]] * 19
    for name in ("tags", "genres"):
        assert [found.tolist() for found in batch.sparse[name].to_dense()] == expected
    # Of one whose unknown values are missing, rare ones are, too.
    expected = [[kept]] * 20 + [[0]] * 20
    assert [found.tolist() for found in batch.sparse["groups"].to_dense()] == expected


@settings(max_examples=25, deadline=None)
@given(st.lists(rows_of, min_size=30, max_size=90), st.integers(1, 4), st.sampled_from([1, 2, 5, 1000]))
def test_a_joint_id_is_kept_that_is_met_often_enough(tmp_path_factory, rows, least, most):
    dataset = write(tmp_path_factory.mktemp("set"), rows, (DENSE, SPARSE))
    inputs = Inputs(crosses=("hashed:city", "hex:age:shared"), min_count=least, cross_rows=most)
    schema = fit_inputs(dataset, inputs)
    assert [feature.name for feature in schema.sparse[len(SPARSE) :]] == ["hashed × city", "hex × age × shared"]
    (batch,) = dataset.fed(schema).batches("train", len(rows))
    assert all(part.name in ("hashed", "city") for part in schema.sparse[-2].joint)
    rows_of_parts = [batch.sparse[name].values().tolist() for name in ("hashed", "city")]
    counts = Counter(map(joint_value, zip(*rows_of_parts, strict=True)))
    often = sorted((-count, value) for value, count in counts.items() if count >= max(2, least))
    assert schema.sparse[-2].kept == tuple(sorted(value for _, value in often[:most]))
    assert schema.sparse[-2].rows == len(schema.sparse[-2].kept) + 2


def test_where_ids_have_to_be_seen_in_more_rows_than_there_are_all_joint_ids_share_one(small):
    dataset = small()
    for least in (60, 61, 62, 1000):
        schema = fit_inputs(dataset, Inputs(crosses=("city:shared",), min_count=least))
        assert len(schema.sparse[-1].kept) == (least == 60)


@given(st.lists(st.lists(st.integers(0, 2**31 - 1), min_size=3, max_size=3), min_size=1, max_size=20))
def test_joint_values_are_those_of_plain_python(rows):
    columns = np.array(rows, dtype=np.int32).T
    assert joint_values(columns).tolist() == [joint_value(row) for row in rows]


def test_joint_values_of_many_small_rows_hardly_meet():
    first, second = np.divmod(np.arange(300_000), 600)
    assert len(np.unique(joint_values([first, second]))) > 300_000 - 40
    assert len(np.unique(joint_values([second, first]))) > 300_000 - 40
    # Expected are 10.5 of equal hashes among as many random numbers.


@pytest.fixture
def small(tmp_path: Path) -> Callable[..., Dataset]:
    def make(count: int = 60) -> Dataset:
        row = {"cost": "1", "visits": "", "age": "3", "hex": "", "tags": "", "genres": "", "other": "a"}
        rows = [
            row
            | {"cost": str(n % 50), "visits": "" if n % 3 else "1", "hashed": f"u{n % 7}", "city": "a", "shared": "b"}
            for n in range(count)
        ]
        return write(tmp_path / f"set{count}", rows, (DENSE, SPARSE))

    return make


def test_the_features_have_names_that_say_what_they_are(small):
    dataset = small()
    schema = fit_inputs(
        dataset,
        Inputs(numbers=("columns", "field", "bins", "piecewise", "missing"), crosses=("hashed:price",), min_count=2),
    )
    assert [feature.name for feature in schema.dense] == ["price", "visits", "age", "visits (missing)"]
    assert [feature.name for feature in schema.sparse[len(SPARSE) :]] == [
        "price (bins)",
        "visits (bins)",
        "age (bins)",
        "hashed × price",
    ]
    assert schema.sparse[-1].joint == (schema.sparse[0], schema.sparse[len(SPARSE)])
    # What is always the same has no pieces, but is a number all the same.
    assert [(item.dense, item.kind, item.missing) for item in schema.number_fields] == [
        ("price", "field", None),
        ("visits", "field", "visits (missing)"),
        ("age", "field", None),
        ("price", "piecewise", None),
    ]
    assert (schema.num_columns, schema.num_fields) == (4, 4 + len(SPARSE) + 4)
    value = schema.to_json()
    assert value["sparse"][-1]["joint"] == ["hashed", "price (bins)"]
    assert value["version"] == 4


def test_numbers_that_are_fed_as_bins_or_fields_alone_are_no_columns(small):
    dataset = small()
    for numbers, dense, columns, fields in (
        (("bins",), [], 0, len(SPARSE) + 3),
        (("field",), ["price", "visits", "age"], 0, len(SPARSE) + 3),
        (("piecewise", "missing"), ["price", "visits", "age", "visits (missing)"], 0, len(SPARSE) + 1),
        (("bins", "missing"), ["visits (missing)"], 1, len(SPARSE) + 3),
        ((), [], 0, len(SPARSE)),
    ):
        schema = fit_inputs(dataset, Inputs(numbers=numbers))
        assert [feature.name for feature in schema.dense] == dense
        assert (schema.num_columns, schema.num_fields) == (columns, fields)
        assert next(iter(dataset.fed(schema).batches("train", 8))).dense.shape == (8, max(1, len(dense)))


def test_what_is_fed_as_prepared_is_the_data_sets_own(small):
    dataset = small()
    assert fit_inputs(dataset, AS_PREPARED) is dataset.schema
    fed = dataset.fed(fit_inputs(dataset, Inputs(numbers=("bins",))))
    # However it is fed, it is the data set that is looked at.
    assert fit_inputs(fed, AS_PREPARED) == dataset.schema
    assert fit_inputs(fed, Inputs(min_count=3)) == fit_inputs(dataset, Inputs(min_count=3))
    assert fed.fed(dataset.schema).schema == dataset.schema


def test_names_that_are_taken_are_left_to_those_who_have_them(tmp_path):
    rows = [{"x": str(n), "x (bins)": "a"} for n in range(20)]
    dense, sparse = (DenseFeature("x", {"name": "none"}),), (SparseFeature("x (bins)", 9),)
    schema = fit_inputs(write(tmp_path / "set", rows, (dense, sparse)), Inputs(numbers=("bins",)))
    assert [feature.name for feature in schema.sparse] == ["x (bins)", "x (bins) 2"]


def test_only_training_rows_are_looked_at_and_not_all_of_many(small, monkeypatch):
    dataset = small(200)
    every = fit_inputs(dataset, Inputs(numbers=("bins",), min_count=2, crosses=("hashed:city",)))
    for split in SPLITS[1:]:
        for part in (dataset.path / split).iterdir():
            pl.read_parquet(part).with_columns(price=pl.lit(1e6)).write_parquet(part)
    assert fit_inputs(Dataset(dataset.path), Inputs(numbers=("bins",), min_count=2, crosses=("hashed:city",))) == every
    monkeypatch.setattr(fitting, "SAMPLE_ROWS", 10)
    sampled = fit_inputs(dataset, Inputs(numbers=("bins",)))
    # Each twentieth row: of 0, 20, 40, 10, 30.
    assert sampled.sparse[len(SPARSE)].edges == (5, 15, 25, 35)


@pytest.mark.parametrize(
    ("cross", "message"),
    [
        ("hashed:town", "--cross hashed:town: there is no feature town; there are price, visits, age, hashed"),
        ("hashed:tags", "--cross hashed:tags: tags is a list of ids, which no joint id can have"),
        ("hashed:y", "--cross hashed:y: there is no feature y"),
    ],
)
def test_a_joint_id_that_cannot_be_is_refused_in_one_line(small, cross, message):
    with pytest.raises(InputError, match=message) as caught:
        fit_inputs(small(), Inputs(crosses=(cross,)))
    assert "\n" not in str(caught.value)


def test_a_schema_of_another_data_set_is_refused_in_one_line(small, tmp_path):
    dataset = small()
    schema = fit_inputs(dataset, Inputs(numbers=("bins", "columns"), min_count=2, crosses=("hashed:age",)))
    hashed, city, shared, *others = schema.sparse

    def refused(other: Schema, message: str) -> None:
        with pytest.raises(InputError, match=message) as caught:
            dataset.fed(other)
        assert "\n" not in str(caught.value)

    refused(replace(schema, sparse=(hashed, replace(city, name="town"), *others)), "its sparse features are hashed, c")
    refused(replace(schema, sparse=(city, hashed, shared, *others)), "its sparse features are hashed, city, shared")
    refused(replace(schema, dense=(replace(DENSE[0], name="cost"), *DENSE[1:])), "its dense features are price, visits")
    refused(replace(schema, dense=(replace(DENSE[0], transform={"name": "none"}), *DENSE[1:])), "price was transformed")
    refused(replace(schema, sparse=(hashed, replace(city, vocabulary=("x", *WORDS)), shared, *others)), "city has ano")
    refused(
        replace(schema, sparse=(hashed, city, replace(shared, kept=(1, 2), words=()), *others)), "shared has another"
    )
    refused(replace(schema, sparse=(replace(hashed, pooling="mean"), city, shared, *others)), "hashed has pooling sum")
    changed = replace(others[-1], joint=(replace(hashed, id_parser={"name": "decimal"}), others[-1].joint[1]))
    refused(replace(schema, sparse=(hashed, city, shared, *others[:-1], changed)), "hashed has another vocabulary")
    person = replace(others[-1], joint=(replace(hashed, name="person"), others[-1].joint[1]))
    refused(
        replace(schema, sparse=(hashed, city, shared, *others[:-1], person)), "shared, known.* where .*, person belo"
    )
    # A data set may have more than a model is fed.
    for fewer in (schema, replace(schema, sparse=(hashed, *others[-2:])), replace(schema, dense=schema.dense[1:])):
        assert dataset.fed(fewer).schema == fewer


@pytest.mark.parametrize("seed", range(20))
def test_what_is_dropped_is_fed_in_no_way_and_nothing_else_changes(small, seed):
    dataset, rng = small(), random.Random(seed)
    every = [feature.name for feature in (*DENSE, *SPARSE)]
    # Without columns, what no field is made of is left out anyway.
    numbers = ("columns", *rng.sample(NUMBERS, rng.randrange(len(NUMBERS))))
    inputs = Inputs(numbers, 16, 8, ("hashed:price", "city:visits:age"), min_count=rng.randint(1, 3))
    dropped = rng.sample(every, rng.randint(1, len(every)))
    whole, fewer = (fit_inputs(dataset, replace(inputs, dropped=names)) for names in ((), tuple(dropped)))
    dense = [item for item in whole.dense if item.number_name not in dropped]
    sparse = [item for item in whole.sparse if item.joint or (item.number or item.name) not in dropped]
    assert ([*fewer.dense], [*fewer.sparse]) == (dense, sparse)
    assert [*fewer.number_fields] == [item for item in whole.number_fields if item.dense not in dropped]
    assert Schema.from_json(fewer.to_json()) == fewer
    kept = [place for place, item in enumerate(whole.dense) if item in dense]
    for batch, full in zip(*(dataset.fed(item).batches("train", 16) for item in (fewer, whole)), strict=True):
        for name in [item.name for item in sparse]:
            assert batch.sparse[name].values().tolist() == full.sparse[name].values().tolist()
        assert not kept or batch.dense.tolist() == full.dense[:, kept].tolist()


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({"dropped": ("town",)}, "--drop town: there is no feature town; there are price, visits, age, hashed"),
        ({"dropped": ("",)}, "--drop takes names of features"),
        ({"dropped": tuple(feature.name for feature in SPARSE)}, "--drop .*: no ids are left, and a model needs one"),
        (
            {"dropped": tuple(feature.name for feature in SPARSE), "numbers": ("bins",)},
            "--drop .*: no ids are left",
        ),
    ],
)
def test_what_cannot_be_dropped_is_refused_in_one_line(small, inputs, message):
    with pytest.raises(InputError, match=message) as caught:
        fit_inputs(small(), Inputs(**inputs))
    assert "\n" not in str(caught.value)


def test_all_ids_may_be_dropped_where_a_joint_id_is_left(small):
    dataset, every = small(), tuple(feature.name for feature in SPARSE)
    assert fit_inputs(dataset, Inputs(crosses=("hashed:city",), dropped=every)).num_sparse == 1
