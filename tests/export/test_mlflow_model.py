"""An exported model in MLflow: raw rows in, the model's probabilities out, and nothing pickled."""

from __future__ import annotations

import json
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest
import torch
from mlflow import MlflowClient

from recnas.candidates.defaults import DEFAULT_RECIPE
from recnas.candidates.network import Baseline
from recnas.data import Dataset, batch_of, fit_inputs
from recnas.export import load, log_export
from recnas.export.folder import write_export
from recnas.export.record import Stage, TrainingRecord
from recnas.features.inputs import Inputs
from recnas.tracking import tracked
from recnas.util.console import Console
from recnas.util.errors import RunError
from tests.export.test_fed_models import RAW, model_of, probabilities
from tests.export.test_project_data import data  # noqa: F401

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("_mlflow")]

ROWS = [
    {"age": 31, "visits": 2, "price": 0.5, "user": "3", "tags": ["1", "2"], "item": 7, "places": []},
    {"age": None, "visits": 0, "price": None, "user": None, "tags": [], "item": 8, "places": ["5"]},
]


def test_mlflow_gives_the_model_back_which_takes_raw_rows(exported: Path, tmp_path: Path) -> None:
    address = log_export(tmp_path, exported)
    served = mlflow.pyfunc.load_model(address).predict(pd.DataFrame(ROWS).astype(object))
    model = load(exported)
    with torch.inference_mode():
        offline = torch.sigmoid(model(batch_of(model.schema.encode(ROWS), model.schema)))
    np.testing.assert_array_equal(served, offline.double().numpy())
    # Other tests log models to the same store.
    info = MlflowClient().get_logged_model(mlflow.models.get_model_info(address).model_id)
    assert (info.name, info.experiment_id) == ("model", mlflow.get_experiment_by_name("recnas").experiment_id)
    run = MlflowClient().get_run(info.source_run_id)
    latest = TrainingRecord.load(exported).stages[-1]
    assert run.info.run_name == exported.name
    assert run.data.metrics["test_auc"] == latest.test.auc
    folder = Path(mlflow.artifacts.download_artifacts(address, dst_path=str(tmp_path / "taken")))
    assert not [path for path in folder.rglob("*") if path.suffix in (".pkl", ".pickle")]
    assert {column["name"] for column in mlflow.models.get_model_info(address).signature.inputs.to_dict()} == set(
        ROWS[0]
    )


def test_a_tracked_run_s_model_is_its_own_in_mlflow(exported: Path, run: Path, tmp_path: Path) -> None:
    (run / "config.yaml").write_text("version: 1\ncreated: today\n")
    with tracked(run, ["mlflow"], Console(False)):
        pass
    address = log_export(run, exported)
    info = mlflow.models.get_model_info(address)
    assert info.run_id in (run / "mlflow.json").read_text()
    assert MlflowClient().get_run(info.run_id).info.status == "FINISHED"


def test_what_mlflow_refuses_is_told_in_one_line(
    exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(
        RunError, match=r"model is written, but MLflow at http://127\.0\.0\.1:9 did not take it"
    ) as told:
        log_export(tmp_path, exported)
    assert "\n" not in str(told.value)


def test_another_model_than_the_best_goes_to_its_own_training(exported: Path, run: Path) -> None:
    client, stage = MlflowClient(), TrainingRecord.load(exported).stages[-1]
    (run / "config.yaml").write_text("version: 1\ncreated: today\n")
    next((run / "models").iterdir()).joinpath("metrics.jsonl").write_text(
        json.dumps({"learning_rate": stage.learning_rate, "rows": 5, "validation": {"auc": 0.5}}) + "\n"
    )
    with tracked(run, ["mlflow"], Console(False)):
        pass
    parent = json.loads((run / "mlflow.json").read_text())["run"]
    client.set_tag(parent, "recnas.best", "another")
    found = mlflow.models.get_model_info(log_export(run, exported)).run_id
    assert client.get_run(found).data.tags["mlflow.parentRunId"] == parent


def test_no_rows_have_no_probabilities(exported: Path, tmp_path: Path) -> None:
    served = mlflow.pyfunc.load_model(log_export(tmp_path, exported))
    assert len(served.predict(pd.DataFrame(ROWS).astype(object)[:0])) == 0


def test_what_a_model_is_fed_is_made_of_the_columns_of_raw_rows(data: Path, tmp_path: Path) -> None:  # noqa: F811
    inputs = Inputs(("bins",), 16, crosses=("user:price", "city:shop:age"))
    model = model_of(Baseline("dnn"), fit_inputs(Dataset(data), inputs))
    record = TrainingRecord(DEFAULT_RECIPE, (Stage("toy", 1, 0.003),))
    address = log_export(tmp_path, write_export(tmp_path / "model", model, record, False))
    signature = mlflow.models.get_model_info(address).signature
    assert {column["name"] for column in signature.inputs.to_dict()} == set(RAW[0])
    served = mlflow.pyfunc.load_model(address).predict(pd.DataFrame(RAW).astype(object))
    np.testing.assert_array_equal(served, probabilities(model, model.schema.encode(RAW)).double().numpy())
