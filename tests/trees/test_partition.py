"""Logits of many rows at a time, against LightGBM's own."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recnas.trees import partition
from recnas.trees.columns import CategoryColumn, ListedValue, TreeColumns

lightgbm = pytest.importorskip("lightgbm")
from recnas.trees.lightgbm_library import LightGBMTrees  # noqa: E402

KEPT = tuple(range(5, 905, 3))
COLUMNS = TreeColumns(("x", "y"), (ListedValue("tags", 3),), (CategoryColumn("user", KEPT), CategoryColumn("hour")))
EDGES = np.array([0, -0.0, 1e-35, -1e-35, 2e-35, 1e-36, 1, -1, 0.1, 16777217, np.nan], dtype=np.float32)
"""Numbers where decisions change."""


def matrix(rows: int, seed: int) -> np.ndarray:
    """Random rows of `COLUMNS`: the places of users that are kept, and that of all others."""
    rng = np.random.default_rng(seed)
    numbers = np.where(rng.random((rows, 2)) < 0.5, rng.choice(EDGES, (rows, 2)), rng.normal(size=(rows, 2)).round(1))
    listed = rng.integers(2, size=rows)
    user, hour = np.minimum(rng.geometric(0.02, rows), len(KEPT)), rng.integers(25, size=rows)
    return np.column_stack((numbers, listed, user, hour)).astype(np.float32)


def grown(rows: np.ndarray, seed: int, trees: int = 12, **parameters: Any) -> Any:
    """LightGBM's trees on clicks that all columns have a say in."""
    rng = np.random.default_rng(seed)
    effects = rng.normal(size=len(KEPT) + 1)[rows[:, 3].astype(int)] + rng.normal(size=25)[rows[:, 4].astype(int)]
    clicks = effects + 2 * np.isnan(rows[:, 0]) + np.nan_to_num(rows[:, 1]) * rows[:, 2] > 0
    usual = {"objective": "binary", "verbosity": -1, "num_threads": 1, "seed": seed, "min_data_in_leaf": 2}
    usual |= {"min_data_per_group": 1, "cat_smooth": 0, "cat_l2": 0}
    data = lightgbm.Dataset(rows, clicks.astype(float), categorical_feature=[3, 4], params={"verbosity": -1})
    return lightgbm.train(usual | parameters, data, trees)


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    missing=st.sampled_from([{}, {"use_missing": False}, {"zero_as_missing": True}]),
    leaves=st.sampled_from([2, 7, 60]),
    one_against_all=st.booleans(),
    threads=st.integers(1, 3),
)
def test_logits_are_the_library_s_to_the_last_bit(
    seed: int, missing: dict[str, Any], leaves: int, one_against_all: bool, threads: int
) -> None:
    # Either one category against all others, or sets of them.
    of_sets = {"max_cat_to_onehot": 1000 if one_against_all else 1}
    booster = grown(matrix(600, seed), seed, num_leaves=leaves, **missing, **of_sets)
    trees = LightGBMTrees(booster, COLUMNS)
    for rows in (1, 700, 2 * partition.LEAST_ROWS + 1):
        other = matrix(rows, seed + rows)
        np.testing.assert_array_equal(trees.logits(other, threads), booster.predict(other, raw_score=True))


def test_rows_go_through_the_trees_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = matrix(1000, 1)
    booster = grown(rows, 1)
    monkeypatch.setattr(partition, "TOGETHER", 77)
    monkeypatch.setattr(partition, "LEAST_ROWS", 1)
    found = LightGBMTrees(booster, COLUMNS).logits(rows, threads=3)
    np.testing.assert_array_equal(found, booster.predict(rows, raw_score=True))


def test_fewer_trees_are_counted_and_predict_as_the_library_s_do(tmp_path: Path) -> None:
    rows = matrix(1000, 2)
    booster = grown(rows, 2, num_leaves=31)
    trees = LightGBMTrees(booster, COLUMNS)
    before = trees.logits(rows, 1)
    trees.cut(4)
    np.testing.assert_array_equal(trees.logits(rows, 1), booster.predict(rows, raw_score=True, num_iteration=4))
    assert not np.array_equal(trees.logits(rows, 1), before)
    described = booster.dump_model(num_iteration=4)["tree_info"]
    assert trees.leaves == sum(tree["num_leaves"] for tree in described)


def test_categories_that_no_split_names_go_where_the_library_sends_them() -> None:
    columns = replace(COLUMNS, numbers=(), listed=(), categories=COLUMNS.categories[1:])
    rng = np.random.default_rng(0)
    rows = rng.integers(4, size=(500, 1)).astype(np.float32)
    data = lightgbm.Dataset(rows, (rows[:, 0] == 2).astype(float), categorical_feature=[0], params={"verbosity": -1})
    booster = lightgbm.train({"objective": "binary", "verbosity": -1, "num_threads": 1}, data, 3)
    other = np.arange(40_000, dtype=np.float32)[:, None]
    found = LightGBMTrees(booster, columns).logits(other, 2)
    np.testing.assert_array_equal(found, booster.predict(other, raw_score=True))
    assert len(np.unique(found)) > 1
