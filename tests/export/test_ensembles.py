"""A run's ensemble as an exported folder: one model in all that a model is."""

from __future__ import annotations

import importlib
import json
import re
import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch

import recnas
from recnas.cli import main
from recnas.data import Batch, batch_of
from recnas.export import continue_training, evaluate_export, export_run, log_export
from recnas.export.ensemble import load_ensemble
from recnas.export.onnx import input_names
from recnas.export.record import TrainingRecord
from recnas.features.ensemble_file import EnsembleFile, input_schemas
from recnas.features.schema import Schema
from recnas.space import Architecture
from recnas.util.errors import InputError
from tests.export.conftest import Finished
from tests.export.ensembles import BINS, MEMBERS, ROWS, WEIGHTS, EnsembleRun, make_run
from tests.stopping import Stopped, stop_at


@pytest.fixture(scope="module")
def found(finished: Finished, tmp_path_factory: pytest.TempPathFactory) -> EnsembleRun:
    """A run with an ensemble; tests only look at it."""
    return make_run(finished, tmp_path_factory.mktemp("ensemble") / "run", MEMBERS, WEIGHTS)


@pytest.fixture(scope="module")
def folder(found: EnsembleRun, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its export with an ONNX file; tests only look at it."""
    return export_run(found.run, tmp_path_factory.mktemp("exported") / "model", formats=["onnx"])


def results_of(run: Path) -> dict[str, Any]:
    return json.loads((run / "results.json").read_text())


def arrays_of(folder: Path) -> list[np.ndarray]:
    return [array for schema in input_schemas(folder) for array in schema.encode(ROWS).arrays]


@pytest.mark.parametrize("split", ["validation", "test"])
def test_a_run_exports_its_ensemble_which_is_evaluated_as_the_run_measured_it(
    found: EnsembleRun, folder: Path, split: str
) -> None:
    expected = results_of(found.run)["ensemble"][split]
    assert evaluate_export(folder, found.data, split).to_json() == pytest.approx(expected, abs=1e-6)
    assert getattr(TrainingRecord.load(folder).stages[-1], split).to_json() == expected
    assert f"{expected['log_loss']:.6f}" in (folder / "README.md").read_text()


def test_raw_rows_have_one_probability_in_module_program_and_onnx_file(found: EnsembleRun, folder: Path) -> None:
    members = [recnas.load(folder / "members" / str(number)) for number in range(1, 5)]
    expected = sum(weight * member.predict(ROWS) for weight, member in zip(WEIGHTS, members, strict=True))
    assert recnas.load(folder).predict(ROWS) == pytest.approx(expected, abs=1e-7)
    arrays = arrays_of(folder)
    with torch.inference_mode():
        program = torch.export.load(folder / "program.pt2").module()(*map(torch.from_numpy, arrays))
    assert program.numpy() == pytest.approx(expected, abs=1e-6)
    session = onnxruntime.InferenceSession(folder / "model.onnx", providers=["CPUExecutionProvider"])
    names = input_names(input_schemas(folder))
    assert [item.name for item in session.get_inputs()] == names
    (probabilities,) = session.run(None, dict(zip(names, arrays, strict=True)))
    assert probabilities == pytest.approx(expected, abs=1e-6)


def test_members_that_are_fed_alike_share_their_inputs(folder: Path) -> None:
    assert EnsembleFile.load(folder).inputs == (0, 1, 0, 1)
    assert len(input_schemas(folder)) == 2
    assert len(arrays_of(folder)) == 2 * (2 + 2 * 2)


def test_a_run_s_best_model_and_members_can_be_had_alone(found: EnsembleRun, tmp_path: Path) -> None:
    results = results_of(found.run)
    export_run(found.run, tmp_path / "best", single=True)
    (best,) = results["models"]
    assert evaluate_export(tmp_path / "best", found.data).to_json() == pytest.approx(best["test"], abs=1e-6)
    for member in results["ensemble"]["members"]:
        export_run(found.run, tmp_path / "member", model=member["candidate"], overwrite=True)
        quality = evaluate_export(tmp_path / "member", found.data, "validation").to_json()
        assert quality == pytest.approx(member["validation"], abs=1e-6)
    with pytest.raises(InputError, match=r"no trained model 'dcnv2' to export; there are .*deepfm-"):
        export_run(found.run, tmp_path / "other", model="dcnv2")
    with pytest.raises(InputError, match="--single is the best model, and --model x another"):
        export_run(found.run, tmp_path / "other", model="x", single=True)


def test_the_command_exports_the_ensemble_or_the_best_model(
    found: EnsembleRun, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ensemble, single = tmp_path / "ensemble", tmp_path / "single"
    assert main(["export", str(found.run), "--output", str(ensemble)]) == 0
    assert main(["export", str(found.run), "--output", str(single), "--single"]) == 0
    assert (ensemble / "ensemble.json").is_file()
    assert (single / "architecture.json").is_file()
    assert main(["evaluate", str(ensemble), "--data", str(found.data)]) == 0
    expected = results_of(found.run)["ensemble"]["test"]
    assert f"test log loss {expected['log_loss']:.6f}, AUC {expected['auc']:.6f}" in capsys.readouterr().out


def test_the_readmes_code_gives_the_same_probabilities_everywhere(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    blocks = re.findall(r"```python\n(.*?)```", (folder / "README.md").read_text(), re.DOTALL)
    assert len(blocks) == 4
    monkeypatch.chdir(folder)
    space: dict[str, Any] = {}
    for block in blocks:
        exec(block, space)
    figures = [re.findall(r"0\.\d{4}", line) for line in capsys.readouterr().out.splitlines()]
    first, *others = [[float(number) for number in line] for line in figures]
    assert len(first) == 2
    assert all(other == pytest.approx(first, abs=2e-4) for other in others)


def test_an_ensemble_is_exported_again_in_other_forms_and_replaced(
    found: EnsembleRun, folder: Path, tmp_path: Path
) -> None:
    again = tmp_path / "again"
    export_run(folder, again)
    assert {path.name for path in again.iterdir()} == {path.name for path in folder.iterdir()} - {"model.onnx"}
    assert recnas.load(again).predict(ROWS).tolist() == recnas.load(folder).predict(ROWS).tolist()
    with pytest.raises(InputError, match="--overwrite replaces it"):
        export_run(found.run, again)
    export_run(folder / "members" / "2", again, overwrite=True)
    assert (again / "program.pt2").is_file()
    with pytest.raises(InputError, match="its members are models of their own"):
        export_run(folder, tmp_path / "other", single=True)


def test_rounded_tables_are_measured_together(found: EnsembleRun, tmp_path: Path) -> None:
    rounded = export_run(found.run, tmp_path / "rounded", quantize=True, formats=["onnx"])
    quantization = TrainingRecord.load(rounded).quantization
    assert quantization.before.to_json() == pytest.approx(results_of(found.run)["ensemble"]["test"], abs=1e-6)
    assert quantization.after == evaluate_export(rounded, found.data)
    assert quantization.after.log_loss == pytest.approx(quantization.before.log_loss, abs=0.01)
    expected, arrays = recnas.load(rounded).predict(ROWS), arrays_of(rounded)
    with torch.inference_mode():
        program = torch.export.load(rounded / "program.pt2").module()(*map(torch.from_numpy, arrays))
    assert program.numpy() == pytest.approx(expected, abs=1e-5)
    with pytest.raises(InputError, match="rounded already"):
        export_run(rounded, tmp_path / "more")
    with pytest.raises(InputError, match="its tables are rounded; export the ensemble without --quantize"):
        continue_training(rounded, found.data, tmp_path / "more")


def test_what_cannot_be_had_of_members_is_one_line(found: EnsembleRun, tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match=r"--format torchrec writes searched models out, and deepfm .* --single"
    ) as told:
        export_run(found.run, tmp_path / "model", formats=["torchrec"])
    assert "\n" not in str(told.value)
    assert not (tmp_path / "model").exists()
    with pytest.raises(InputError, match="rounded tables are not for"):
        export_run(found.run, tmp_path / "model", formats=["torchrec"], quantize=True)


@pytest.mark.slow
def test_searched_members_are_projects_side_by_side_and_their_mean(
    finished: Finished, sample: Any, tmp_path: Path
) -> None:
    archs: list[Architecture] = sample("nasrec-small", 1)
    found = make_run(finished, tmp_path / "run", [(archs[0], BINS)], [0.25, 0.75])
    folder = export_run(found.run, tmp_path / "model", formats=["torchrec"])
    lines = "".join(json.dumps(row) + "\n" for row in ROWS)
    ended = subprocess.run(
        [sys.executable, folder / "torchrec" / "mean.py"], input=lines, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr
    expected = recnas.load(folder).predict(ROWS)
    assert [float(line) for line in ended.stdout.split()] == pytest.approx(expected.tolist(), abs=1e-6)
    ended = subprocess.run(
        [sys.executable, folder / "torchrec" / "mean.py"], input="{", capture_output=True, text=True, check=False
    )
    assert (ended.returncode, ended.stdout) == (1, "")


def test_each_member_goes_on_by_its_own_recipe_and_weights_stay(
    found: EnsembleRun, folder: Path, tmp_path: Path
) -> None:
    more = tmp_path / "more"
    result = continue_training(folder, found.data, more, epochs=2, keep="last")
    expected = evaluate_export(folder, found.data, "validation")
    assert result.before.to_json() == pytest.approx(expected.to_json(), abs=1e-6)
    assert result.after.log_loss < result.before.log_loss
    assert evaluate_export(more, found.data, "validation") == result.after
    assert EnsembleFile.load(more) == EnsembleFile.load(folder)
    assert [number for number, _ in result.members] == [1, 2, 3, 4]
    for number, member in result.members:
        was, now = (TrainingRecord.load(place / "members" / str(number)) for place in (folder, more))
        assert now.recipe == was.recipe
        assert now.stages[:-1] == was.stages
        assert now.stages[-1].validation == member.after
    assert len(TrainingRecord.load(more).stages) == 2
    assert {path.name for path in tmp_path.iterdir()} == {"more"}


def test_a_training_stopped_anywhere_ends_as_if_it_had_not_been(
    found: EnsembleRun, folder: Path, tmp_path: Path
) -> None:
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    continue_training(folder, found.data, whole, checkpoint_seconds=0.0)
    for place, call, after in (
        ("recnas.train.loop.ModelLearner.step", 8, True),
        ("recnas.export.training.evaluate", 1, True),
        ("recnas.export.further.evaluate_model", 2, False),
        ("recnas.export.further.write_ensemble", 1, True),
    ):
        with pytest.MonkeyPatch.context() as patch:
            stop_at(patch, place, call, after)
            with pytest.raises(Stopped):
                continue_training(folder, found.data, stopped, checkpoint_seconds=0.0, resume=True)
    with pytest.raises(
        InputError, match=r"stopped\.members: members of a training that has not ended; --resume goes on"
    ):
        continue_training(folder, found.data, stopped, overwrite=True)
    again = continue_training(folder, found.data, stopped, checkpoint_seconds=0.0, resume=True)
    assert again.before is None
    assert again.after == TrainingRecord.load(whole).stages[-1].validation
    assert recnas.load(stopped).predict(ROWS).tolist() == recnas.load(whole).predict(ROWS).tolist()
    assert {path.name for path in tmp_path.iterdir()} == {"whole", "stopped"}


def test_the_command_trains_in_place_and_shows_each_member(
    found: EnsembleRun, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = tmp_path / "model"
    shutil.copytree(folder, model)
    assert main(["train", str(model), "--data", str(found.data), "--in-place"]) == 0
    shown = capsys.readouterr().out
    assert re.findall(r"^member (\d)$", shown, re.MULTILINE) == ["1", "2", "3", "4"]
    assert re.search(r"\nensemble\nbefore +0\.\d{6} +0\.\d{6}\nafter +0\.\d{6} +0\.\d{6}\nwritten to ", shown)
    assert len(TrainingRecord.load(model).stages) == 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda values: values.update(version=9), "version 9 where 1 is expected"),
        (lambda values: values["members"].pop(), "damaged; export the ensemble again"),
        (lambda values: values["members"][0].update(weight=0.9), "damaged; export the ensemble again"),
        (lambda values: values["members"][0].update(weight=-1), "weight"),
        (lambda values: values["members"][1].update(folder="../../secret"), "damaged; export the ensemble again"),
        (lambda values: values["members"][1].update(inputs=7), "damaged; export the ensemble again"),
        (lambda values: values["members"][1].update(code="import os"), "code"),
        (lambda values: values.pop("members"), "members"),
    ],
)
def test_a_damaged_ensemble_is_one_line(folder: Path, tmp_path: Path, change: Any, message: str) -> None:
    copy = tmp_path / "model"
    shutil.copytree(folder, copy)
    values = json.loads((copy / "ensemble.json").read_text())
    change(values)
    (copy / "ensemble.json").write_text(json.dumps(values))
    with pytest.raises(InputError, match=message) as refused:
        recnas.load(copy)
    assert "ensemble.json" in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_member_s_missing_or_foreign_file_is_one_line_that_names_it(folder: Path, tmp_path: Path) -> None:
    copy = tmp_path / "model"
    shutil.copytree(folder, copy)
    weights = copy / "members" / "2" / "weights.safetensors"
    weights.write_bytes((copy / "members" / "3" / "weights.safetensors").read_bytes())
    with pytest.raises(InputError, match=r"members/2/weights\.safetensors"):
        recnas.load(copy)
    weights.unlink()
    with pytest.raises(InputError, match=r"members/2: no weights\.safetensors"):
        recnas.load(copy)


def constant(value: float, batch: Batch) -> torch.Tensor:
    return torch.full((len(batch),), value)


def test_probabilities_close_to_0_and_1_have_exact_logits(folder: Path) -> None:
    model = load_ensemble(folder)
    model.weights = (0.25,) * 4
    values = (-60.0, -50.0, -55.0, -50.0)
    model.members = [partial(constant, value) for value in values]
    (logit,) = model(*[batch_of(schema.encode(ROWS[:1]), schema) for schema in model.schemas])
    expected = np.log(np.mean(np.exp(values)))
    assert logit.item() == pytest.approx(expected, abs=1e-9)


def test_a_later_log_is_prepared_like_an_ensemble_as_like_its_data_set(found: EnsembleRun, folder: Path) -> None:
    assert Schema.load(folder).to_json() == Schema.load(found.run).to_json()


@pytest.mark.slow
@pytest.mark.usefixtures("_mlflow")
def test_mlflow_gives_an_ensemble_back_which_takes_raw_rows(folder: Path, tmp_path: Path) -> None:
    import mlflow
    import pandas as pd

    address = log_export(tmp_path, folder)
    served = mlflow.pyfunc.load_model(address).predict(pd.DataFrame(ROWS).astype(object))
    np.testing.assert_array_equal(served, recnas.load(folder).predict(ROWS))


@pytest.mark.slow
def test_the_service_answers_with_an_ensemble(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "examples" / "service"))
    predictor = importlib.import_module("service").Predictor(folder)
    assert predictor.predict(ROWS) == pytest.approx(recnas.load(folder).predict(ROWS), abs=1e-6)
    assert set(predictor.columns()) == set(ROWS[0])
    assert predictor.id == "ensemble"
