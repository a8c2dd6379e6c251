"""Baselines leave a run as searched models do."""

import json
import re
import shutil
from pathlib import Path

import pytest
import torch

from recnas.candidates.families import FAMILIES
from recnas.candidates.network import Baseline
from recnas.data import Dataset
from recnas.export import continue_training, evaluate_export, export_run, load, program_inputs
from recnas.export.program import export_program
from recnas.nn.embeddings import ShardedEmbeddings, WholeEmbeddings
from recnas.nn.model import CTRModel
from recnas.nn.networks import build_network, embedding_dim, network_of, reads_first_order
from recnas.train.checkpoint import model_tensors
from recnas.train.loop import ModelLearner, evaluate, train
from recnas.util.errors import InputError
from tests.export.conftest import OPTIMIZATION, keep_model
from tests.old_layout import as_version_0_1


def trained_baseline(name: str, data: Path) -> CTRModel:
    dataset, baseline = Dataset(data), Baseline(name)
    torch.manual_seed(0)
    embeddings = ShardedEmbeddings(dataset.schema, embedding_dim(baseline), first_order=reads_first_order(baseline))
    model = CTRModel(dataset.schema, embeddings, build_network(baseline, dataset.schema))
    batches = dataset.batches("train", OPTIMIZATION.batch_size, seed=0)
    train(ModelLearner(model, OPTIMIZATION), batches, steps=len(batches))
    return model


@pytest.fixture(scope="module")
def won(finished, tmp_path_factory) -> Path:
    """The run, in which DeepFM (embeddings and first-order weights) is the best, and LR (no embeddings) was trained."""
    run = Path(shutil.copytree(finished.run, tmp_path_factory.mktemp("won") / "run"))
    results = json.loads((run / "results.json").read_text())
    dataset = Dataset(finished.data)
    for name in ("deepfm", "lr"):
        results["models"].append(keep_model(run, Baseline(name), trained_baseline(name, finished.data), dataset))
    results |= {"best": "deepfm"}
    (run / "results.json").write_text(json.dumps(results))
    return run


@pytest.fixture(scope="module")
def deepfm(won, tmp_path_factory) -> Path:
    return export_run(won, tmp_path_factory.mktemp("deepfm") / "model", formats=["onnx"])


def test_the_best_model_of_a_run_is_exported_though_it_is_a_baseline(won, deepfm, finished):
    said = json.loads((won / "results.json").read_text())["models"][1]
    assert json.loads((deepfm / "architecture.json").read_text())["name"] == said["id"] == "deepfm"
    for split in ("validation", "test"):
        found = evaluate_export(deepfm, finished.data, split)
        assert found.log_loss == pytest.approx(said[split]["log_loss"], abs=1e-6)
        assert found.auc == pytest.approx(said[split]["auc"], abs=1e-6)
    assert (deepfm / "model.onnx").is_file()


def test_any_model_of_the_run_can_be_asked_for(won, finished, tmp_path):
    results = json.loads((won / "results.json").read_text())
    found = load(export_run(won, tmp_path / "found", model=results["best_searched"]))
    assert network_of(found.network).id == results["best_searched"]
    linear = load(export_run(won, tmp_path / "lr", model="lr"))
    assert network_of(linear.network).id == "lr"
    quality = evaluate(linear, Dataset(finished.data), "test")
    assert quality.log_loss == pytest.approx(results["models"][2]["test"]["log_loss"], abs=1e-6)
    with pytest.raises(InputError, match=f"no trained model 'dlrm' to export; there are {results['best_searched']}, "):
        export_run(won, tmp_path / "none", model="dlrm")


def test_models_of_a_run_of_version_0_1_are_those_of_a_run_of_now(won, finished, tmp_path, monkeypatch):
    taken = []
    monkeypatch.setattr("recnas.export.run.write_export", lambda _, model, record, *rest: taken.append((model, record)))
    old = as_version_0_1(Path(shutil.copytree(won, tmp_path / "old")))
    assert (old / "baselines" / "deepfm" / "weights.safetensors").is_file()
    assert not (old / "models").exists()
    for name in (None, json.loads((won / "results.json").read_text())["best_searched"]):
        for run in (won, old):
            export_run(run, tmp_path / "out", model=name)
        (now, record), (before, old_record) = taken.pop(), taken.pop()
        assert record == old_record
        assert network_of(now.network) == network_of(before.network)
        tensors, old_tensors = model_tensors(now), model_tensors(before)
        assert tensors.keys() == old_tensors.keys()
        assert all(torch.equal(tensors[key], old_tensors[key]) for key in tensors)


def test_its_readme_says_what_it_is_and_its_code_works(won, deepfm, monkeypatch, capsys):
    text = (deepfm / "README.md").read_text()
    assert text.startswith("# Click model DeepFM\n\nA click-through-rate model (the baseline `deepfm`) trained by")
    assert "`first_order.<feature>`" in text
    assert "blocks" not in text
    assert f"{json.loads((won / 'results.json').read_text())['models'][1]['test']['auc']:.6f}" in text
    monkeypatch.chdir(deepfm)
    for code in re.findall(r"```python\n(.*?)```", text, re.DOTALL)[:2]:
        exec(code, {})
    assert re.fullmatch(r"\[0\.\d+ +0\.\d+ *\]\ntensor\(\[0\.\d+, 0\.\d+\]\)\n", capsys.readouterr().out)


def test_it_is_trained_further(deepfm, finished, tmp_path):
    result = continue_training(deepfm, finished.data, tmp_path / "more", epochs=2)
    before = evaluate_export(deepfm, finished.data, "validation").log_loss
    assert result.before.log_loss == pytest.approx(before, abs=1e-6)
    assert result.after.log_loss < result.before.log_loss
    weights = [load(folder).embeddings.tables(first_order=True)["user"] for folder in (deepfm, tmp_path / "more")]
    assert not torch.equal(*weights)
    after = evaluate_export(tmp_path / "more", finished.data, "validation").log_loss
    assert after == pytest.approx(result.after.log_loss, abs=1e-6)


def test_its_tables_are_rounded_and_what_cannot_be_had_is_said_before_anything_is_written(
    won, deepfm, tmp_path, make_batch
):
    rounded = load(export_run(won, tmp_path / "int8", quantize=True))
    batch = make_batch(rounded.schema, 20)
    with torch.inference_mode():
        program = torch.export.load(tmp_path / "int8" / "program.pt2").module()
        predicted = program(*program_inputs(batch, rounded.schema))
        torch.testing.assert_close(predicted, torch.sigmoid(rounded(batch)), rtol=0, atol=1e-6)
        torch.testing.assert_close(predicted, torch.sigmoid(load(deepfm)(batch)), rtol=0, atol=1e-2)
    with pytest.raises(InputError, match=r"deepfm is a baseline; leave it out: program.pt2 and --format onnx"):
        export_run(won, tmp_path / "none", formats=["torchrec"])
    with pytest.raises(InputError, match="lr has no embedding tables to round"):
        export_run(won, tmp_path / "none", model="lr", quantize=True)
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("name", FAMILIES)
def test_every_baseline_becomes_a_program_with_its_probabilities(name, finished, make_batch):
    baseline, schema = Baseline(name), finished.model.schema
    torch.manual_seed(0)
    embeddings = WholeEmbeddings(schema, embedding_dim(baseline), first_order=reads_first_order(baseline))
    for weights in embeddings.tables(first_order=True).values():
        weights.copy_(torch.randn(len(weights), 1).expand_as(weights))
    model = CTRModel(schema, embeddings, build_network(baseline, schema)).eval()
    assert network_of(model.network) == baseline
    program = export_program(model).module()
    for rows in (1, 20):
        batch = make_batch(schema, rows)
        with torch.inference_mode():
            expected, found = torch.sigmoid(model(batch)), program(*program_inputs(batch, schema))
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"version": 1, "kind": "baseline", "name": "fm"}', "no baseline is named 'fm'; known are lr, dnn"),
        ('{"version": 1, "kind": "baseline", "name": ["lr"]}', r"a baseline's name is expected, not \['lr'\]"),
        ('{"version": 3, "kind": "baseline", "name": "lr"}', "version 3 where 2 is expected"),
        ('{"version": 1, "kind": "baseline", "name": "xdeepfm"}', r"the weight network\.\S+ is not this model's"),
    ],
)
def test_a_definition_that_is_damaged_or_of_another_model_is_named(deepfm, tmp_path, text, message):
    folder = Path(shutil.copytree(deepfm, tmp_path / "model"))
    (folder / "architecture.json").write_text(text)
    with pytest.raises(InputError, match=message):
        load(folder)
