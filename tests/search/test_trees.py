"""Gradient-boosted trees as baselines of a run."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import recnas
from benchmarks.kills import outcome_of
from recnas.candidates.candidate import MOST_TREES, Candidate
from recnas.candidates.defaults import TREE_INPUTS, own_candidate
from recnas.candidates.evaluation import Evaluation
from recnas.candidates.families import TREES
from recnas.candidates.network import Baseline
from recnas.features.inputs import Inputs
from recnas.report import read_run, write_report
from recnas.runs.curves import RunPoints
from recnas.runs.folder import inputs_folder
from recnas.runs.result_table import result_table
from recnas.runs.settings import Settings
from recnas.runs.status import read_status
from recnas.search.baseline_candidates import baseline_candidates
from recnas.search.feeding import open_data
from recnas.search.training import restore_trees, train_candidate
from recnas.trees import library
from recnas.util.errors import InputError, RunError
from tests.searches import as_published
from tests.stopping import Stopped, stop_at

for name in TREES:
    pytest.importorskip(name)

MODELS = [*TREES, "lr"]
SETTINGS: dict[str, Any] = as_published({"seed": 3, "inputs": {"crosses": ["user:gender"]}})


@pytest.fixture(scope="module")
def run(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run without a search."""
    folder = tmp_path_factory.mktemp("runs") / "trees"
    recnas.baselines(data, folder, models=MODELS, learning_rates=[0.05, 0.02], progress=False, **SETTINGS)
    return folder


def entries(run: Path) -> dict[str, Any]:
    return {model["id"]: model for model in json.loads((run / "results.json").read_text())["models"]}


def candidate_of(run: Path, entry: dict[str, Any]) -> Candidate:
    return Candidate.from_json(json.loads((run / "models" / entry["candidate"] / "candidate.json").read_text()))


def test_trees_stand_beside_networks(run: Path) -> None:
    found = entries(run)
    assert list(found) == MODELS
    for name in TREES:
        entry = found[name]
        assert (entry["kind"], entry["status"], entry["macs"]) == ("baseline", "trained", None)
        assert 0 < entry["trees"] < entry["parameters"]
        # Rates, a recipe and ways to feed numbers are a network's.
        assert entry["learning_rate"] == TREES[name].choices["learning_rate"][0]
        assert len(entry["learning_rates"]) == 1
        assert "recipe" not in entry
        assert entry["inputs"] == {"numbers": ["columns", "missing"], "crosses": ["user:gender"]}
    assert min(found[name]["test"]["log_loss"] for name in TREES) < found["lr"]["test"]["log_loss"]


@pytest.mark.parametrize("name", TREES)
def test_kept_trees_give_the_reported_figures(run: Path, data: Path, name: str) -> None:
    entry = entries(run)[name]
    candidate = candidate_of(run, entry)
    settings = Settings(data=str(data), run=str(run))
    dataset = open_data(settings, candidate.inputs)
    assert (inputs_folder(run, candidate.inputs) / "schema.json").exists()
    model = restore_trees(run, dataset.schema, candidate)
    assert model.evaluate(dataset, "test").to_json() == entry["test"]
    assert model.evaluate(dataset, "validation").to_json() == pytest.approx(entry["validation"], abs=1e-6)
    assert model.ensemble.trees == entry["trees"]


def test_tables_status_and_report_show_them(run: Path) -> None:
    table = result_table(json.loads((run / "results.json").read_text()))
    assert all(name in table for name in MODELS)
    assert read_status(run).state == "finished"
    found = read_run(run)
    assert set(found.tree_rounds) == set(TREES)
    assert set(found.epochs) == {"lr"}
    page = write_report(run).read_text()
    assert "Validation log loss by number of trees" in page
    assert f"{entries(run)['catboost']['trees']} trees" in page
    assert "CatBoost" in page


@pytest.mark.parametrize("name", TREES)
def test_their_curve_is_the_validation_log_loss_by_number_of_trees(run: Path, name: str) -> None:
    entry = entries(run)[name]
    points = [point for point in RunPoints(run).new() if point.series.startswith(f"{name} at ")]
    assert len({point.series for point in points}) == 1
    losses = {point.step: point.value for point in points if point.name == "final training/validation_log_loss"}
    assert losses[entry["trees"]] == min(losses.values()) == entry["validation"]["log_loss"]
    assert max(losses) > entry["trees"]


@pytest.mark.parametrize(
    ("place", "count", "after"),
    [
        ("recnas.search.tree_training.grow", 1, False),
        ("recnas.trees.model.replacing", 2, False),
        ("recnas.runs.models.ModelFolder.record", 1, False),
        ("recnas.trees.model.TreeModel.measure", 2, True),
    ],
)
def test_a_run_stopped_anywhere_ends_as_if_it_had_not_been(
    run: Path, data: Path, tmp_path: Path, place: str, count: int, after: bool
) -> None:
    stopped = tmp_path / "run"
    with pytest.MonkeyPatch.context() as patch:
        stop_at(patch, place, count, after=after)
        with pytest.raises(Stopped):
            recnas.baselines(data, stopped, models=MODELS, learning_rates=[0.05, 0.02], progress=False, **SETTINGS)
    status = read_status(stopped)
    assert status.state == "stopped"
    assert str(status)
    recnas.baselines(data, stopped, resume=True, progress=False)
    (run / "report.html").unlink(missing_ok=True)
    assert outcome_of(stopped) == outcome_of(run)


def test_they_are_added_to_a_finished_run_as_if_they_had_been_there(run: Path, data: Path, tmp_path: Path) -> None:
    added = tmp_path / "run"
    recnas.baselines(data, added, models=["lr"], learning_rates=[0.05, 0.02], progress=False, **SETTINGS)
    recnas.baselines(run=added, models=["lightgbm"], progress=False)
    expected, found = entries(run), entries(added)
    assert list(found) == ["lr", "lightgbm"]
    for name in found:
        assert found[name]["test"] == expected[name]["test"]


def test_a_share_of_a_training_is_that_share_of_the_trees(data: Path, tmp_path: Path) -> None:
    settings = Settings(data=str(data), run=str(tmp_path / "run"))
    candidate = own_candidate("lightgbm")
    early = train_candidate(settings, Evaluation(candidate, 20 / MOST_TREES)).training
    assert (early.epochs[-1].epoch, early.paused, early.finished) == (20, True, False)
    again = train_candidate(settings, Evaluation(candidate, 20 / MOST_TREES)).training
    assert [(item.epoch, item.validation) for item in again.epochs] == [
        (item.epoch, item.validation) for item in early.epochs
    ]
    whole = train_candidate(settings, Evaluation(candidate, 1.0)).training
    assert whole.finished
    assert [item.validation for item in whole.epochs if item.epoch <= 20] == [item.validation for item in early.epochs]


def test_tuning_chooses_of_a_family_s_own_table_and_which_ids_are_kept(data: Path, tmp_path: Path) -> None:
    settings = as_published({"seed": 3, "final": {"tuning": {"trials": 3}}})
    results = recnas.baselines(data, tmp_path / "run", models=["lightgbm"], progress=False, **settings)
    (entry,) = results["models"]
    tried = [candidate_of(tmp_path / "run", item) for item in entry["learning_rates"]]
    assert len({candidate.id for candidate in tried}) == 3
    assert tried[0].network == Baseline("lightgbm")
    assert any(candidate.network.choices for candidate in tried)
    assert {candidate.inputs.numbers for candidate in tried} == {TREE_INPUTS.numbers}


def test_what_is_said_of_recipes_is_not_meant_for_trees_but_joint_ids_and_known_ids_are() -> None:
    said = Inputs(numbers=("bins",), crosses=("a:b",), min_count=7, dropped=("a",))
    for recipes in ("own", "like-finalists"):
        final = {"baseline_recipes": recipes, "epochs": 3, "other_learning_rates": (0.5,)}
        settings = Settings(inputs=said)
        settings = replace(settings, final=replace(settings.final, **final))
        (found,) = baseline_candidates(settings, ["lightgbm"])
        assert found == replace(own_candidate("lightgbm"), inputs=replace(said, numbers=TREE_INPUTS.numbers))


def test_without_the_package_nothing_is_begun(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(library, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"lightgbm is not installed; pip install lightgbm brings it"):
        recnas.baselines(data, tmp_path / "run", models=["lr", "lightgbm"], progress=False, **SETTINGS)
    assert not (tmp_path / "run").exists()


def test_trees_that_cannot_be_grown_are_a_result_with_a_reason(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: Any, **options: Any) -> None:
        raise library.NotGrown("all features are constant")

    monkeypatch.setattr("recnas.search.tree_training.grow", fail)
    results = recnas.baselines(data, tmp_path / "run", models=["lr", "catboost"], progress=False, **SETTINGS)
    (entry,) = [model for model in results["models"] if model["id"] == "catboost"]
    assert (entry["status"], entry["reason"]) == ("diverged", "no trees could be grown (all features are constant)")
    with pytest.raises(RunError, match="no trees could be grown"):
        recnas.baselines(data, tmp_path / "alone", models=["catboost"], progress=False, **SETTINGS)
