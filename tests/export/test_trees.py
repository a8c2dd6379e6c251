"""Trees of a run as an exported folder."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch

import recnas
from recnas.candidates.families import TREES as FAMILIES
from recnas.cli import main
from recnas.data import Dataset, batch_of
from recnas.export import continue_training, evaluate_export, export_run, program_inputs
from recnas.export.onnx import input_names
from recnas.trees import library
from recnas.trees.files import ENSEMBLES, TREES
from recnas.trees.module import HAVE_MODULES
from recnas.util.errors import InputError
from tests.searches import as_published, data

__all__ = ["data"]

for name in FAMILIES:
    pytest.importorskip(name)


@pytest.fixture(scope="module")
def run(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run in which trees are best."""
    folder = tmp_path_factory.mktemp("runs") / "trees"
    recnas.baselines(data, folder, models=[*FAMILIES, "lr"], progress=False, **as_published({"seed": 3}))
    return folder


@pytest.fixture(scope="module", params=FAMILIES)
def family(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def exported(run: Path, family: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export_run(run, tmp_path_factory.mktemp("models") / family, model=family)


def entry(run: Path, family: str) -> dict[str, Any]:
    return next(item for item in json.loads((run / "results.json").read_text())["models"] if item["id"] == family)


def test_an_export_is_evaluated_as_the_run_measured_it(run: Path, data: Path, family: str, exported: Path) -> None:
    assert evaluate_export(exported, data).to_json() == entry(run, family)["test"]


def test_all_but_the_program_is_text_and_the_readme_says_what_it_is(run: Path, family: str, exported: Path) -> None:
    names = {file.name for file in exported.iterdir()}
    assert ("program.pt2" in names) == (family in HAVE_MODULES)
    texts = {name: (exported / name).read_text(encoding="utf-8") for name in names - {"program.pt2"}}
    assert set(texts) == {
        "architecture.json", "schema.json", "training.json", "README.md", TREES, ENSEMBLES[family],
    }  # fmt: skip
    readme = texts["README.md"]
    assert f"{entry(run, family)['test']['log_loss']:.6f}" in readme
    assert "learning_rate" in readme
    assert f"`{ENSEMBLES[family]}`" in readme


def test_the_readmes_code_gives_probabilities_of_raw_rows(exported: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(exported)
    blocks = (exported / "README.md").read_text().split("```python\n")[1:]
    shown: list[Any] = []
    exec(blocks[0].split("```")[0], {"print": shown.append})
    assert shown[0].shape == (2,)
    assert ((shown[0] > 0) & (shown[0] < 1)).all()


def test_raw_rows_are_predicted_as_those_of_the_data_set(exported: Path, data: Path) -> None:
    model = recnas.load(exported)
    schema = model.schema
    row = {"user": "7", "item": "3", "age": 33, "gender": "M", "occupation": "other", "zip_code": "00012"}
    row |= {"release_year": 1990, "timestamp": 880000000, "genres": ["Drama"]}
    batch = batch_of(schema.encode([row, {**row, "age": None}], allow_absent=True), schema)
    assert torch.isfinite(model(batch)).all()


def test_an_export_is_exported_again_and_may_be_replaced(exported: Path, data: Path, tmp_path: Path) -> None:
    again = export_run(exported, tmp_path / "again")
    assert {file.name for file in again.iterdir()} == {file.name for file in exported.iterdir()}
    # A program has a time in it.
    texts = [file.name for file in again.iterdir() if file.name != "program.pt2"]
    assert all((again / name).read_bytes() == (exported / name).read_bytes() for name in texts)
    with pytest.raises(InputError, match="--overwrite replaces it"):
        export_run(exported, again)
    export_run(exported, again, overwrite=True)


def test_the_best_of_a_run_may_be_trees(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    best = json.loads((run / "results.json").read_text())["best"]
    assert best in FAMILIES
    assert main(["export", str(run), "--output", str(tmp_path / "model"), "--single"]) == 0
    assert f"wrote {tmp_path / 'model'}" in capsys.readouterr().out
    assert json.loads((tmp_path / "model" / "architecture.json").read_text())["name"] == best


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"formats": ["torchrec"]}, "are trees, which are no .*; leave --format torchrec out: model"),
        ({"quantize": True}, "are trees, which have no tables; leave --quantize out: model"),
    ],
)
def test_what_trees_cannot_be_is_one_line(
    run: Path, family: str, tmp_path: Path, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        export_run(run, tmp_path / "model", model=family, **options)
    assert not (tmp_path / "model").exists()


def test_catboost_is_no_onnx_file_in_one_line(run: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="catboost are trees, which are no program of torch; leave --format onnx out"):
        export_run(run, tmp_path / "model", model="catboost", formats=["onnx"])
    assert not (tmp_path / "model").exists()


def test_a_program_has_the_library_s_probabilities(run: Path, data: Path, tmp_path: Path) -> None:
    folder = export_run(run, tmp_path / "model", model="lightgbm")
    model, dataset = recnas.load(folder), Dataset(data)
    program = torch.export.load(folder / "program.pt2").module()
    for size in (1, 2, 300):
        (batch, *_) = dataset.fed(model.schema).batches("test", size)
        with torch.inference_mode():
            found = program(*program_inputs(batch, model.schema))
        torch.testing.assert_close(found, torch.sigmoid(model(batch)).float(), rtol=0, atol=1e-7)


@pytest.mark.slow
def test_onnx_runtime_and_the_readme_s_code_have_the_library_s_probabilities(
    run: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = export_run(run, tmp_path / "model", model="lightgbm", formats=["onnx"])
    model = recnas.load(folder)
    session = onnxruntime.InferenceSession(folder / "model.onnx", providers=["CPUExecutionProvider"])
    wanted = [entry.name for entry in session.get_inputs()]
    for size in (1, 2, 300):
        (batch, *_) = Dataset(data).fed(model.schema).batches("test", size)
        arrays = [tensor.numpy() for tensor in program_inputs(batch, model.schema)]
        given = dict(zip(input_names([model.schema]), arrays, strict=True))
        (found,) = session.run(None, {name: given[name] for name in wanted})
        assert found == pytest.approx(torch.sigmoid(model(batch)).numpy(), abs=1e-6)
    monkeypatch.chdir(folder)
    space: dict[str, Any] = {"print": (shown := []).append}
    for block in re.findall(r"```python\n(.*?)```", (folder / "README.md").read_text(), re.DOTALL):
        exec(block, space)
    first, *others = [np.asarray(item) for item in shown]
    assert len(others) == 2
    assert all(other == pytest.approx(first, abs=1e-6) for other in others)


def test_trees_are_not_trained_further(exported: Path, data: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="trees are not trained further; recnas baselines grows them anew"):
        continue_training(exported, data, tmp_path / "more")


def test_without_the_library_they_are_exported_but_not_loaded(
    run: Path, family: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(library, "find_spec", lambda name: None)
    folder = export_run(run, tmp_path / "model", model=family)
    with pytest.raises(InputError, match=rf"{family} is not installed; pip install {family} brings it"):
        recnas.load(folder)


def test_a_damaged_export_is_one_line(run: Path, family: str, tmp_path: Path) -> None:
    folder = export_run(run, tmp_path / "model", model=family)
    file = folder / ENSEMBLES[family]
    file.write_bytes(file.read_bytes()[:-20])
    with pytest.raises(InputError, match="damaged, or of another model"):
        recnas.load(folder)
    (folder / TREES).unlink()
    with pytest.raises(InputError, match="this is not an exported model"):
        recnas.load(folder)
