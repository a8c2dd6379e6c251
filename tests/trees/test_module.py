"""LightGBM's trees as a torch module."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from recnas.data import Batch, Dataset, batch_of
from recnas.features.encoding import Encoded, EncodedList
from recnas.features.feature import DenseFeature, SparseFeature
from recnas.features.schema import SPLITS, Schema
from recnas.trees.columns import CategoryColumn, ListedValue, TreeColumns
from recnas.trees.files import ENSEMBLES
from recnas.trees.lightgbm_text import read_text
from recnas.trees.model import read_columns
from recnas.trees.module import TreeModule, tree_module
from recnas.trees.splits import rounded_down, split_arrays
from recnas.trees.training import grow
from recnas.util.errors import InputError

lightgbm = pytest.importorskip("lightgbm")

CLOSE = 1e-12
"""Logits are sums of float64 in another order."""
SCHEMA = Schema(
    "click",
    (
        DenseFeature("x", {"name": "none"}),
        DenseFeature("x gone", {"name": "missing"}, number="x"),
        DenseFeature("y", {"name": "none"}),
    ),
    (
        SparseFeature("tags", 9, multi_valued=True),
        SparseFeature("user", 400),
        SparseFeature("places", 5, multi_valued=True),
        SparseFeature("hour", 25),
    ),
    {split: {"rows": 1, "positives": 0} for split in SPLITS},
    source={"name": "toy"},
)
KEPT = tuple(range(0, 400, 3))
COLUMNS = TreeColumns(
    ("x", "y"),
    (ListedValue("places", 2), ListedValue("tags", 3), ListedValue("tags", 0), ListedValue("tags", 7)),
    (CategoryColumn("user", KEPT), CategoryColumn("hour")),
)
EDGES = np.array([0, -0.0, 1e-35, -1e-35, 2e-35, 1e-36, 1, -1, 0.1, 16777217, np.nan], dtype=np.float32)
"""Numbers where decisions change."""


def rows(count: int, seed: int) -> Batch:
    """Random rows; a number is missing by its indicator, or none (NaN)."""
    rng = np.random.default_rng(seed)
    numbers = np.where(
        rng.random((count, 2)) < 0.5, rng.choice(EDGES, (count, 2)), rng.normal(size=(count, 2)).round(1)
    )
    gone = rng.random(count) < 0.2
    dense = np.stack((np.where(gone, 0, numbers[:, 0]), gone, numbers[:, 1]), axis=1).astype(np.float32)
    # Most users are few.
    user = np.minimum(rng.geometric(0.02, count), 399)
    lists = []
    for size in (9, 5):
        offsets = np.concatenate(([0], rng.integers(1, 4, count).cumsum()))
        lists.append(EncodedList(rng.integers(size, size=offsets[-1]), offsets))
    return batch_of(Encoded(dense, np.stack((user, rng.integers(25, size=count)), axis=1), tuple(lists)), SCHEMA)


def inputs_of(batch: Batch) -> tuple[torch.Tensor, ...]:
    tags, user, places, hour = (batch.sparse[feature.name] for feature in SCHEMA.sparse)
    ids = torch.stack((user.values(), hour.values()), dim=1)
    return (batch.dense, ids, tags.values(), tags.offsets(), places.values(), places.offsets())


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    seed=st.integers(0, 10_000),
    missing=st.sampled_from([{}, {"use_missing": False}, {"zero_as_missing": True}]),
    leaves=st.sampled_from([2, 7, 60]),
    split_each=st.booleans(),
)
def test_logits_are_the_library_s_for_missing_tiny_and_unseen_values(
    tmp_path: Path, seed: int, missing: dict[str, Any], leaves: int, split_each: bool
) -> None:
    batch = rows(600, seed)
    matrix = COLUMNS.matrix(batch, SCHEMA)
    rng = np.random.default_rng(seed)
    effects = rng.normal(size=400)[matrix[:, -2].astype(int)] + rng.normal(size=25)[matrix[:, -1].astype(int)]
    clicks = effects + 2 * np.isnan(matrix[:, 0]) + np.nan_to_num(matrix[:, 1]) * matrix[:, 2] + matrix[:, 3] > 0
    categories = list(range(COLUMNS.first_category, len(COLUMNS)))
    data = lightgbm.Dataset(matrix, clicks.astype(float), categorical_feature=categories, params={"verbosity": -1})
    parameters = {"objective": "binary", "num_leaves": leaves, "verbosity": -1, "num_threads": 1, "seed": seed}
    parameters |= {"min_data_in_leaf": 2, "min_data_per_group": 1, "cat_smooth": 0, "cat_l2": 0} | missing
    # Either one category against all others, or sets of them.
    parameters |= {"max_cat_to_onehot": 1000 if split_each else 1}
    booster = lightgbm.train(parameters, data, 12)
    file = tmp_path / "model.txt"
    booster.save_model(file)
    module = TreeModule(SCHEMA, COLUMNS, split_arrays(read_text(file, len(COLUMNS)), COLUMNS, file))
    for other in (batch, rows(300, seed + 1), rows(1, seed + 2)):
        found = module(*inputs_of(other)).numpy()
        expected = booster.predict(COLUMNS.matrix(other, SCHEMA), raw_score=True)
        np.testing.assert_allclose(found, expected, rtol=0, atol=CLOSE)


@given(arrays.arrays(np.float64, 8, elements=st.floats(allow_nan=False)), st.floats(width=32, allow_nan=False))
def test_a_rounded_threshold_decides_every_float32_number_alike(thresholds: np.ndarray, number: float) -> None:
    rounded = rounded_down(thresholds)
    assert rounded.dtype == np.float32
    with np.errstate(over="ignore"):
        near = np.concatenate((rounded, np.nextafter(rounded, np.float32(np.inf)), np.float32([number])))
    for value in near:
        np.testing.assert_array_equal(value <= rounded, np.float64(value) <= thresholds)


@pytest.fixture(scope="module")
def folder(dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Trees on disk."""
    folder = tmp_path_factory.mktemp("model")
    grow(dataset, "lightgbm", {"num_leaves": 7, "cat_smooth": 10}, seed=1, threads=1, most_trees=10).model.save(folder)
    return folder


def test_trees_that_are_leaves_give_one_logit(dataset: Dataset, folder: Path, tmp_path: Path) -> None:
    columns = len(read_columns_of(dataset, folder))
    data = lightgbm.Dataset(np.zeros((50, columns)), np.arange(50) % 5 == 0, params={"verbosity": -1})
    booster = lightgbm.train({"objective": "binary", "verbosity": -1}, data, 3)
    booster.save_model(tmp_path / "model.txt")
    found = read_columns_of(dataset, folder)
    trees = read_text(tmp_path / "model.txt", columns)
    module = TreeModule(dataset.schema, found, split_arrays(trees, found, tmp_path / "model.txt"))
    logits = module(torch.zeros(4, 2), torch.zeros(4, 3, dtype=torch.int64))
    np.testing.assert_allclose(logits, booster.predict(np.zeros((4, columns)), raw_score=True), atol=CLOSE)


def read_columns_of(dataset: Dataset, folder: Path) -> TreeColumns:
    return read_columns(folder, "lightgbm", dataset.schema)


@pytest.mark.parametrize(
    ("was", "becomes"),
    [
        ("max_feature_idx=", "max_feature_idx=1"),
        ("num_tree_per_iteration=1", "num_tree_per_iteration=2"),
        ("is_linear=0", "is_linear=1"),
        ("split_feature=", "split_feature=99 "),
        ("left_child=", "left_child=5 "),
        ("leaf_value=", "leaf_value=x"),
        ("cat_boundaries=", "cat_boundaries=-1 "),
        ("end of trees", ""),
        ("Tree=", "Wood="),
        ("decision_type=", "decision="),
    ],
)
def test_a_text_that_is_none_is_refused_in_one_line(
    dataset: Dataset, folder: Path, tmp_path: Path, was: str, becomes: str
) -> None:
    text = (folder / ENSEMBLES["lightgbm"]).read_text()
    assert was in text
    (tmp_path / "model.txt").write_text(text.replace(was, becomes))
    with pytest.raises(InputError, match="no model of LightGBM") as refused:
        read_text(tmp_path / "model.txt", len(read_columns_of(dataset, folder)))
    assert "\n" not in str(refused.value)


def test_the_library_need_not_be_installed(dataset: Dataset, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("recnas.trees.library.find_spec", lambda name: None)
    assert tree_module(folder, "lightgbm", dataset.schema).schemas == [dataset.schema]
