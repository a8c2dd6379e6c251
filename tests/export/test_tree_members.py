"""An ensemble in which trees are members: one model in all that a model is."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch

import recnas
from recnas.export import continue_training, evaluate_export, export_run, log_export
from recnas.export.onnx import input_names
from recnas.export.record import TrainingRecord
from recnas.features.ensemble_file import input_schemas
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
        chosen = Selection({0: 0.75, 1: 0.25}, 0.5, 0.6, 0.01)
        patch.setattr("recnas.search.ensembling.select", lambda logits, labels, **how: chosen)
        run = tmp_path_factory.mktemp("runs") / "run"
        return recnas.baselines(data, run, models=["lightgbm", "lr"], progress=False, **as_published({"seed": 3}))


@pytest.fixture(scope="module")
def folder(results: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export_run(results["run"], tmp_path_factory.mktemp("models") / "model")


def test_it_is_evaluated_as_the_run_measured_it(results: dict[str, Any], folder: Path, data: Path) -> None:
    assert {member["id"] for member in results["ensemble"]["members"]} == {"lightgbm", "lr"}
    expected = pytest.approx(results["ensemble"]["test"], abs=1e-6)
    assert evaluate_export(folder, data).to_json() == expected
    # And again, from the exported one.
    assert evaluate_export(export_run(folder, folder.with_name("again")), data).to_json() == expected


ROW = {"user_id": "3", "item_id": "5", "timestamp": 880000000, "age": 30, "gender": "F", "occupation": "other"}
ROW |= {"zip_code": "00012", "release_year": "1990", "class": "Drama"}
ROWS = [ROW, {**ROW, "user_id": None, "age": None, "class": ""}, {**ROW, "item_id": "9999", "release_year": "1950"}]
"""Raw rows; values are missing or unseen."""


def test_raw_rows_have_the_mean_of_what_members_predict(results: dict[str, Any], folder: Path, tmp_path: Path) -> None:
    rows, expected = ROWS, 0.0
    for member in results["ensemble"]["members"]:
        alone = export_run(results["run"], tmp_path / "alone", model=member["candidate"], overwrite=True)
        expected += member["weight"] * recnas.load(alone).predict(rows)
    assert recnas.load(folder).predict(rows) == pytest.approx(expected, abs=1e-7)


def arrays_of(folder: Path) -> list[np.ndarray]:
    return [array for schema in input_schemas(folder) for array in schema.encode(ROWS).arrays]


def test_a_program_has_the_module_s_probabilities(folder: Path) -> None:
    with torch.inference_mode():
        found = torch.export.load(folder / "program.pt2").module()(*map(torch.from_numpy, arrays_of(folder)))
    assert found.numpy() == pytest.approx(recnas.load(folder).predict(ROWS), abs=1e-6)


@pytest.mark.slow
@pytest.mark.usefixtures("_mlflow")
def test_onnx_runtime_service_and_mlflow_have_the_module_s_probabilities(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import mlflow
    import pandas as pd

    served = export_run(folder, tmp_path / "served", formats=["onnx"])
    expected = recnas.load(folder).predict(ROWS)
    session = onnxruntime.InferenceSession(served / "model.onnx", providers=["CPUExecutionProvider"])
    given = dict(zip(input_names(input_schemas(served)), arrays_of(served), strict=True))
    (found,) = session.run(None, {entry.name: given[entry.name] for entry in session.get_inputs()})
    assert found == pytest.approx(expected, abs=1e-6)
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "examples" / "service"))
    predictor = importlib.import_module("service").Predictor(served)
    assert predictor.predict(ROWS) == pytest.approx(expected, abs=1e-6)
    loaded = mlflow.pyfunc.load_model(log_export(tmp_path, served))
    np.testing.assert_array_equal(loaded.predict(pd.DataFrame(ROWS).astype(object)), expected)


def test_tables_of_networks_are_rounded_and_trees_stay(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = Selection({0: 0.5, 1: 0.5}, 0.5, 0.6, 0.01)
    monkeypatch.setattr("recnas.search.ensembling.select", lambda logits, labels, **how: chosen)
    run = tmp_path / "run"
    recnas.baselines(data, run, models=["lightgbm", "dlrm"], progress=False, **as_published({"seed": 3}))
    rounded = export_run(run, tmp_path / "rounded", quantize=True)
    quantization = TrainingRecord.load(rounded).quantization
    assert quantization.after == evaluate_export(rounded, data)
    assert quantization.after != quantization.before
    with torch.inference_mode():
        found = torch.export.load(rounded / "program.pt2").module()(*map(torch.from_numpy, arrays_of(rounded)))
    assert found.numpy() == pytest.approx(recnas.load(rounded).predict(ROWS), abs=1e-5)


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"formats": ["torchrec"]}, r"lightgbm in the ensemble are trees, which .*; --single exports"),
        ({"quantize": True}, r"no member of the ensemble has embedding tables to round; --single exports"),
    ],
)
def test_what_trees_are_not_is_refused_in_one_line(
    results: dict[str, Any], tmp_path: Path, asked: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message) as refused:
        export_run(results["run"], tmp_path / "model", **asked)
    assert "\n" not in str(refused.value)


def test_an_ensemble_with_catboost_has_no_program(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("catboost")
    chosen = Selection({0: 0.5, 1: 0.5}, 0.5, 0.6, 0.01)
    monkeypatch.setattr("recnas.search.ensembling.select", lambda logits, labels, **how: chosen)
    run = tmp_path / "run"
    recnas.baselines(data, run, models=["catboost", "lr"], progress=False, **as_published({"seed": 3}))
    folder = export_run(run, tmp_path / "model")
    assert not (folder / "program.pt2").exists()
    assert "There is no program: CatBoost is among the members" in (folder / "README.md").read_text()
    with pytest.raises(InputError, match="--format: catboost in the ensemble are trees, which are no program"):
        export_run(run, tmp_path / "other", formats=["onnx"])


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
