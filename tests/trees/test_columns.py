"""Features as columns of a matrix."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recnas.data import Dataset, fit_inputs
from recnas.features.inputs import Inputs
from recnas.trees import columns
from recnas.trees.columns import CategoryColumn, ListedValue, TreeColumns, fit_columns
from recnas.util.errors import InputError

ALL_FIT = 1 << 15


def test_numbers_come_first_then_listed_values_then_categories_joint_ids_too(dataset: Dataset) -> None:
    found = fit_columns(dataset.schema, dataset.batches("train", 512), ALL_FIT)
    assert found.numbers == ("price",)
    assert {item.feature for item in found.listed} == {"tags"}
    assert [item.feature for item in found.categories] == ["user", "hour", "user × hour"]
    assert len(found) == 1 + len(found.listed) + 3 == found.first_category + 3


def test_what_is_dropped_is_no_column_but_joint_ids_of_it_are(dataset: Dataset) -> None:
    inputs = Inputs(numbers=("columns", "missing"), crosses=("user:hour",), dropped=("price", "tags", "user"))
    fed = dataset.fed(fit_inputs(dataset, inputs))
    found = fit_columns(fed.schema, fed.batches("train", 512), ALL_FIT)
    assert (found.numbers, found.listed) == ((), ())
    assert [item.feature for item in found.categories] == ["hour", "user × hour"]
    whole = fit_columns(dataset.schema, dataset.batches("train", 512), ALL_FIT)
    few, all_of_them = (next(iter(item.batches("validation", 300))) for item in (fed, dataset))
    np.testing.assert_array_equal(found.matrix(few, fed.schema), whole.matrix(all_of_them, dataset.schema)[:, -2:])


def test_a_matrix_has_what_the_batch_has(dataset: Dataset) -> None:
    schema = dataset.schema
    found = fit_columns(schema, dataset.batches("train", 512), ALL_FIT)
    batch = next(iter(dataset.batches("validation", 300)))
    matrix = found.matrix(batch, schema)
    price, missing = batch.dense.numpy().T
    assert missing.any()
    assert not missing.all()
    np.testing.assert_array_equal(matrix[:, 0], np.where(missing == 1, np.nan, price))
    for place, name in enumerate(("user", "hour"), found.first_category):
        np.testing.assert_array_equal(matrix[:, place], batch.sparse[name].values().numpy())
    lists = np.split(batch.sparse["tags"].values().numpy(), batch.sparse["tags"].offsets().numpy()[1:-1])
    for place, item in enumerate(found.listed, 1):
        np.testing.assert_array_equal(matrix[:, place], [item.row in row for row in lists])


def test_of_many_ids_the_most_frequent_have_a_category_each_and_the_others_share_one(dataset: Dataset) -> None:
    most = 20
    found = fit_columns(dataset.schema, dataset.batches("train", 512), most)
    users, counts = np.unique(
        np.concatenate([batch.sparse["user"].values().numpy() for batch in dataset.batches("train", 512)]),
        return_counts=True,
    )
    kept = found.categories[0].kept
    assert len(kept) == most - 1
    assert counts[np.isin(users, kept)].min() >= counts[~np.isin(users, kept)].max()
    categories = found.categories[0].categories(users)
    assert set(categories) == set(range(most))
    assert set(categories[~np.isin(users, kept)]) == {most - 1}


def test_a_table_of_any_size_is_counted_by_what_is_in_it(dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(columns, "_PARTS", 2)
    whole = fit_columns(dataset.schema, dataset.batches("train", 4096), 20)
    assert fit_columns(dataset.schema, dataset.batches("train", 100), 20) == whole


@given(st.sets(st.integers(0, 100), min_size=1), st.lists(st.integers(0, 120), min_size=1))
def test_each_kept_row_is_a_category_of_its_own(kept: set[int], rows: list[int]) -> None:
    ordered = sorted(kept)
    categories = CategoryColumn("user", tuple(ordered)).categories(np.array(rows))
    assert [ordered.index(row) if row in kept else len(kept) for row in rows] == categories.tolist()


def test_names_are_plain_and_differ() -> None:
    names = TreeColumns(("a b", "a:b"), (ListedValue("a", 3),), (CategoryColumn("a_b"), CategoryColumn("ä"))).names
    assert len(set(names)) == 5
    assert all(name.replace("_", "").isalnum() for name in names)


def test_columns_are_read_as_they_were_written(dataset: Dataset, tmp_path: Path) -> None:
    found = fit_columns(dataset.schema, dataset.batches("train", 512), 20)
    values = json.loads(json.dumps(found.to_json()))
    assert TreeColumns.from_json(values, dataset.schema, tmp_path) == found


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("numbers", ["cost"]),
        ("listed", [{"feature": "user", "row": 1}]),
        ("categories", []),
        ("categories", [{"feature": "user", "kept": [3, 2]}, {"feature": "hour"}, {"feature": "user × hour"}]),
    ],
)
def test_columns_of_other_features_are_one_line(dataset: Dataset, tmp_path: Path, key: str, value: object) -> None:
    values = fit_columns(dataset.schema, dataset.batches("train", 512), 20).to_json()
    with pytest.raises(InputError, match="made anew") as error:
        TreeColumns.from_json(values | {key: value}, dataset.schema, tmp_path / "columns.json")
    assert "\n" not in str(error.value)
