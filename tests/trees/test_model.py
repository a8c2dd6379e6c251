"""Models of trees on disk."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from recnas.data import Dataset, fit_inputs
from recnas.features.inputs import Inputs
from recnas.trees.files import ENSEMBLES, TREES
from recnas.trees.model import TreeModel, load_trees
from recnas.trees.training import grow
from recnas.util.errors import InputError
from tests.trees.conftest import LIBRARIES

CHOICES = {"lightgbm": {"num_leaves": 7, "cat_smooth": 10}, "catboost": {"depth": 3}}


@pytest.fixture(scope="module", params=LIBRARIES)
def model(dataset: Dataset, request: pytest.FixtureRequest) -> TreeModel:
    pytest.importorskip(request.param)
    return grow(dataset, request.param, CHOICES[request.param], seed=1, threads=1, most_trees=20).model


@pytest.fixture
def folder(model: TreeModel, tmp_path: Path) -> Path:
    """Where it was written."""
    model.save(tmp_path)
    return tmp_path


def test_a_model_is_read_as_it_was_written(dataset: Dataset, model: TreeModel, folder: Path) -> None:
    read = load_trees(folder, model.family, dataset.schema)
    assert read.ensemble.trees == model.ensemble.trees
    assert read.ensemble.leaves == model.ensemble.leaves
    assert read.evaluate(dataset, "test") == model.evaluate(dataset, "test")


def test_all_of_it_is_text(model: TreeModel, folder: Path) -> None:
    assert {file.name for file in folder.iterdir()} == {TREES, ENSEMBLES[model.family]}
    for file in folder.iterdir():
        assert file.read_text(encoding="utf-8").isprintable() or "\n" in file.read_text(encoding="utf-8")


@pytest.mark.parametrize("cut", [0, 1, 1000])
def test_a_damaged_model_is_one_line_and_never_reaches_the_library(
    dataset: Dataset, model: TreeModel, folder: Path, cut: int
) -> None:
    file = folder / ENSEMBLES[model.family]
    file.write_bytes(file.read_bytes()[:-cut] if cut else b"tree")
    with pytest.raises(InputError, match=r"damaged, or of another model than trees\.json; it must be made anew"):
        load_trees(folder, model.family, dataset.schema)


def test_a_file_that_is_missing_is_one_line(dataset: Dataset, model: TreeModel, folder: Path) -> None:
    for name in (ENSEMBLES[model.family], TREES):
        (folder / name).unlink()
        with pytest.raises(InputError, match=f"{name}: no such file"):
            load_trees(folder, model.family, dataset.schema)


def test_what_says_what_it_is_is_held_against_a_form(dataset: Dataset, model: TreeModel, folder: Path) -> None:
    values = json.loads((folder / TREES).read_text())
    wrong = [
        {"version": 2},
        {"family": "forest"},
        {"columns": {}},
        {"columns": values["columns"] | {"numbers": "price"}},
    ]
    for change in wrong:
        (folder / TREES).write_text(json.dumps(values | change))
        with pytest.raises(InputError) as error:
            load_trees(folder, model.family, dataset.schema)
        assert TREES in str(error.value)
        assert "\n" not in str(error.value)


def test_a_model_of_other_features_is_refused(dataset: Dataset, model: TreeModel, folder: Path) -> None:
    other = fit_inputs(dataset, Inputs())
    with pytest.raises(InputError, match="other features"):
        load_trees(folder, model.family, other)
