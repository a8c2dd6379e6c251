"""From a run folder to an exported model and back."""

import fcntl
import json
import os
import re
import resource
import signal
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file

import recnas.export
from recnas.candidates.candidate import Candidate
from recnas.candidates.recipe import Recipe
from recnas.export import evaluate_export, export_run, load
from recnas.features.schema import Schema
from recnas.nn.model import count_dense_parameters
from recnas.space import Architecture, cost
from recnas.util.errors import InputError, RunError
from tests.export.conftest import OPTIMIZATION
from tests.old_layout import as_version_0_1


def test_a_loaded_export_is_the_trained_model(finished, exported, make_batch):
    model = load(exported)
    assert not model.training
    assert model.network.architecture == Architecture.load(finished.run / "architecture.json").canonical()
    batch = make_batch(model.schema, 50)
    with torch.no_grad():
        torch.testing.assert_close(model(batch), finished.model(batch), rtol=0, atol=1e-6)


def test_dead_parts_are_gone(finished, exported):
    genotype, arch = (
        Architecture.load(finished.run / "architecture.json"),
        Architecture.load(exported / "architecture.json"),
    )
    assert genotype != arch == genotype.canonical()
    schema = Schema.load(exported)
    stored = sum(t.numel() for name, t in load_file(exported / "weights.safetensors").items() if "network." in name)
    assert (
        stored
        == cost.parameters(arch, schema.num_dense, schema.num_sparse, 16)
        == count_dense_parameters(load(exported))
    )


@pytest.mark.parametrize("split", ["validation", "test"])
def test_the_export_predicts_as_well_as_the_run_says(finished, exported, split):
    results = json.loads((finished.run / "results.json").read_text())
    said = results["models"][0][split]
    found = evaluate_export(exported, finished.data, split)
    assert found.log_loss == pytest.approx(said["log_loss"], abs=1e-6)
    assert found.auc == pytest.approx(said["auc"], abs=1e-6)


def test_tables_capped_in_training_stay_capped(finished, run, tmp_path, make_batch):
    file = piece_of(run, "weights.safetensors")
    tensors = load_file(file)
    save_file({name: t[:20].clone() if name.startswith("tables.") else t for name, t in tensors.items()}, file)
    output = export_run(run, tmp_path / "out")
    assert [feature.rows for feature in Schema.load(output).sparse] == [20, 7, 20, 9]
    assert evaluate_export(output, finished.data, "test").log_loss > 0


def test_the_readme_tells_figures_and_its_commands_and_code_work(finished, exported, monkeypatch, capsys):
    text = (exported / "README.md").read_text()
    entry = json.loads((finished.run / "results.json").read_text())["models"][0]
    for split in ("validation", "test"):
        assert f"{entry[split]['log_loss']:.6f} | {entry[split]['auc']:.6f}" in text
    assert f"| Parameters of the dense part | {count_dense_parameters(finished.model):,} |" in text
    code = re.findall(r"```python\n(.*?)```", text, re.DOTALL)[0]
    monkeypatch.chdir(exported)
    exec(code, {})
    assert re.fullmatch(r"\[0\.\d+ +0\.\d+ *\]\n", capsys.readouterr().out)
    assert "recnas evaluate . --data DATA --split test" in text
    assert "recnas train . --data DATA" in text
    assert "{{" not in text
    assert "None" not in text.split("```")[0]


def piece_of(run: Path, name: str) -> Path:
    """A file of the run, or of its trained model."""
    return next((path for path in (run / "models").glob(f"*/{name}")), run / name)


@pytest.mark.parametrize(
    ("piece", "remedy"),
    [
        ("results.json", "run has not ended; `recnas search --run {run} --resume` resumes it"),
        ("candidate.json", "no such file; without {run}/results.json, `recnas search --run {run} --resume` makes"),
        ("weights.safetensors", "no such file; without {run}/results.json, `recnas search --run {run} --resume` makes"),
        ("schema.json", "no such file; the data set's own is the same, copy it there"),
        ("config.yaml", "no such file; without it nobody knows how the run's models were trained"),
    ],
)
def test_a_missing_piece_is_named_with_what_loses_no_work(run, tmp_path, piece, remedy):
    piece_of(run, piece).unlink()
    with pytest.raises(InputError, match=re.escape(remedy.format(run=run))) as caught:
        export_run(run, tmp_path / "out")
    assert "--overwrite" not in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_of_a_run_that_is_at_work_and_of_a_study_the_right_command_is_told(run, tmp_path):
    (run / "results.json").unlink()
    handle = os.open(run, os.O_RDONLY)
    fcntl.flock(handle, fcntl.LOCK_EX)
    try:
        with pytest.raises(
            InputError, match=r"has not ended, a process is at work on it; `recnas status .*` shows how"
        ):
            export_run(run, tmp_path / "out")
    finally:
        os.close(handle)
    study = {"version": "0.1.0", "created": "today", "warmup": {}, "evolution": {}, "warmups": [0.0]}
    (run / "config.yaml").write_text(yaml.safe_dump(study))
    with pytest.raises(InputError, match="is the folder of a study, which keeps no models"):
        export_run(run, tmp_path / "out")
    (run / "config.yaml").unlink()
    with pytest.raises(InputError, match=r"no config.yaml, so this is not a run's folder"):
        export_run(run, tmp_path / "out")


def test_a_model_that_was_dropped_cannot_be_exported(run, tmp_path):
    results = json.loads((run / "results.json").read_text())
    results["models"].append(results["models"][0] | {"id": "early", "status": "dropped", "test": None, "share": 0.25})
    (run / "results.json").write_text(json.dumps(results))
    with pytest.raises(InputError, match="no trained model 'early' to export; there are " + results["best"] + "$"):
        export_run(run, tmp_path / "model", model="early")


def test_a_run_that_is_not_there_is_named_with_the_command_that_makes_it(tmp_path):
    with pytest.raises(InputError, match="no such run folder; `recnas search --run"):
        export_run(tmp_path / "none", tmp_path / "out")


@pytest.mark.parametrize(
    ("piece", "text", "message"),
    [
        ("results.json", "{", "not JSON"),
        ("results.json", "[]", "an object is expected"),
        ("results.json", '{"best": null}', "no 'models'"),
        ("results.json", '{"best": null, "models": []}', "no best model"),
        ("results.json", '{"best": 7}', "best: input should be a valid string, it is 7"),
        ("candidate.json", "{}", "a candidate has a network and a recipe"),
        (
            "candidate.json",
            '{"network": {}, "recipe": {"optimization": {"learning_rate": 0.1, "batch_size": 8}}}',
            "an object with 'version' and 'blocks' is expected",
        ),
        ("config.yaml", "a: [", "not YAML"),
        ("config.yaml", "final: {optimization: {batch_size: 0}}", "batch_size"),
        ("config.yaml", "final: {optimization: {batch_size: ten}}", "batch_size is 'ten'"),
        ("config.yaml", "!!python/object/apply:os.getcwd []", "not YAML"),
    ],
)
def test_a_damaged_piece_is_named(run, tmp_path, piece, text, message):
    piece_of(run, piece).write_text(text)
    with pytest.raises(InputError, match=rf"(?s){re.escape(str(run))}.*{message}") as caught:
        export_run(run, tmp_path / "out")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ("seed: 1", "do not say how the model was trained .*final"),
        ("final: {optimization: {momentum: 1}}", "unknown setting 'optimization.momentum'"),
    ],
)
def test_a_run_of_version_0_1_says_in_its_settings_how_models_were_trained(run, tmp_path, config, message):
    as_version_0_1(run)
    (run / "config.yaml").write_text(config)
    with pytest.raises(InputError, match=rf"{re.escape(str(run))}.*{message}"):
        export_run(run, tmp_path / "out")


def test_the_architecture_of_another_model_is_refused(run, tmp_path, sample):
    other = Candidate(sample("nasrec-small", 1)[0], Recipe(OPTIMIZATION))
    piece_of(run, "candidate.json").write_text(json.dumps(other.to_json()))
    with pytest.raises(
        InputError,
        match=r"candidate.json: this is \w+, not \w+; without \S+, `recnas search .* --resume`",
    ):
        export_run(run, tmp_path / "out")


def test_weights_of_another_model_are_refused(run, tmp_path):
    file = piece_of(run, "weights.safetensors")
    tensors = load_file(file)
    save_file({name: t for name, t in tensors.items() if "last" not in name}, file)
    with pytest.raises(InputError, match=r"weights.safetensors: the weight network\.last\.\S+ is missing"):
        export_run(run, tmp_path / "out")
    save_file({name: t for name, t in tensors.items() if "tables." not in name}, file)
    with pytest.raises(InputError, match="no embedding tables"):
        export_run(run, tmp_path / "out")


def test_an_export_is_replaced_only_when_asked_and_nothing_else_ever(run, model_folder, tmp_path):
    (model_folder / "old").touch()
    with pytest.raises(InputError, match="--overwrite replaces it"):
        export_run(run, model_folder)
    assert export_run(run, model_folder, overwrite=True) == model_folder
    assert not (model_folder / "old").exists()
    with pytest.raises(InputError, match="is not an exported model; choose another --output"):
        export_run(run, run, overwrite=True)
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="is not an exported model"):
        export_run(run, tmp_path / "file", overwrite=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "model", "run"]


@pytest.mark.parametrize("most_bytes", [4_000, 60_000])
def test_a_full_disk_is_one_line_and_leaves_nothing_behind(run, tmp_path, most_bytes):
    """No file may grow further for a while: at first the weights are too large, then only the program is."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, hard))
    try:
        with pytest.raises(RunError, match=r"out: could not be written .*File too large"):
            export_run(run, tmp_path / "out")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, handler)
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_every_file_can_be_read_by_whoever_may_read_one(exported):
    assert len({file.stat().st_mode for file in exported.iterdir()}) == 1


@pytest.mark.parametrize("piece", ["architecture.json", "schema.json", "weights.safetensors"])
def test_loading_names_what_is_missing_or_damaged(model_folder, piece):
    file = model_folder / piece
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    with pytest.raises(InputError, match=re.escape(str(file))):
        load(model_folder)
    file.unlink()
    with pytest.raises(InputError, match=f"no {piece}, so this is not an exported model; `recnas export`"):
        load(model_folder)


def test_loading_from_nowhere_names_the_command_that_makes_it(tmp_path):
    with pytest.raises(InputError, match="no such folder; `recnas export RUN --output"):
        load(tmp_path / "none")


def test_data_of_other_features_is_refused(finished, model_folder):
    schema = Schema.load(model_folder)

    def refused(other: Schema, message: str) -> None:
        other.save(model_folder)
        with pytest.raises(InputError, match=message):
            evaluate_export(model_folder, finished.data, "test")

    user, tags, item, places = schema.sparse
    age, visits, price = schema.dense
    refused(replace(schema, dense=(visits, age, price)), "its dense features are age, visits, price where visits")
    refused(replace(schema, dense=(replace(age, transform=visits.transform), visits, price)), "age was transformed by")
    refused(
        replace(schema, sparse=(user, replace(tags, pooling="sum"), item, places)), "tags has pooling mean where sum"
    )
    words = tuple(map(str, range(30)))
    refused(
        replace(schema, sparse=(replace(user, vocabulary=words), tags, item, places)), "user has another vocabulary"
    )
    with pytest.raises(InputError, match="there is no split 'train2'"):
        evaluate_export(model_folder, finished.data, "train2")


def test_no_file_is_read_by_a_reader_that_can_run_code():
    code = "\n".join(file.read_text() for file in Path(recnas.export.__file__).parent.iterdir() if file.is_file())
    assert not re.search(r"torch\.load|pickle|yaml\.load|yaml\.unsafe|weights_only=False", code)
