"""Going on training an exported model."""

import json
import re
from dataclasses import replace

import pytest
import torch

from recnas.candidates.recipe import Optimization, Recipe
from recnas.cli import main
from recnas.export import continue_training, evaluate_export, export_checkpoint, is_checkpoint, load
from recnas.export.record import TrainingRecord
from recnas.features.schema import Schema
from recnas.train.best_epoch import BestWeights
from recnas.train.checkpoint import Checkpoint
from recnas.train.loop import ModelLearner
from recnas.util.errors import InputError


def test_going_on_lowers_the_loss_and_makes_an_export_of_the_same_form(finished, exported, tmp_path):
    reports = []
    result = continue_training(exported, finished.data, tmp_path / "more", epochs=3, report=reports.append)
    before = evaluate_export(exported, finished.data, "validation")
    assert result.before.log_loss == pytest.approx(before.log_loss, abs=1e-6)
    assert result.after.log_loss < result.before.log_loss - 0.01
    assert result.after.auc > result.before.auc
    after = evaluate_export(tmp_path / "more", finished.data, "validation")
    assert after.log_loss == pytest.approx(result.after.log_loss, abs=1e-6)
    assert reports[-1].step == reports[-1].steps == 36
    assert {path.name for path in exported.iterdir()} == {path.name for path in (tmp_path / "more").iterdir()}
    was, now = (json.loads((folder / "training.json").read_text()) for folder in (exported, tmp_path / "more"))
    assert now["recipe"] == was["recipe"]
    assert now["stages"][:-1] == was["stages"]
    assert now["stages"][-1]["epochs"] == 3
    assert "| toy | 3 | 0.1 |" in (tmp_path / "more" / "README.md").read_text()


def test_tables_and_dense_part_both_learn(finished, exported, tmp_path):
    continue_training(exported, finished.data, tmp_path / "more", batch_size=300, learning_rate=0.01)
    old, new = load(exported), load(tmp_path / "more")
    for name, table in new.embeddings.tables().items():
        assert not torch.equal(table, old.embeddings.tables()[name])
    for (name, parameter), other in zip(new.network.named_parameters(), old.network.parameters(), strict=True):
        assert not torch.equal(parameter, other), name
    settings = json.loads((tmp_path / "more" / "training.json").read_text())["recipe"]["optimization"]
    assert (settings["batch_size"], settings["learning_rate"]) == (300, 0.01)


def test_the_command_trains_in_place_and_prints_the_figures(finished, model_folder, capsys):
    assert main(["train", str(model_folder), "--data", str(finished.data), "--in-place", "--batch-size", "200"]) == 0
    shown = capsys.readouterr().out
    assert re.search(
        r"epoch +log loss +log loss +AUC\nbefore +0\.\d{6} +0\.\d{6}\n1 +\d\.\d{6} +0\.\d{6} +0\.\d{6}  <- kept\n",
        shown,
    )
    assert len(json.loads((model_folder / "training.json").read_text())["stages"]) == 2


def test_the_command_needs_to_be_told_where_to_write(finished, exported, capsys):
    with pytest.raises(SystemExit) as caught:
        main(["train", str(exported), "--data", str(finished.data)])
    assert caught.value.code == 2
    assert "one of the arguments --output --in-place is required" in capsys.readouterr().err


def test_bad_input_is_one_line_and_exit_code_2(finished, exported, tmp_path, capsys):
    output = ["--output", str(tmp_path / "out")]
    for arguments, message in (
        ([str(tmp_path), "--data", str(finished.data), *output], "is not an exported model"),
        ([str(exported), "--data", str(tmp_path), *output], "no such file"),
        ([str(exported), "--data", str(finished.data), *output, "--epochs", "0"], "epochs is 0"),
        ([str(exported), "--data", str(finished.data), *output, "--batch-size", "0"], "batch_size is 0"),
        ([str(exported), "--data", str(finished.data), "--output", str(exported)], "--overwrite replaces it"),
    ):
        assert main(["train", *arguments]) == 2
        error = capsys.readouterr().err
        assert message in error
        assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_a_diverged_loss_is_one_line_and_exit_code_1(finished, exported, tmp_path, capsys):
    output = tmp_path / "out"
    assert (
        main(["train", str(exported), "--data", str(finished.data), "--output", str(output), "--learning-rate", "1e30"])
        == 1
    )
    assert "at step 2; try a smaller --learning-rate" in capsys.readouterr().err
    assert not output.exists()


def test_data_of_other_features_is_refused(finished, model_folder, tmp_path):
    schema = Schema.load(model_folder)
    text = (model_folder / "schema.json").read_text().replace(f'"{schema.dense[1].name}"', '"hits"')
    (model_folder / "schema.json").write_text(text)
    with pytest.raises(InputError, match="its dense features are age, visits, price where age, hits, price belong"):
        continue_training(model_folder, finished.data, tmp_path / "out")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[", "not JSON"),
        ('{"version": 3}', "version 3 where 2 is expected"),
        ('{"version": 2}', "damaged"),
        ('{"version": 2, "recipe": {"optimization": {}}, "stages": []}', "batch_size is missing"),
        ('{"version": 1}', "damaged"),
        ('{"version": 1, "optimization": {"learning_rate": 0.1}, "stages": []}', "batch_size is missing"),
        ('{"version": 1, "optimization": {"learning_rate": true, "batch_size": 4}, "stages": []}', "learning_rate is"),
    ],
)
def test_a_damaged_training_record_is_named(finished, model_folder, tmp_path, text, message):
    (model_folder / "training.json").write_text(text)
    with pytest.raises(InputError, match=rf"training\.json: .*{message}"):
        continue_training(model_folder, finished.data, tmp_path / "out")


@pytest.fixture(scope="module")
def overfitted(finished, exported, tmp_path_factory):
    """Four epochs of which the second is the best, and the model that was written."""
    output = tmp_path_factory.mktemp("overfitted") / "model"
    return continue_training(exported, finished.data, output, epochs=4)


def test_the_best_epoch_is_exported_and_the_last_where_that_is_asked_for(finished, exported, overfitted, tmp_path):
    losses = [epoch.validation.log_loss for epoch in overfitted.epochs]
    assert [epoch.number for epoch in overfitted.epochs] == [1, 2, 3, 4]
    assert losses.index(min(losses)) + 1 == overfitted.kept == 2
    assert overfitted.after == overfitted.epochs[1].validation
    found = evaluate_export(overfitted.directory, finished.data, "validation").log_loss
    assert found == pytest.approx(losses[1], abs=1e-6)
    assert json.loads((overfitted.directory / "training.json").read_text())["stages"][-1]["epochs"] == 2
    last = continue_training(exported, finished.data, tmp_path / "last", epochs=4, keep="last")
    assert last.epochs == overfitted.epochs
    assert last.kept == 4
    found = evaluate_export(last.directory, finished.data, "validation").log_loss
    assert found == pytest.approx(losses[3], abs=1e-6)
    with pytest.raises(InputError, match="keep is 'first'; it must be best or last"):
        continue_training(exported, finished.data, tmp_path / "none", keep="first")


def test_all_epochs_are_shown_and_a_model_that_became_worse_is_said(finished, exported, tmp_path, capsys):
    """At this rate the toy model is ruined in every epoch."""
    flags = ["--epochs", "3", "--learning-rate", "3", "--seed", "1"]
    output = tmp_path / "ruined"
    assert main(["train", str(exported), "--data", str(finished.data), "--output", str(output), *flags]) == 0
    before, *epochs, written, warning = capsys.readouterr().out.splitlines()[2:]
    losses = [float(line.split()[2]) for line in epochs]
    assert [line.split()[0] for line in epochs] == ["1", "2", "3"]
    kept = losses.index(min(losses)) + 1
    assert [line.endswith("<- kept") for line in epochs] == [number == kept for number in (1, 2, 3)]
    assert written == f"written to {output}"
    assert warning.startswith(
        f"WARNING: the model is worse on validation than it was: log loss {before.split()[1]} before this training, "
        f"{min(losses):.6f} after epoch {kept}, which was kept"
    )


def test_a_training_stopped_in_any_epoch_keeps_the_best_one_of_all(
    finished, exported, overfitted, tmp_path, monkeypatch
):
    output = tmp_path / "stopped"
    save, keep = Checkpoint.save, BestWeights.keep
    # In the first epoch; when the best one's weights are written and no state knows of them; in the last epoch.
    places = [(0, 7), (2, None), (3, 5)]

    def stop_at(place):
        if places and place == places[0]:
            del places[0]
            raise KeyboardInterrupt

    def save_and_stop(self, learner, notes):
        save(self, learner, notes)
        stop_at((len(notes["epochs"]), notes["tally"]["steps"]))

    def keep_and_stop(self, model, epochs):
        keep(self, model, epochs)
        stop_at((len(epochs), None))

    with monkeypatch.context() as patch:
        patch.setattr(Checkpoint, "save", save_and_stop)
        patch.setattr(BestWeights, "keep", keep_and_stop)
        while places:
            with pytest.raises(KeyboardInterrupt):
                continue_training(exported, finished.data, output, epochs=4, checkpoint_seconds=0, resume=True)
    resumed = continue_training(exported, finished.data, output, epochs=4, resume=True)
    assert replace(resumed, directory=overfitted.directory) == overfitted
    for name in ("weights.safetensors", "training.json"):
        assert (output / name).read_bytes() == (overfitted.directory / name).read_bytes()
    assert [path.name for path in tmp_path.iterdir()] == ["stopped"]


def test_a_training_that_was_stopped_goes_on_and_gives_the_same_model(finished, exported, tmp_path, monkeypatch):
    alone, output = tmp_path / "alone", tmp_path / "stopped"
    undisturbed = continue_training(exported, finished.data, alone, epochs=2)
    save = Checkpoint.save

    def save_and_stop(self, learner, notes):
        save(self, learner, notes)
        if notes["tally"]["steps"] == 7:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Checkpoint, "save", save_and_stop)
        with pytest.raises(KeyboardInterrupt):
            continue_training(exported, finished.data, output, epochs=2, checkpoint_seconds=0)
    state = tmp_path / "stopped.checkpoint"
    assert not output.exists()
    assert is_checkpoint(state)
    with pytest.raises(InputError, match=r"stopped\.checkpoint: .* has not ended; --resume goes on"):
        continue_training(exported, finished.data, output, epochs=2)
    with pytest.raises(
        InputError, match=r"stopped\.checkpoint: the state of a training of another model, on other rows"
    ):
        continue_training(exported, finished.data, output, epochs=3, resume=True)

    half_way = load(export_checkpoint(state, tmp_path / "half-way"))
    start, end = load(exported).embeddings.tables()["user"], load(alone).embeddings.tables()["user"]
    assert not torch.equal(half_way.embeddings.tables()["user"], start)
    assert not torch.equal(half_way.embeddings.tables()["user"], end)

    resumed = continue_training(exported, finished.data, output, epochs=2, resume=True)
    assert replace(resumed, directory=alone) == undisturbed
    for name in ("weights.safetensors", "training.json"):
        assert (output / name).read_bytes() == (alone / name).read_bytes()
    assert not state.exists()
    # A process may be lost after the model was written: the same command says that all is done.
    again = continue_training(exported, finished.data, output, epochs=2, resume=True)
    assert (again.after, again.before, again.epochs) == (undisturbed.after, None, ())
    with pytest.raises(InputError, match="--overwrite replaces it"):
        continue_training(exported, finished.data, output, epochs=3, resume=True)


RECIPE = Recipe(
    Optimization(
        0.02,
        50,
        optimizer="adam",
        embedding_optimizer="adam",
        embedding_penalty=1e-3,
        schedule="plateau",
        clip=1.0,
    ),
    epochs=7,
    evaluations=3,
    patience=2,
    dropout=0.2,
)


def test_a_recipe_with_measurements_within_passes_is_gone_on_with_and_resumed(
    finished, model_folder, tmp_path, monkeypatch
):
    record = TrainingRecord.load(model_folder)
    replace(record, recipe=RECIPE).save(model_folder)
    alone, output = tmp_path / "alone", tmp_path / "stopped"
    rates, set_rate = set(), ModelLearner.set_learning_rate
    with monkeypatch.context() as patch:
        patch.setattr(ModelLearner, "set_learning_rate", lambda self, rate: (rates.add(rate), set_rate(self, rate)))
        whole = continue_training(model_folder, finished.data, alone, epochs=9)
    # Measured after 4, 8 and 12 of 12 steps, until two in succession are no better than the best.
    numbers, losses = zip(*((epoch.number, epoch.validation.log_loss) for epoch in whole.epochs), strict=True)
    assert numbers == pytest.approx([place / 3 for place in range(1, len(losses) + 1)])
    assert losses.index(min(losses)) == len(losses) - 3
    assert len(losses) < 27
    assert min(rates) < 0.02 / 9, "a measurement that is worse cuts it"
    assert TrainingRecord.load(alone).recipe == RECIPE
    assert TrainingRecord.load(alone).stages[-1].epochs == whole.kept
    save = Checkpoint.save
    # In the middle, and where a measurement is due.
    places = [(1, 6), (1, 8)]

    def save_and_stop(self, learner, notes):
        save(self, learner, notes)
        if places and (len(notes["epochs"]), notes["tally"]["steps"]) == places[0]:
            del places[0]
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Checkpoint, "save", save_and_stop)
        while places:
            with pytest.raises(KeyboardInterrupt):
                continue_training(model_folder, finished.data, output, epochs=9, checkpoint_seconds=0, resume=True)
    resumed = continue_training(model_folder, finished.data, output, epochs=9, resume=True)
    assert replace(resumed, directory=alone) == whole
    assert (output / "weights.safetensors").read_bytes() == (alone / "weights.safetensors").read_bytes()
