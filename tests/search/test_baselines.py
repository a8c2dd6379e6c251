"""Baselines without a search, and added to a finished one."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

import recnas
from benchmarks.kills import outcome_of
from recnas.candidates.candidate import Candidate
from recnas.candidates.defaults import own_candidate
from recnas.candidates.families import FAMILIES
from recnas.data import Dataset
from recnas.report import read_run, write_report
from recnas.runs.presets import load_preset
from recnas.runs.status import read_status
from recnas.search import run_search
from recnas.search.baseline_candidates import at, baseline_candidates
from recnas.search.training import restore
from recnas.train.loop import evaluate
from recnas.util.errors import InputError, RunError
from tests.searches import as_published
from tests.stopping import Stopped, stop_at

# Without embeddings, and with dropout.
MODELS = ["lr", "deepfm"]
SETTINGS: dict[str, Any] = as_published(
    {
        "seed": 3,
        "checkpoint_seconds": 0.0,
        "final": {"optimization": {"batch_size": 400, "embedding_rate": 10.0}},
    }
)


@pytest.fixture(scope="module")
def alone(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run without a search."""
    run = tmp_path_factory.mktemp("runs") / "alone"
    recnas.baselines(data, run, models=MODELS, learning_rates=[0.05, 0.02], progress=False, **SETTINGS)
    return run


def but_for_the_ensemble(outcome: dict[str, Any]) -> dict[str, Any]:
    """What is added later stands beside what was kept: an ensemble is selected, models are compared, among fewer."""
    for name in ("ensemble", "comparison"):
        del outcome[f"models/{name}.json"]
        del outcome["results.json"][name]
    return outcome


def results_of(run: Path) -> dict[str, Any]:
    return json.loads((run / "results.json").read_text())


def test_each_model_is_trained_with_every_learning_rate_and_the_best_on_validation_counts(alone: Path) -> None:
    results = results_of(alone)
    assert [model["id"] for model in results["models"]] == MODELS
    for model in results["models"]:
        tried = {item["learning_rate"]: item["log_loss"] for item in model["learning_rates"]}
        assert list(tried) == [0.05, 0.02]
        assert model["kind"] == "baseline"
        assert model["learning_rate"] == min(tried, key=tried.__getitem__)
        assert model["validation"]["log_loss"] == min(tried.values())
    losses = {model["id"]: model["validation"]["log_loss"] for model in results["models"]}
    assert results["best"] == min(losses, key=losses.__getitem__)
    assert results["best_searched"] is None
    assert (results["search"], results["space"], results["front"]) == (None, None, [])
    assert not (alone / "supernet").exists()
    assert not (alone / "architecture.json").exists()


def test_kept_weights_give_the_reported_figures(alone: Path, data: Path) -> None:
    dataset = Dataset(data)
    for model in results_of(alone)["models"]:
        file = alone / "models" / model["candidate"] / "candidate.json"
        candidate = Candidate.from_json(json.loads(file.read_text()))
        quality = evaluate(restore(alone, dataset.schema, candidate), dataset, "test")
        assert quality.to_json() == pytest.approx(model["test"], abs=1e-6)


def test_logistic_regression_has_one_weight_a_dense_feature_and_a_bias_beside_its_tables(alone: Path) -> None:
    (lr,) = [model for model in results_of(alone)["models"] if model["id"] == "lr"]
    assert (lr["parameters"], lr["macs"]) == (3 + 1, 3)


@pytest.mark.parametrize(
    ("place", "count"),
    [
        # In the middle of DeepFM's pass, when dropout has drawn.
        ("recnas.train.loop.ModelLearner.step", 2 * 3 + 2),
        ("recnas.search.baselines.write_json", 1),
    ],
)
def test_a_run_stopped_anywhere_ends_as_if_it_had_not_been(
    alone: Path, data: Path, tmp_path: Path, place: str, count: int
) -> None:
    run = tmp_path / "run"
    with pytest.MonkeyPatch.context() as patch:
        stop_at(patch, place, count, after=False)
        with pytest.raises(Stopped):
            recnas.baselines(data, run, models=MODELS, learning_rates=[0.05, 0.02], progress=False, **SETTINGS)
    status = read_status(run)
    assert status.stages == ("final training", "ensemble", "test")
    assert status.stage in status.stages
    assert status.command == f"recnas baselines --data {data} --run {run} --resume"
    recnas.baselines(data, run, resume=True, progress=False)
    assert outcome_of(run) == outcome_of(alone)


def test_models_are_added_to_a_finished_run_with_its_settings_as_if_they_had_been_there(
    alone: Path, data: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    recnas.baselines(data, run, models=MODELS[:1], learning_rates=[0.05, 0.02], progress=False, **SETTINGS)
    recnas.baselines(run=run, models=MODELS[1:], progress=False)
    assert but_for_the_ensemble(outcome_of(run)) == but_for_the_ensemble(outcome_of(alone))
    settings = yaml.safe_load((run / "config.yaml").read_text())
    assert settings["final"]["baselines"] == MODELS
    before = outcome_of(run)
    # What it has is not trained again.
    recnas.baselines(run=run, models=MODELS, progress=False)
    assert outcome_of(run) == before


def test_models_whose_adding_was_killed_are_added_later_in_any_order_and_a_search_is_made_anew_with_them(
    data: Path, tmp_path: Path, small: dict
) -> None:
    run = tmp_path / "run"
    small["final"] |= {"top_k": 1, "other_learning_rates": [0.02], "baselines": []}
    small["evolution"] = {"population": 2, "iterations": 0}
    run_search(data, run, progress=False, **small | {"proxy": {"score": "parameters"}})
    with pytest.MonkeyPatch.context() as patch:
        # At its second learning rate.
        stop_at(patch, "recnas.train.loop.ModelLearner.step", 3 + 1, after=False)
        with pytest.raises(Stopped):
            recnas.baselines(run=run, models=["deepfm"], progress=False)
    recnas.baselines(run=run, models=["lr"], progress=False)
    results = recnas.baselines(run=run, models=["dlrm", "deepfm"], progress=False)
    assert [model["id"] for model in results["models"][1:]] == ["lr", "dlrm", "deepfm"]
    lines = (run / "history.jsonl").read_text()
    assert len({(line["id"], line["fidelity"]) for line in map(json.loads, lines.splitlines())}) == len(
        lines.splitlines()
    )
    (run / "results.json").unlink()
    again = run_search(data, run, resume=True, progress=False)
    assert again["models"] == results["models"]
    assert (run / "history.jsonl").read_text() == lines


def test_models_are_added_to_a_search_and_the_best_is_the_best_of_all(data: Path, tmp_path: Path, small: dict) -> None:
    run = tmp_path / "run"
    small["final"] |= {"top_k": 1, "other_learning_rates": []}
    before = run_search(data, run, progress=False, **small)
    with pytest.raises(InputError, match="holds a search; leave --overwrite out"):
        recnas.baselines(data, run, models=["lr"], overwrite=True, progress=False)
    with pytest.raises(InputError, match=r"was begun with final.epochs 1, not 3"):
        recnas.baselines(data, run, models=["lr"], progress=False, final={"epochs": 3})
    after = recnas.baselines(run=run, models=["lr", "dlrm"], progress=False)
    assert [model["id"] for model in after["models"]] == [before["best_searched"], "dlrm", "lr"]
    assert after["models"][:2] == before["models"]
    chosen_among = ("models", "best", "ensemble", "comparison")
    assert {key: after[key] for key in before if key not in chosen_among} == {
        key: before[key] for key in before if key not in chosen_among
    }
    assert {model["candidate"] for model in after["models"]} <= after["comparison"]["models"].keys()
    losses = {model["id"]: model["validation"]["log_loss"] for model in after["models"]}
    assert after["best"] == min(losses, key=losses.__getitem__)
    # The search still goes on to be what it was.
    assert run_search(data, run, resume=True, progress=False) == after
    (run / "results.json").unlink()
    with pytest.raises(InputError, match=r"a search that has not ended; `recnas search --run .* --resume`"):
        recnas.baselines(run=run, models=["lr"], progress=False)


def test_baselines_that_all_diverge_name_their_own_flag(data: Path, tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"every model's training diverged: .*; try a smaller --learning-rates$"):
        recnas.baselines(data, tmp_path / "run", models=["dlrm"], learning_rates=[1e30], progress=False, **SETTINGS)


def test_a_run_without_a_search_is_no_search(alone: Path, data: Path) -> None:
    with pytest.raises(InputError, match="`recnas baselines` trains nothing else"):
        run_search(data, alone, resume=True, progress=False)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"models": ["fm"]}, "no baseline is named 'fm'; known are lr, dnn"),
        ({"models": []}, "neither candidates"),
        ({"learning_rates": []}, "needs a number or more"),
        ({"learning_rates": [0.1, -1.0]}, "must be above 0"),
        ({"overwrite": True, "resume": True}, "take one of them"),
    ],
)
def test_what_cannot_be_trained_is_named(data: Path, tmp_path: Path, arguments: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        recnas.baselines(data, tmp_path / "run", progress=False, **arguments)
    assert not (tmp_path / "run").exists()


def candidates_of(monkeypatch: pytest.MonkeyPatch, **arguments: Any) -> list[Candidate]:
    """What `recnas.baselines` would train."""
    taken: list[Any] = []
    monkeypatch.setattr("recnas.search.baselines.train_baselines", lambda settings, options: taken.append(settings))
    recnas.baselines(run="nowhere", progress=False, **arguments)
    (settings,) = taken
    assert not settings.searches
    return baseline_candidates(settings, settings.final.baselines)


def test_each_family_is_trained_by_its_own_recipe_where_nothing_else_is_said(data: Path, monkeypatch) -> None:
    assert candidates_of(monkeypatch, data=data) == [own_candidate(name) for name in FAMILIES]


def test_own_recipes_are_tried_at_learning_rates_that_are_given(data: Path, monkeypatch) -> None:
    found = candidates_of(monkeypatch, data=data, models=["dlrm"], learning_rates=[0.01, 0.003])
    own = own_candidate("dlrm")
    assert found == [replace(own, recipe=at(own.recipe, rate)) for rate in (0.01, 0.003)]


def test_with_a_preset_all_are_trained_at_its_learning_rates(data: Path, monkeypatch) -> None:
    found = candidates_of(monkeypatch, data=data, models=["dlrm"], preset="criteo")
    final = load_preset("criteo")["final"]
    rates = [final["optimization"]["learning_rate"], *final["other_learning_rates"]]
    assert [item.recipe.optimization.learning_rate for item in found] == rates
    assert {item.recipe.optimization.optimizer for item in found} == {"adagrad"}
    assert all(item.inputs.as_prepared for item in found)


def test_what_is_said_of_recipes_and_inputs_changes_all_own_ones(data: Path, monkeypatch) -> None:
    own = own_candidate("dcnv2")
    said = {"final": {"dropout": 0.4, "optimization": {"clip": 3.0}}, "inputs": {"numbers": ["field"]}}
    (found,) = candidates_of(monkeypatch, data=data, models=["dcnv2"], **said)
    optimization = replace(own.recipe.optimization, clip=3.0)
    assert found.recipe == replace(own.recipe, dropout=0.4, optimization=optimization)
    assert found.inputs == replace(own.inputs, numbers=("field",))
    assert found.network == own.network


def test_a_run_without_a_search_has_a_report_of_its_models(alone: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(alone, run)
    page = write_report(run).read_text()
    best = read_run(run).model(results_of(run)["best"])
    assert f"Of 2 baselines, the best on validation is {best.name}" in page
    for title in ("DeepFM", "LR"):
        assert title in page
    for section in ("architecture", "warmup", "search", "proxy"):
        assert f'<section id="{section}">' not in page
    assert read_status(run).state == "finished"
