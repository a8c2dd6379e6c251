"""An ensemble in which trees are members: read, evaluated and trained further, without a program."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import recnas
from recnas.export import continue_training, evaluate_export, export_run
from recnas.export.record import TrainingRecord
from recnas.search.ensemble_selection import Selection
from recnas.trees.files import TREES
from recnas.util.errors import InputError
from tests.searches import as_published, data

__all__ = ["data"]

pytest.importorskip("lightgbm")


@pytest.fixture(scope="module")
def results(data: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Of a run whose ensemble is trees and a linear model."""
    with pytest.MonkeyPatch.context() as patch:
        chosen = Selection({0: 0.75, 1: 0.25}, 0.5, 0.6)
        patch.setattr("recnas.search.ensembling.select", lambda logits, labels, **how: chosen)
        run = tmp_path_factory.mktemp("runs") / "run"
        return recnas.baselines(data, run, models=["lightgbm", "lr"], progress=False, **as_published({"seed": 3}))


@pytest.fixture(scope="module")
def folder(results: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export_run(results["run"], tmp_path_factory.mktemp("models") / "model")


def test_it_is_evaluated_as_the_run_measured_it_and_has_no_program(
    results: dict[str, Any], folder: Path, data: Path
) -> None:
    assert {member["id"] for member in results["ensemble"]["members"]} == {"lightgbm", "lr"}
    expected = pytest.approx(results["ensemble"]["test"], abs=1e-6)
    assert evaluate_export(folder, data).to_json() == expected
    assert not (folder / "program.pt2").exists()
    assert "There is no program: trees are among the members" in (folder / "README.md").read_text()
    # And again, from the exported one.
    assert evaluate_export(export_run(folder, folder.with_name("again")), data).to_json() == expected


def test_raw_rows_have_the_mean_of_what_members_predict(results: dict[str, Any], folder: Path, tmp_path: Path) -> None:
    row = {"user_id": "3", "item_id": "5", "timestamp": 880000000, "age": 30, "gender": "F", "occupation": "other"}
    rows = [row | {"zip_code": "00012", "release_year": "1990", "class": "Drama"}]
    expected = 0.0
    for member in results["ensemble"]["members"]:
        alone = export_run(results["run"], tmp_path / "alone", model=member["candidate"], overwrite=True)
        expected += member["weight"] * recnas.load(alone).predict(rows)
    assert recnas.load(folder).predict(rows) == pytest.approx(expected, abs=1e-7)


@pytest.mark.parametrize("asked", [{"formats": ["onnx"]}, {"quantize": True}])
def test_what_trees_are_not_is_refused_in_one_line(
    results: dict[str, Any], tmp_path: Path, asked: dict[str, Any]
) -> None:
    with pytest.raises(InputError, match=r"lightgbm in the ensemble are trees, which .*; --single exports") as refused:
        export_run(results["run"], tmp_path / "model", **asked)
    assert "\n" not in str(refused.value)


def test_networks_go_on_and_trees_stay(folder: Path, data: Path, tmp_path: Path) -> None:
    result = continue_training(folder, data, tmp_path / "more")
    ((number, _),) = result.members
    other = 3 - number
    assert evaluate_export(tmp_path / "more", data, "validation") == result.after
    for name in (TREES, "training.json"):
        before, after = (place / "members" / str(other) / name for place in (folder, tmp_path / "more"))
        assert before.read_bytes() == after.read_bytes()
    assert len(TrainingRecord.load(tmp_path / "more" / "members" / str(number)).stages) == 2
    about = json.loads((tmp_path / "more" / "training.json").read_text())
    assert about["recipe"] is None
