"""Opening a data set: what must be there, and what is said when it is not."""

import json

import numpy as np
import polars as pl
import pytest

from recnas.data import Dataset
from recnas.util.errors import InputError


def _change_schema(path, change) -> None:
    file = path / "schema.json"
    value = json.loads(file.read_text())
    change(value)
    file.write_text(json.dumps(value))


def _rewrite(path, change) -> None:
    part = path / "validation" / "part-00000.parquet"
    change(pl.read_parquet(part)).write_parquet(part)


def test_an_opened_data_set_knows_its_schema_and_its_rows(make_data_set):
    path, _ = make_data_set()
    dataset = Dataset(str(path))
    assert [dataset.rows(split) for split in ("train", "validation", "test")] == [200, 20, 20]
    assert dataset.schema.num_sparse == 3
    with pytest.raises(InputError, match="there is no split 'all'"):
        dataset.rows("all")


@pytest.mark.parametrize(
    ("source", "name"),
    [({"name": "criteo"}, "criteo"), ({"name": "tabular"}, "set"), ({"name": "table"}, "set"), ({}, "set")],
)
def test_an_own_tables_data_set_is_called_as_its_folder_and_a_published_log_as_it_is(
    make_data_set, monkeypatch, source, name
):
    path, _ = make_data_set()
    _change_schema(path, lambda value: value.update(source=source))
    assert Dataset(path).name == name
    monkeypatch.chdir(path)
    assert Dataset(".").name == name


def test_labels_are_those_of_the_batches_in_file_order(make_data_set):
    path, _ = make_data_set()
    dataset = Dataset(path)
    for split in ("train", "validation", "test"):
        expected = [label for batch in dataset.batches(split, 2) for label in batch.label.tolist()]
        assert dataset.labels(split).tolist() == expected


def test_no_data_set_is_said(tmp_path):
    with pytest.raises(InputError, match=r"schema\.json: no such file; `recnas prepare` makes a data set"):
        Dataset(tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda rows: rows.drop("user"), "no column user, which schema.json lists"),
        (lambda rows: rows.cast({"user": pl.Int64}), "column user is int64 where uint32 is expected"),
        (lambda rows: rows.cast({"click": pl.Int32}), "column click is int32 where int8 is expected"),
        (lambda rows: rows.cast({"x": pl.Float32}), "column x is float where double is expected"),
        (
            lambda rows: rows.with_columns(tags=pl.col("user")),
            r"column tags is uint32 where list<.*uint32> is expected",
        ),
        (lambda rows: rows.head(19), "19 rows where schema.json says 20"),
    ],
)
def test_files_that_do_not_fit_the_schema_are_named(make_data_set, change, message):
    path, _ = make_data_set()
    _rewrite(path, change)
    with pytest.raises(InputError, match=rf"validation.*: {message}.*; prepare the data set again") as caught:
        Dataset(path)
    assert "\n" not in str(caught.value)


def test_a_missing_number_is_what_its_transform_makes_of_it(make_data_set):
    path, columns = make_data_set()
    _rewrite(path, lambda rows: rows.with_columns(x=pl.when(pl.col("number") == 3).then(None).otherwise("x")))
    (batch,) = Dataset(path).batches("validation", 20)
    assert batch.dense[3, 1] == 0
    assert batch.dense[4, 1] == np.float32(columns["validation"]["x"][4])


def test_columns_beyond_the_schemas_do_not_matter(make_data_set):
    path, columns = make_data_set()
    _rewrite(path, lambda rows: rows.with_columns(note=pl.lit("…")).select(reversed([*rows.columns, "note"])))
    (batch,) = Dataset(path).batches("validation", 20)
    assert batch.label.tolist() == columns["validation"]["click"]


def test_lists_that_polars_wrote_are_read(make_data_set):
    path, columns = make_data_set()
    _rewrite(path, lambda rows: rows)
    (batch,) = Dataset(path).batches("validation", 20)
    assert batch.sparse["tags"].lengths().tolist() == [
        max(1, len(tags or [])) for tags in columns["validation"]["tags"]
    ]


def test_a_file_that_is_not_parquet_is_named(make_data_set):
    path, _ = make_data_set()
    (path / "test" / "part-00000.parquet").write_bytes(b"x" * 100)
    with pytest.raises(InputError, match=r"test/part-00000\.parquet: cannot be read .*; prepare the data set again"):
        Dataset(path)


def test_an_empty_split_is_refused(make_data_set):
    path, _ = make_data_set()
    _change_schema(path, lambda value: value["splits"].update(test={"rows": 0, "positives": 0}))
    with pytest.raises(InputError, match="the test split is empty"):
        Dataset(path)


@pytest.mark.parametrize("positives", [0, 20])
def test_a_split_of_one_class_only_is_refused(make_data_set, positives):
    path, _ = make_data_set()
    _change_schema(path, lambda value: value["splits"]["test"].update(positives=positives))
    with pytest.raises(InputError, match=f"every label of the test split is {int(positives > 0)}"):
        Dataset(path)


def test_a_data_set_without_dense_features_gives_one_constant_zero(make_data_set):
    path, _ = make_data_set()
    _change_schema(path, lambda value: value.update(dense=[]))
    for batch in Dataset(path).batches("train", 64, seed=0):
        assert batch.dense.tolist() == [[0.0]] * len(batch)


def test_only_lists_or_only_single_ids_will_do(make_data_set):
    path, _ = make_data_set()
    features = Dataset(path).schema.to_json()["sparse"]
    for kept in (features[:1], features[1:2]):
        _change_schema(path, lambda value, kept=kept: value.update(sparse=kept))
        batches = Dataset(path).batches("train", 64, seed=0)
        assert sum(len(batch.sparse[kept[0]["name"]].lengths()) for batch in batches) == 200
