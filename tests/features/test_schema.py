"""The schema: round trips, and what is said when it does not fit."""

import copy
import json
import math
import re
import shlex
import subprocess
import sys
from dataclasses import replace

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recnas.features.feature import DenseFeature, SparseFeature
from recnas.features.number_field import NumberField
from recnas.features.schema import SPLITS, Schema
from recnas.util.errors import InputError

SCHEMA = Schema(
    label="click",
    dense=(
        DenseFeature("count", {"name": "log1p"}),
        DenseFeature("age", {"name": "standardize", "mean": 33.0, "std": 11.5}),
    ),
    sparse=(
        SparseFeature("user", 944),
        SparseFeature("genres", 4, pooling="mean", multi_valued=True, vocabulary=("Action", "Drama", "Sci-Fi")),
    ),
    splits={name: {"rows": 10, "positives": 4} for name in SPLITS},
    source={"name": "own", "size": 1234, "fingerprint": "00ff"},
)

AGE_BINS = SparseFeature("age (bins)", 4, number="age", edges=(18.0, 65.5))
CITY = SparseFeature("city", 5, kept=(0, 2, 3), vocabulary=("a", "b", "c", "d"), unseen="shared")
FED = replace(
    SCHEMA,
    dense=(*SCHEMA.dense, DenseFeature("age (missing)", {"name": "missing"}, number="age")),
    sparse=(
        *SCHEMA.sparse,
        CITY,
        AGE_BINS,
        SparseFeature("user × age", 4, kept=(7, 99), unseen="shared", joint=(SCHEMA.sparse[0], AGE_BINS)),
        SparseFeature("user × city", 9, joint=(SCHEMA.sparse[0], replace(CITY, rows=9))),
    ),
    number_fields=(NumberField("age", "piecewise", (-1.0, 0.5), "age (missing)"),),
    reads_columns=False,
)
"""What a model is fed that has features made from those of a data set."""

names = st.text(min_size=1, max_size=8)
numbers = st.floats(allow_nan=False, allow_infinity=False)
transforms = st.one_of(
    st.just({"name": "log1p"}),
    st.builds(
        lambda mean, std: {"name": "standardize", "mean": mean, "std": std},
        numbers,
        st.floats(min_value=1e-9, allow_infinity=False),
    ),
)
vocabularies = st.none() | st.lists(st.text(max_size=5), min_size=1, max_size=5, unique=True).map(tuple)
counts = st.integers(0, 100).flatmap(lambda rows: st.builds(dict, rows=st.just(rows), positives=st.integers(0, rows)))


@st.composite
def schemas(draw) -> Schema:
    used = draw(st.lists(names.filter(lambda name: "+" not in name), min_size=2, max_size=7, unique=True))
    num_dense = draw(st.integers(0, len(used) - 2))
    return Schema(
        label=used[0],
        dense=tuple(DenseFeature(name, draw(transforms)) for name in used[1 : 1 + num_dense]),
        sparse=tuple(
            SparseFeature(
                name,
                draw(st.integers(2, 2**31 - 1)),
                draw(st.sampled_from(["sum", "mean"])),
                draw(st.booleans()),
                draw(vocabularies),
            )
            for name in used[1 + num_dense :]
        ),
        splits={name: draw(counts) for name in SPLITS},
        source=draw(st.dictionaries(names, st.text() | st.integers())),
        positive=draw(st.none() | st.lists(names, min_size=1, max_size=3).map(tuple)),
    )


@st.composite
def fed_schemas(draw) -> Schema:
    schema = draw(schemas())
    ascending = st.lists(numbers, max_size=4, unique=True).map(sorted).map(tuple)
    bins = tuple(
        SparseFeature(f"{feature.name}+", draw(st.integers(2, 300)), number=feature.name, edges=draw(ascending))
        for feature in schema.dense
    )
    parts = [feature for feature in (*schema.sparse, *bins) if not feature.multi_valued]
    kept = st.none() | st.lists(st.integers(0, 2**32 - 1), max_size=4, unique=True).map(sorted).map(tuple)
    joint = ()
    if len(parts) > 1:
        some = st.lists(st.sampled_from(parts), min_size=2, max_size=3).map(tuple)
        joint = (SparseFeature("+", 9, kept=draw(kept), joint=draw(some)),)
    return replace(schema, sparse=(*schema.sparse, *bins, *joint)).capped(draw(st.none() | st.integers(2, 100)))


@given(fed_schemas())
def test_a_schema_of_what_is_fed_survives_json(schema):
    assert Schema.from_json(json.loads(json.dumps(schema.to_json()))) == schema


@given(schemas())
def test_a_schema_survives_json(schema):
    assert Schema.from_json(json.loads(json.dumps(schema.to_json()))) == schema


@pytest.mark.parametrize("schema", [SCHEMA, FED])
def test_a_schema_survives_its_file(tmp_path, schema):
    schema.save(tmp_path)
    assert Schema.load(tmp_path) == schema


def test_parts_of_a_joint_id_are_names_where_they_are_features_as_they_stand():
    *_, first, second = FED.to_json()["sparse"]
    assert first["joint"] == ["user", "age (bins)"]
    assert second["joint"] == ["user", replace(CITY, rows=9).to_json()]
    # A cap changes the tables of features, and not what a joint id is made from.
    *_, first, second = FED.capped(4).to_json()["sparse"]
    assert first["joint"] == [SCHEMA.sparse[0].to_json(), "age (bins)"]
    assert Schema.from_json(FED.capped(4).to_json()).sparse[-2].joint == FED.sparse[-2].joint


def test_json_has_always_the_same_order():
    value = SCHEMA.to_json()
    shuffled = dict(reversed(value.items()))
    assert json.dumps(Schema.from_json(shuffled).to_json()) == json.dumps(value)


def _broken(schema=SCHEMA, /, **changes):
    value = copy.deepcopy(schema.to_json())
    for path, new in changes.items():
        *parents, last = [int(key) if key.isdigit() else key for key in path.split("__")]
        target = value
        for key in parents:
            target = target[key]
        if new is None:
            del target[last]
        else:
            target[last] = new
    return value


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([], "the schema must be an object"),
        (_broken(version=5), "version 5.*reads versions 1 to 4; prepare it again"),
        (_broken(label=None), "no label"),
        (_broken(other=1), "unknown key other"),
        (_broken(label=""), "is not a name"),
        (_broken(dense={}), "dense must be a list"),
        (_broken(dense__0=3), "a dense feature must be an object"),
        (_broken(dense__0__transform=None), "a dense feature count has no transform"),
        (_broken(dense__0__transform__name="log"), "count: transform .* none of log1p, standardize, none"),
        (_broken(dense__1__transform__std=None), "age: transform standardize needs the keys mean, name, std"),
        (_broken(dense__1__transform__std=0), "age: std is 0"),
        (_broken(dense__1__transform__mean="x"), "age: mean is 'x', not a finite number"),
        (_broken(dense__1__name="count"), "the name count is there twice"),
        (_broken(sparse__0__name="click"), "the name click is there twice"),
        (_broken(sparse=[]), "no sparse feature"),
        (_broken(sparse__0__rows=None), "a sparse feature user has no rows"),
        (_broken(sparse__0__rows=1), "user: 1 table rows"),
        (_broken(sparse__0__rows=2**31), "user: 2147483648 table rows"),
        (_broken(sparse__0__rows=True), "user: True table rows"),
        (_broken(sparse__0__pooling="max"), "user: pooling 'max' is none of sum, mean"),
        (_broken(sparse__1__multi_valued="yes"), "genres: multi_valued is 'yes'"),
        (_broken(sparse__1__vocabulary=[]), "genres: the vocabulary must be"),
        (_broken(sparse__1__vocabulary=["a", "a"]), "genres: the vocabulary has a string twice"),
        (_broken(splits__test=None), "splits.test must have rows and positives"),
        (_broken(splits__train__positives=11), "splits.train has 10 rows and 11 positives"),
        (_broken(splits__holdout={"rows": 1, "positives": 0}), "splits.holdout is none of"),
        (_broken(source=[]), "source must be an object"),
        (_broken(positive="yes"), "positive must be a list of at least one text"),
        (_broken(positive=[]), "positive must be a list of at least one text"),
        (_broken(positive=[1]), "positive must be a list of at least one text"),
    ],
)
def test_a_schema_that_does_not_fit_is_refused_in_one_line(value, message):
    with pytest.raises(InputError, match=message) as caught:
        Schema.from_json(value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (_broken(FED, dense__2__transform={"name": "gone"}), "age .missing.: transform .* none of log1p, .*, missing"),
        (_broken(FED, dense__2__transform={"name": "missing", "std": 1}), "transform missing needs the keys name"),
        (_broken(FED, dense__2__number=""), "is not a name"),
        (_broken(FED, dense__2__number=[1]), "is not a name"),
        (_broken(FED, sparse__2__kept=[0, 4]), "city: keeps 4, but the vocabulary has 4 strings"),
        (_broken(FED, sparse__2__kept=[3, 0]), "city: kept values must ascend"),
        (_broken(FED, sparse__2__kept=["a"]), "city: kept values must be a list of whole numbers"),
        (_broken(FED, sparse__2__reading={"name": "decimal"}), "city: has a reading, and a vocabulary or words"),
        (_broken(FED, sparse__3__edges=None), "age .bins.*: has the bins of a number, and no edges"),
        (_broken(FED, sparse__3__edges=[2, 2]), "age .bins.: edges must ascend"),
        (_broken(FED, sparse__3__edges=[2, math.nan]), "age .bins.: edges must be a list of finite numbers"),
        (_broken(FED, sparse__3__edges=[2, True]), "age .bins.: edges must be a list of finite numbers"),
        (_broken(FED, sparse__3__edges="2"), "age .bins.: edges must be a list of finite numbers"),
        (_broken(FED, sparse__3__edges=[10**400]), "age .bins.: edges must be a list of finite numbers"),
        (_broken(FED, sparse__3__number=None), "None is not a name"),
        (_broken(FED, sparse__3__number=7), "7 is not a name"),
        (_broken(FED, sparse__3__kept=[1]), "age .bins.: has the bins of a number, and what only ids have"),
        (_broken(FED, sparse__3__multi_valued=True), "age .bins.: has the bins of a number, and what only ids have"),
        (_broken(FED, sparse__4__joint=[]), "user × age.: joins 0 features"),
        (_broken(FED, sparse__4__joint=["user"]), "user × age: joins 1 features; a joint id is of 2 to 3"),
        (_broken(FED, sparse__4__joint=["user"] * 4), "user × age: joins 4 features; a joint id is of 2 to 3"),
        (_broken(FED, sparse__4__joint="user"), "joint of sparse feature 'user × age' must be a list"),
        (_broken(FED, sparse__4__joint=["user", "age"]), "user × age.: joins 'age', which is no sparse feature"),
        (_broken(FED, sparse__4__joint=["user", 3]), "a sparse feature must be an object, it is 3"),
        (_broken(FED, sparse__4__joint=["user", "user × city"]), "joins 'user × city', which is no sparse feature"),
        (_broken(FED, sparse__4__joint=["user", {"joint": []}]), "a part of it is a joint id itself"),
        (_broken(FED, sparse__4__joint=["user", "genres"]), "user × age: genres is a list of ids, which no joint id"),
        (_broken(FED, sparse__4__vocabulary=["a"]), "user × age: is a joint id, and has what only its parts have"),
        (_broken(FED, sparse__4__column="a"), "user × age: is a joint id, and has what only its parts have"),
        (_broken(FED, number_fields__0__dense="size"), "a number field reads size, which is no dense feature"),
        (_broken(FED, number_fields__0__edges=[1]), "the field of age: edges must be two finite numbers or more"),
        (_broken(FED, reads_columns=1), "reads_columns is 1, it must be true or false"),
    ],
)
def test_what_is_made_from_other_features_and_does_not_fit_is_refused_in_one_line(value, message):
    with pytest.raises(InputError, match=message) as caught:
        Schema.from_json(value)
    assert "\n" not in str(caught.value)


def test_a_missing_schema_names_the_file_and_the_remedy(tmp_path):
    with pytest.raises(InputError, match=r"schema\.json: no such file; `recnas prepare`"):
        Schema.load(tmp_path)


@pytest.mark.parametrize("name", ["my clicks.csv", "train.gz", "train"])
def test_a_log_in_place_of_a_data_set_is_to_be_prepared_first(tmp_path, name):
    log = tmp_path / "raw" / name
    log.parent.mkdir()
    log.write_text("y,id\n1,2\n")
    command = f"recnas prepare tabular --input {shlex.quote(str(log))} --output"
    with pytest.raises(
        InputError, match=re.escape(f"{log}: this is a log, not a data set; prepare it first: {command}")
    ):
        Schema.load(log)
    if log.suffix:
        with pytest.raises(InputError, match="raw: this is a folder of logs, not a data set; prepare it first: recnas"):
            Schema.load(log.parent)


@pytest.mark.parametrize("name", ["schema.json", "model.safetensors"])
def test_a_file_of_a_data_set_or_model_is_not_taken_for_a_log(tmp_path, name):
    (tmp_path / name).write_text("{}")
    with pytest.raises(InputError, match=rf"{name}/schema\.json: no such file"):
        Schema.load(tmp_path / name)


def test_a_schema_that_is_not_json_names_the_file(tmp_path):
    (tmp_path / "schema.json").write_text("{")
    with pytest.raises(InputError, match=r"schema\.json: not JSON"):
        Schema.load(tmp_path)
    (tmp_path / "schema.json").write_bytes(b"\xff\xfe")
    with pytest.raises(InputError, match=r"schema\.json: not JSON"):
        Schema.load(tmp_path)


def test_a_schema_that_does_not_fit_names_its_file(tmp_path):
    (tmp_path / "schema.json").write_text(json.dumps(_broken(sparse__0__rows=1)))
    with pytest.raises(InputError, match=r"schema\.json: sparse feature user: 1 table rows"):
        Schema.load(tmp_path)


def test_a_data_set_without_dense_features_has_one_constant():
    schema = Schema("click", (), SCHEMA.sparse, SCHEMA.splits)
    assert (schema.num_dense, schema.num_sparse) == (1, 2)


def test_capping_lowers_only_larger_tables():
    capped = SCHEMA.capped(100)
    assert [feature.rows for feature in capped.sparse] == [100, 4]
    assert capped.capped(100) == capped
    assert SCHEMA.capped(None) == SCHEMA
    with pytest.raises(InputError, match="a table of 1 rows"):
        SCHEMA.capped(1)


def test_the_positive_rate_is_positives_per_row():
    assert SCHEMA.positive_rate("train") == 0.4
    with pytest.raises(InputError, match="there is no split 'dev'; take one of train, validation, test"):
        SCHEMA.positive_rate("dev")


def test_the_schema_needs_neither_torch_nor_polars():
    code = "import sys, recnas.features.schema; sys.exit(any(name in sys.modules for name in ('torch', 'polars')))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_names_of_a_wide_schema_are_not_each_compared_with_each() -> None:
    compared = 0

    class Name(str):
        __hash__ = str.__hash__

        def __eq__(self, other: object) -> bool:
            nonlocal compared
            compared += 1
            return str.__eq__(self, other)

    names = [Name(f"feature {place}") for place in range(400)]
    dense = tuple(DenseFeature(name, {"name": "none"}) for name in names[:200])
    sparse = tuple(SparseFeature(name, rows=10) for name in names[200:])
    Schema("click", dense, sparse, {name: {"rows": 10, "positives": 2} for name in SPLITS})
    # Twenty times a name would still be linear; each with each is 160,000.
    assert compared < 20 * len(names)


def test_a_table_with_a_column_twice_is_refused_by_its_name() -> None:
    table = pa.Table.from_arrays([pa.array([1.0])] * 3, names=["age", "count", "age"])
    with pytest.raises(InputError, match="the column 'age' is there twice"):
        SCHEMA.encode(table)
