"""One candidate's training: measured within passes, ended early, paused, stopped anywhere."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from benchmarks.kills import outcome_of
from recnas.candidates.candidate import Candidate
from recnas.candidates.evaluation import Evaluation, Quality, Result, Training
from recnas.candidates.network import Baseline
from recnas.candidates.recipe import Optimization, Recipe
from recnas.data import Dataset
from recnas.features.inputs import Inputs
from recnas.runs.models import ModelFolder
from recnas.runs.settings import Settings
from recnas.search.feeding import open_data
from recnas.search.training import measure_kept, restore, train_candidate
from recnas.train.checkpoint import model_tensors
from recnas.train.loop import evaluate, measure
from recnas.train.metrics import Measured, quality_of
from recnas.train.schedule import CUT, is_exhausted
from recnas.train.tensor_files import load_tensors
from recnas.util.errors import InputError
from tests.searches import read_lines_of
from tests.stopping import Stopped, stop_at

ROWS, STEPS = 1200, 12
"""Of a pass."""
RECIPE = Recipe(
    Optimization(
        learning_rate=0.006,
        batch_size=100,
        optimizer="adam",
        embedding_optimizer="adam",
        embedding_rate=5.0,
        embedding_penalty=1e-3,
        cross_penalty=1e-2,
        schedule="plateau",
        lr_warmup_share=0.05,
        clip=10.0,
    ),
    epochs=4,
    evaluations=3,
    patience=3,
    dropout=0.3,
    embedding_dim=8,
    embedding_std=0.01,
)
CANDIDATE = Candidate(
    Baseline("dnn", {"hidden": (256, 128), "norm": "batch"}),
    RECIPE,
    Inputs(numbers=("columns", "bins"), bins=16, crosses=("user:item",), min_count=2),
)


def settings_of(data: Path, run: Path) -> Settings:
    return Settings(data=str(data), run=str(run), seed=5, checkpoint_seconds=0.0)


def trained(data: Path, run: Path, candidate: Candidate, *fidelities: float) -> Result:
    """What a candidate comes to that is trained to some fidelities, one after the other."""
    result = None
    for fidelity in fidelities or (1.0,):
        result = train_candidate(settings_of(data, run), Evaluation(candidate, fidelity))
    assert result is not None
    return result


@pytest.fixture(scope="module", params=["plateau", "linear"])
def candidate(request: pytest.FixtureRequest) -> Candidate:
    optimization = replace(RECIPE.optimization, schedule=request.param)
    return replace(CANDIDATE, recipe=replace(RECIPE, optimization=optimization))


@pytest.fixture(scope="module")
def undisturbed(data: Path, tmp_path_factory: pytest.TempPathFactory, candidate: Candidate) -> tuple[Path, Training]:
    """A training that never paused and was not stopped."""
    run = tmp_path_factory.mktemp("runs") / candidate.id
    return run, trained(data, run, candidate).training


def scripted(monkeypatch: pytest.MonkeyPatch, losses: list[float]) -> list[dict[str, Tensor]]:
    """Gives measurements these losses; gives the weights at each."""
    weights: list[dict[str, Tensor]] = []

    def measured(model: Any, dataset: Dataset, split: str, **options: Any) -> Measured:
        assert split == "validation"
        weights.append({name: tensor.detach().clone() for name, tensor in model_tensors(model).items()})
        # What is predicted tells measurements apart.
        return Measured(Quality(losses[len(weights) - 1], 0.5), np.full(ROWS, len(weights) - 1, dtype=np.float32))

    monkeypatch.setattr("recnas.search.training.measure", measured)
    return weights


@pytest.mark.parametrize(
    ("losses", "best"),
    [
        # Within a pass; at the end of one, where an equal loss is no better; the first; the last of the third pass.
        ([0.6, 0.5, 0.52, 0.51, 0.55], 1),
        ([0.6, 0.59, 0.5, 0.5, 0.51, 0.50001], 2),
        ([0.6, 0.6, 0.7, 0.61], 0),
        ([0.6, 0.61, 0.62, 0.5, 0.51, 0.52, 0.4, 0.39, 0.38, 0.4, 0.41, 0.42], 8),
        # All passes are made.
        ([0.9 - 0.01 * place for place in range(12)], 11),
    ],
)
def test_a_training_ends_when_its_patience_is_at_an_end_and_keeps_the_best_measurement_s_weights(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, losses: list[float], best: int
) -> None:
    weights = scripted(monkeypatch, losses)
    result = trained(data, tmp_path, CANDIDATE)
    training, folder = result.training, ModelFolder(tmp_path, CANDIDATE)
    assert [item.validation.log_loss for item in training.epochs] == losses
    assert [item.rows for item in training.epochs] == [400 * (place + 1) for place in range(len(losses))]
    assert training.finished
    assert training.epoch == pytest.approx((best + 1) / 3)
    assert result.score == -losses[best]
    assert (folder.read_predictions(ROWS) == best).all()
    kept = load_tensors(folder.weights)
    assert kept.keys() == weights[best].keys()
    assert all(torch.equal(kept[name], tensor) for name, tensor in weights[best].items())
    assert not folder.checkpoint.exists()
    # It is not done again, at whatever fidelity.
    assert trained(data, tmp_path, CANDIDATE, training.rows / (4 * ROWS)).training == training
    assert trained(data, tmp_path, CANDIDATE) == result
    assert len(weights) == len(losses)


def test_what_is_kept_gives_the_figures_that_are_told(
    data: Path, undisturbed: tuple[Path, Training], candidate: Candidate
) -> None:
    run, training = undisturbed
    assert training.finished
    losses = [item.validation.log_loss for item in training.planned]
    assert not is_exhausted(losses[:-1], 3)
    assert is_exhausted(losses, 3) or training.rows == 4 * ROWS
    dataset = open_data(settings_of(data, run), candidate.inputs)
    model = restore(run, dataset.schema, candidate)
    assert evaluate(model, dataset, "validation").to_json() == pytest.approx(training.validation.to_json(), abs=1e-6)
    assert measure_kept(settings_of(data, run), candidate, "test").quality == evaluate(model, dataset, "test")
    logits = ModelFolder(run, candidate).read_predictions(dataset.rows("validation"))
    assert quality_of(logits, dataset.labels("validation")) == training.validation
    assert logits == pytest.approx(measure(model, dataset, "validation").logits, abs=1e-5)


def test_a_plateau_cuts_the_rate_after_each_measurement_that_is_no_better(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scripted(monkeypatch, [0.6, 0.7, 0.5, 0.55, 0.56, 0.57])
    optimization = replace(RECIPE.optimization, lr_warmup_share=0.0)
    rates: list[float] = []
    monkeypatch.setattr("recnas.train.loop.ModelLearner.set_learning_rate", lambda learner, rate: rates.append(rate))
    trained(data, tmp_path, replace(CANDIDATE, recipe=replace(RECIPE, optimization=optimization)))
    cuts = [0, 0, 1, 1, 2, 3]
    assert rates == pytest.approx([0.006 * CUT ** cuts[step // 4] for step in range(6 * 4)])


STOPS = {
    "in the middle of passes": [
        ("recnas.train.loop.ModelLearner.step", 2, True),
        ("recnas.train.loop.ModelLearner.step", 5, False),
        ("recnas.train.loop.ModelLearner.step", 8, True),
    ],
    "around measurements": [
        ("recnas.search.training.measure", 1, False),
        ("recnas.search.training.measure", 1, True),
        ("recnas.runs.models.ModelFolder.keep_predictions", 1, False),
        ("recnas.search.training.save_model", 1, False),
        ("recnas.search.training.save_model", 1, True),
        ("recnas.train.checkpoint.Checkpoint.save", 5, True),
        ("recnas.search.training.measure", 1, True),
    ],
    "around the end": [
        ("recnas.runs.models.ModelFolder.record", 1, False),
        ("recnas.runs.models.ModelFolder.record", 1, True),
        ("recnas.train.checkpoint.Checkpoint.remove", 1, False),
    ],
}


@pytest.mark.parametrize("stops", STOPS)
def test_a_training_stopped_anywhere_ends_as_if_it_had_not_been(
    data: Path, tmp_path: Path, undisturbed: tuple[Path, Training], candidate: Candidate, stops: str
) -> None:
    stopped(data, tmp_path / "run", candidate, STOPS[stops])
    assert trained(data, tmp_path / "run", candidate).score == -undisturbed[1].validation.log_loss
    assert outcome_of(tmp_path / "run") == outcome_of(undisturbed[0])


def stopped(data: Path, run: Path, candidate: Candidate, stops: list[tuple[str, int, bool]]) -> None:
    for place, call, after in stops:
        with pytest.MonkeyPatch.context() as patch:
            stop_at(patch, place, call, after)
            with pytest.raises(Stopped, match=place):
                trained(data, run, candidate)


@pytest.mark.slow
def test_a_training_stopped_at_every_step_ends_as_if_it_had_not_been(
    data: Path, tmp_path: Path, undisturbed: tuple[Path, Training], candidate: Candidate
) -> None:
    steps = undisturbed[1].rows // 100
    stopped(data, tmp_path / "run", candidate, [("recnas.train.loop.ModelLearner.step", 2, False)] * (steps - 1))
    trained(data, tmp_path / "run", candidate)
    assert outcome_of(tmp_path / "run") == outcome_of(undisturbed[0])


@pytest.mark.parametrize("fidelities", [(0.01, 1.0), (0.1, 0.125, 0.3, 0.99, 1.0), (0.25, 0.5, 0.75, 1.0)])
def test_pauses_between_measurements_change_nothing(
    data: Path, tmp_path: Path, undisturbed: tuple[Path, Training], candidate: Candidate, fidelities: tuple[float, ...]
) -> None:
    run, (other, training) = tmp_path / "run", undisturbed
    result = trained(data, run, candidate, *fidelities)
    planned = [replace(item, seconds=0.0) for item in result.training.planned]
    assert planned == [replace(item, seconds=0.0) for item in training.planned]
    assert (result.training.finished, result.training.validation) == (True, training.validation)
    kept, expected = (load_tensors(ModelFolder(folder, candidate).weights) for folder in (run, other))
    assert all(torch.equal(kept[name], tensor) for name, tensor in expected.items())
    asked = {candidate.recipe.in_whole_batches(max(1, round(share * 4 * ROWS)), ROWS) for share in fidelities}
    lines = read_lines_of(ModelFolder(run, candidate).path / "metrics.jsonl")
    pauses = {line["rows"] for line in lines if not line["planned"]}
    assert pauses == {rows for rows in asked if rows % 400 and rows <= training.rows}


def test_a_pause_is_judged_by_the_lowest_loss_so_far_and_an_end_by_what_is_kept(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = scripted(monkeypatch, [0.6, 0.5, 0.55, 0.3, 0.52, 0.53])
    # Measured after 400, 800, 1,200 and, as it pauses, 1,400 rows.
    fidelity = 1400 / (4 * ROWS)
    paused = trained(data, tmp_path, CANDIDATE, fidelity)
    assert [item.rows for item in paused.training.epochs] == [400, 800, 1200, 1400]
    assert (paused.training.paused, paused.score) == (True, -0.3)
    folder = ModelFolder(tmp_path, CANDIDATE)
    assert folder.checkpoint.exists()
    ended = trained(data, tmp_path, CANDIDATE)
    assert (ended.training.finished, ended.score) == (True, -0.5)
    assert torch.equal(load_tensors(folder.weights)["tables.user"], weights[1]["tables.user"])
    # When the run is gone through again, it is what it was.
    again = trained(data, tmp_path, CANDIDATE, fidelity)
    assert (again.score, again.training.epochs) == (paused.score, paused.training.epochs)
    assert len(weights) == 6


def test_a_recipe_s_seed_makes_another_training_of_the_same(data: Path, tmp_path: Path) -> None:
    candidates = [replace(CANDIDATE, recipe=replace(RECIPE, seed=seed, epochs=1)) for seed in (0, 1, 2)]
    losses = [trained(data, tmp_path, candidate).training.validation.log_loss for candidate in candidates]
    assert len(set(losses)) == 3
    assert len({candidate.id for candidate in candidates}) == 3
    # It is written down, and the run's own seed is left out, so that recipes of before keep their ids.
    assert [candidate.to_json()["recipe"].get("seed") for candidate in candidates] == [None, 1, 2]
    again = trained(data, tmp_path / "again", Candidate.from_json(candidates[1].to_json()))
    assert again.training.validation.log_loss == losses[1]
    with pytest.raises(InputError, match=r"soft_labels is 1\.5; it must be from 0 to 1"):
        replace(RECIPE, soft_labels=1.5)
    with pytest.raises(InputError, match="seed is -1; it must be 0 or more"):
        replace(RECIPE, seed=-1)
