"""The ensemble of a run: selected of what was trained, kept, measured on test once, selected anew."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import recnas
from benchmarks.kills import outcome_of
from recnas.candidates.candidate import Candidate
from recnas.data import Dataset
from recnas.report import read_run, write_report
from recnas.runs.ensemble import read_ensemble
from recnas.runs.models import ModelFolder
from recnas.runs.result_table import result_table
from recnas.runs.settings import Settings
from recnas.search import run_search
from recnas.search.ensemble_selection import Admits, Mixture, Selection
from recnas.search.feeding import open_data
from recnas.search.keeping import LIBRARY
from recnas.search.training import measure_kept
from recnas.train.metrics import quality_of
from recnas.util.errors import InputError
from tests.searches import as_published, read_lines_of
from tests.stopping import Stopped, stop_at

MODELS = ["lr", "dnn", "fcn"]
RATES = [0.05, 0.02]
SETTINGS: dict[str, Any] = as_published(
    {"seed": 3, "final": {"ensemble": 3, "optimization": {"batch_size": 400, "embedding_rate": 10.0}}}
)
WEIGHTS = {0: 0.5, 2: 0.3, 1: 0.2}


@pytest.fixture(scope="module", autouse=True)
def first_three() -> Iterator[list[np.ndarray]]:
    """Selects the best three models, whatever they predict: so small a data set has no clear gain."""
    asked: list[np.ndarray] = []

    def select(logits: np.ndarray, labels: np.ndarray, *, most: int, seed: int, admits: Admits) -> Selection:
        assert most == 3
        asked.append(logits)
        members = {0: WEIGHTS[0]}
        for place in (2, 1):
            if place < len(logits) and admits({*members, place}):
                members[place] = WEIGHTS[place]
        total = sum(members.values())
        return Selection({place: weight / total for place, weight in members.items()}, 0.5, 0.51, 0.001)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("recnas.search.ensembling.select", select)
        yield asked


@pytest.fixture(scope="module")
def run(data: Path, tmp_path_factory: pytest.TempPathFactory, first_three: list[np.ndarray]) -> Path:
    """A finished run; tests only look at it."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    begin(data, folder)
    return folder


def begin(data: Path, run: Path, **settings: Any) -> dict[str, Any]:
    if run.exists():
        return recnas.baselines(data, run, resume=True, progress=False)
    return recnas.baselines(data, run, models=MODELS, learning_rates=RATES, progress=False, **SETTINGS | settings)


def results_of(run: Path) -> dict[str, Any]:
    return json.loads((run / "results.json").read_text())


def candidate_of(run: Path, id_: str) -> Candidate:
    return Candidate.from_json(json.loads((run / "models" / id_ / "candidate.json").read_text()))


def losses_of(run: Path) -> dict[str, float]:
    """The validation log loss of every training, best first."""
    losses = {line["id"]: -line["score"] for line in read_lines_of(run / "history.jsonl")}
    return dict(sorted(losses.items(), key=lambda item: item[1]))


def test_members_are_candidates_whatever_their_family_best_on_validation_first(run: Path) -> None:
    ensemble, ranked = results_of(run)["ensemble"], list(losses_of(run))
    assert [member["candidate"] for member in ensemble["members"]] == [ranked[place] for place in WEIGHTS]
    assert [member["weight"] for member in ensemble["members"]] == list(WEIGHTS.values())
    for member in ensemble["members"]:
        assert member["candidate"].startswith(f"{member['id']}-")
        assert member["validation"]["log_loss"] == losses_of(run)[member["candidate"]]
    assert ensemble["among"] == len(MODELS) * len(RATES)
    assert ensemble["held_out"] == {"log_loss": 0.5, "single": 0.51, "error": 0.001}


def test_its_figures_are_those_of_the_weighted_mean_of_what_its_members_predict(run: Path, data: Path) -> None:
    ensemble, dataset = results_of(run)["ensemble"], Dataset(data)
    settings = Settings(data=str(data), run=str(run))
    mixtures = {"validation": Mixture(), "test": Mixture()}
    for member in ensemble["members"]:
        candidate = candidate_of(run, member["candidate"])
        logits = ModelFolder(run, candidate).read_predictions(dataset.rows("validation"))
        mixtures["validation"].add(member["weight"], logits)
        measured = measure_kept(settings, candidate, "test", open_data(settings, candidate.inputs))
        mixtures["test"].add(member["weight"], measured.logits)
    for split, mixture in mixtures.items():
        expected = quality_of(mixture.logits, dataset.labels(split)).to_json()
        assert ensemble[split] == pytest.approx(expected, abs=1e-6)


def test_every_training_is_compared_with_the_best_and_its_calibration_is_of_all_test_rows(
    run: Path, data: Path
) -> None:
    results, losses = results_of(run), losses_of(run)
    comparison = results["comparison"]
    assert comparison["models"].keys() == losses.keys()
    best = comparison["models"][next(iter(losses))]
    assert (best["low"], best["high"]) == (0, 0)
    assert sum(standing["first"] for standing in comparison["models"].values()) == pytest.approx(1)
    # Chance may make it less than the best one's own, by a little.
    assert comparison["log_loss"] > min(losses.values()) - 0.01
    labels = Dataset(data).labels("test")
    for entry in (*results["models"], results["ensemble"]):
        assert sum(item["rows"] for item in entry["calibration"]) == len(labels)
        clicks = sum(item["rows"] * item["clicked"] for item in entry["calibration"])
        assert clicks == pytest.approx(labels.sum())


def test_costs_are_those_of_all_members_together(run: Path) -> None:
    results = results_of(run)
    by_id = {model["id"]: model for model in results["models"]}
    members = [by_id[member["id"]] for member in results["ensemble"]["members"]]
    assert results["ensemble"]["macs"] == sum(model["macs"] for model in members)
    assert results["ensemble"]["parameters"] == sum(model["parameters"] for model in members)
    assert results["ensemble"]["latency_ms"] is None
    assert results["ensemble"]["over_limits"] == []


def test_members_and_the_best_of_each_family_keep_weights_and_predictions_and_no_others_do(run: Path) -> None:
    results = results_of(run)
    kept = {entry["candidate"] for entry in [*results["models"], *results["ensemble"]["members"]]}
    for id_ in losses_of(run):
        files = {path.name for path in (run / "models" / id_).iterdir()}
        assert {"weights.safetensors", "validation.npy"} & files == (
            {"weights.safetensors", "validation.npy"} if id_ in kept else set()
        )
    assert set(read_ensemble(run).among) == set(losses_of(run))


def test_the_table_and_the_report_show_it(run: Path, tmp_path: Path) -> None:
    ensemble = results_of(run)["ensemble"]
    lines = result_table(results_of(run)).splitlines()
    place = next(number for number, line in enumerate(lines) if line.startswith("ensemble "))
    assert f"{ensemble['test']['log_loss']:.4f}" in lines[place]
    assert lines[place + 1 : place + 4] == [
        f"  {member['weight']:.2f} {member['candidate']}" for member in ensemble["members"]
    ]
    assert "held out of the selection: 0.5000, by the best model alone 0.5100" in lines[place + 4]
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    page = write_report(copy).read_text()
    assert "<h3>Ensemble</h3>" in page
    assert all(member["candidate"] in page for member in ensemble["members"])
    assert "an ensemble of 3 models reaches" in page
    assert "behind<br>the best" in page
    assert 'id="figure-calibration"' in page
    assert [member.weight for member in read_run(copy).results.ensemble.members] == list(WEIGHTS.values())


@pytest.mark.parametrize(
    "stops",
    [
        [
            ("recnas.search.ensembling.write_ensemble", 1, False),
            ("recnas.search.ensembling.write_ensemble", 1, True),
            ("recnas.runs.models.ModelFolder.drop_weights", 1, True),
            ("recnas.search.testing.quality_of", 1, False),
            ("recnas.search.baselines.write_json", 1, False),
        ],
    ],
)
def test_a_run_stopped_around_its_ensemble_ends_as_if_it_had_not_been(
    run: Path, data: Path, tmp_path: Path, stops: list[tuple[str, int, bool]]
) -> None:
    stopped = tmp_path / "run"
    for place, call, after in stops:
        with pytest.MonkeyPatch.context() as patch:
            stop_at(patch, place, call, after)
            with pytest.raises(Stopped, match=place):
                begin(data, stopped)
    begin(data, stopped)
    assert outcome_of(stopped) == outcome_of(run)


def test_where_baselines_are_added_the_ensemble_is_selected_anew_among_all_that_is_kept(
    run: Path, data: Path, tmp_path: Path, first_three: list[np.ndarray]
) -> None:
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    kept = {path.parent.name for path in copy.rglob("validation.npy")}
    results = recnas.baselines(run=copy, models=["gdcn"], progress=False)
    new = {line["id"] for line in read_lines_of(copy / "history.jsonl") if line["id"].startswith("gdcn-")}
    assert set(read_ensemble(copy).among) == kept | new
    assert len(first_three[-1]) == len(kept | new)
    ranked = [id_ for id_ in losses_of(copy) if id_ in kept | new]
    members = [member["candidate"] for member in results["ensemble"]["members"]]
    assert members == [ranked[place] for place in WEIGHTS]
    assert results["ensemble"]["test"] is not None
    # What is no member any more keeps its weights only where it is the best of its family.
    chosen = {model["candidate"] for model in results["models"]}
    assert {path.parent.name for path in copy.rglob("weights.safetensors")} == chosen | set(members)
    # And what was decided stays decided.
    (copy / "results.json").unlink()
    again = begin(data, copy)
    assert again["ensemble"] == results["ensemble"]


def test_limits_hold_for_the_members_together(data: Path, tmp_path: Path, run: Path) -> None:
    by_id = {model["id"]: model for model in results_of(run)["models"]}
    first, second, third = (by_id[member["id"]]["macs"] for member in results_of(run)["ensemble"]["members"])
    bound = first + min(second, third)
    ensemble = begin(data, tmp_path / "run", limits={"max_macs": bound})["ensemble"]
    assert len(ensemble["members"]) == 2
    assert ensemble["macs"] <= bound
    assert ensemble["over_limits"] == []


def test_without_an_ensemble_there_is_none(data: Path, tmp_path: Path) -> None:
    settings = SETTINGS | {"final": SETTINGS["final"] | {"ensemble": 1}}
    results = recnas.baselines(data, tmp_path / "run", models=MODELS, progress=False, **settings)
    assert results["ensemble"] is None
    assert "ensemble" not in result_table(results)
    assert len(list((tmp_path / "run").rglob("weights.safetensors"))) == len(MODELS)
    with pytest.raises(InputError, match="ensemble is 0; it must be 1 or more"):
        recnas.baselines(data, tmp_path / "other", progress=False, final={"ensemble": 0})


def test_one_model_alone_is_no_ensemble(data: Path, tmp_path: Path) -> None:
    results = recnas.baselines(data, tmp_path / "run", models=["lr"], progress=False, **SETTINGS)
    assert results["ensemble"] is None
    assert read_ensemble(tmp_path / "run").weights == {results["models"][0]["candidate"]: 1.0}


def test_a_run_without_predictions_of_its_best_model_has_no_ensemble(run: Path, tmp_path: Path) -> None:
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    for file in copy.rglob("validation.npy"):
        file.unlink()
    (copy / "models" / "ensemble.json").unlink()
    assert recnas.baselines(run=copy, models=["gdcn"], progress=False)["ensemble"] is None


def test_a_damaged_file_of_predictions_is_one_line(run: Path, data: Path, tmp_path: Path) -> None:
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    (copy / "results.json").unlink()
    (copy / "models" / "ensemble.json").unlink()
    best = next(iter(losses_of(copy)))
    file = copy / "models" / best / "validation.npy"
    for damaged in (b"", file.read_bytes()[:-8], b"\x93NUMPY" + bytes(80)):
        file.write_bytes(damaged)
        with pytest.raises(InputError, match=r"validation\.npy") as refused:
            begin(data, copy)
        assert "\n" not in str(refused.value)


def test_a_search_s_finalists_and_baselines_are_members_alike(data: Path, tmp_path: Path, small: dict) -> None:
    small["final"] |= {"baselines": ["lr"], "ensemble": 3}
    results = run_search(data, tmp_path / "run", progress=False, **small)
    assert len(results["ensemble"]["members"]) == 3
    assert results["ensemble"]["among"] == 4 + 1 <= LIBRARY
