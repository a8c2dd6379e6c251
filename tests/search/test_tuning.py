"""`recnas baselines --tune`: each family is searched over its choices, inputs and recipe."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import recnas
from benchmarks.kills import outcome_of
from recnas.candidates.candidate import Candidate
from recnas.candidates.defaults import own_candidate
from recnas.cli import main
from recnas.report import write_report
from recnas.runs.folder import inputs_folder
from recnas.runs.settings import Settings
from recnas.runs.status import read_status
from recnas.search import run_search
from recnas.search.feeding import open_data
from recnas.search.stages import plan_search
from recnas.search.training import restore
from recnas.train.loop import evaluate
from recnas.util.console import Bar
from recnas.util.errors import InputError, RunError
from tests.searches import read_lines_of
from tests.stopping import Stopped, stop_at

MODELS = ["lr", "dnn"]
TRIALS = 3
SETTINGS: dict[str, Any] = {
    "seed": 4,
    "checkpoint_seconds": 0.0,
    "final": {"epochs": 2, "evaluations": 1, "tuning": {"trials": TRIALS}},
}


@pytest.fixture(scope="module")
def tuned(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run that tuned two families; tests only look at it."""
    run = tmp_path_factory.mktemp("runs") / "tuned"
    recnas.baselines(data, run, models=MODELS, progress=False, **SETTINGS)
    return run


def results_of(run: Path) -> dict[str, Any]:
    return json.loads((run / "results.json").read_text())


def trials_of(run: Path) -> dict[str, list[dict[str, Any]]]:
    """The lines of the history that are of each family, in their order."""
    lines = read_lines_of(run / "history.jsonl")
    assert {line["stage"] for line in lines} == {"tuning"}
    return {name: [line for line in lines if line["id"].startswith(f"{name}-")] for name in MODELS}


def test_each_family_has_its_trials_of_which_the_first_is_its_own_candidate(tuned: Path) -> None:
    for name, lines in trials_of(tuned).items():
        assert len({line["id"] for line in lines}) == len(lines) == TRIALS
        assert all(line["fidelity"] == 1 and line["training"]["finished"] for line in lines)
        candidates = [Candidate.from_json(line["candidate"]) for line in lines]
        own = own_candidate(name)
        assert (candidates[0].network, candidates[0].inputs) == (own.network, own.inputs)
        # With what is said of it.
        assert candidates[0].recipe == replace(own.recipe, epochs=2, evaluations=1)
        # What is not tuned stays as it is said.
        assert {item.recipe.evaluations for item in candidates} == {1}


def test_each_family_is_listed_once_with_its_best_on_validation(tuned: Path) -> None:
    results, trials = results_of(tuned), trials_of(tuned)
    assert [model["id"] for model in results["models"]] == MODELS
    for model in results["models"]:
        scores = {line["id"]: line["score"] for line in trials[model["id"]]}
        assert model["candidate"] == max(scores, key=scores.__getitem__)
        assert model["validation"]["log_loss"] == -max(scores.values())
        assert [tried["candidate"] for tried in model["learning_rates"]] == list(scores)
        assert model["test"] is not None
    losses = {model["id"]: model["validation"]["log_loss"] for model in results["models"]}
    assert results["best"] == min(losses, key=losses.__getitem__)
    chosen = json.loads((tuned / "models" / "chosen.json").read_text())
    assert chosen == {model["id"]: model["candidate"] for model in results["models"]}


def test_weights_of_what_is_neither_chosen_nor_a_member_are_dropped_and_its_figures_stay(tuned: Path) -> None:
    results = results_of(tuned)
    members = results["ensemble"]["members"] if results["ensemble"] else []
    chosen = {model["candidate"] for model in [*results["models"], *members]}
    tried = {line["id"] for lines in trials_of(tuned).values() for line in lines}
    folders = {path.name: path for path in (tuned / "models").iterdir() if path.is_dir()}
    assert folders.keys() == tried
    for name, folder in folders.items():
        files = {path.name for path in folder.iterdir()}
        expected = {"candidate.json", "metrics.jsonl", "progress.jsonl", "training.json"}
        assert files == expected | ({"weights.safetensors", "validation.npy"} if name in chosen else set())


def test_kept_weights_give_the_reported_figures_with_the_inputs_that_they_were_tuned_with(
    tuned: Path, data: Path
) -> None:
    for model in results_of(tuned)["models"]:
        file = tuned / "models" / model["candidate"] / "candidate.json"
        candidate = Candidate.from_json(json.loads(file.read_text()))
        assert candidate.inputs.as_prepared or inputs_folder(tuned, candidate.inputs).is_dir()
        dataset = open_data(Settings(data=str(data), run=str(tuned)), candidate.inputs)
        quality = evaluate(restore(tuned, dataset.schema, candidate), dataset, "test")
        assert quality.to_json() == pytest.approx(model["test"], abs=1e-6)


def test_it_has_a_status_a_report_and_exports(
    tuned: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status = read_status(tuned)
    assert (status.state, status.stages) == ("finished", ("tuning", "final training", "ensemble", "test"))
    run = tmp_path / "run"
    shutil.copytree(tuned, run)
    page = write_report(run).read_text()
    assert "DNN" in page
    assert "LR" in page
    assert main(["export", str(run), "--model", "dnn", "--output", str(tmp_path / "model")]) == 0
    assert main(["evaluate", str(tmp_path / "model"), "--data", str(data), "--split", "test"]) == 0
    (dnn,) = [model for model in results_of(run)["models"] if model["id"] == "dnn"]
    assert f"{dnn['test']['log_loss']:.4f}" in capsys.readouterr().out


@pytest.mark.parametrize(
    "stops",
    [
        [
            ("recnas.runs.history.History.add", 3, False),
            ("recnas.runs.models.ModelFolder.drop_weights", 1, True),
            ("recnas.search.final_training.write_json", 1, False),
        ],
        pytest.param(
            [
                # Within a training of the first round, as its trial is recorded, and in a later round.
                ("recnas.train.loop.ModelLearner.step", 3, True),
                ("recnas.runs.history.History.add", 1, True),
                ("recnas.train.loop.ModelLearner.step", 9, True),
                ("recnas.runs.models.ModelFolder.drop_weights", 1, False),
                ("recnas.search.testing.Test.run", 1, True),
                ("recnas.search.baselines.write_json", 1, False),
            ],
            marks=pytest.mark.slow,
        ),
    ],
)
def test_a_run_stopped_anywhere_ends_as_if_it_had_not_been(
    tuned: Path, data: Path, tmp_path: Path, stops: list[tuple[str, int, bool]]
) -> None:
    run = tmp_path / "run"
    for place, call, after in stops:
        with pytest.MonkeyPatch.context() as patch:
            stop_at(patch, place, call, after)
            with pytest.raises(Stopped, match=place):
                begin(data, run)
        assert read_status(run).command == f"recnas baselines --data {data} --run {run} --resume"
    begin(data, run)
    assert outcome_of(run) == outcome_of(tuned)


def begin(data: Path, run: Path) -> None:
    if run.exists():
        recnas.baselines(data, run, resume=True, progress=False)
    else:
        recnas.baselines(data, run, models=MODELS, progress=False, **SETTINGS)


@pytest.mark.slow
def test_two_processes_tune_as_one_does(tuned: Path, data: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    recnas.baselines(data, run, models=MODELS, progress=False, workers=2, **SETTINGS)
    found, expected = results_of(run), results_of(tuned)
    assert [line["id"] for line in read_lines_of(run / "history.jsonl")] == [
        line["id"] for line in read_lines_of(tuned / "history.jsonl")
    ]
    assert [(model["id"], model["candidate"]) for model in found["models"]] == [
        (model["id"], model["candidate"]) for model in expected["models"]
    ]


def test_without_trials_it_ends_when_its_time_is_up_and_resumes_with_what_was_spent(data: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    settings = {**SETTINGS, "final": {"epochs": 1, "evaluations": 1, "tuning": {"budget": "1s"}}}
    recnas.baselines(data, run, models=["lr"], progress=False, **settings)
    lines = read_lines_of(run / "history.jsonl")
    spent = [line["seconds"] for line in lines]
    # A round of one trial, then rounds of two: none begins when time is up.
    rounds = [spent[:1], *(spent[place : place + 2] for place in range(1, len(spent), 2))]
    assert sum(map(sum, rounds[:-1])) < 1 <= sum(spent)
    (run / "results.json").unlink()
    recnas.baselines(data, run, resume=True, progress=False)
    assert read_lines_of(run / "history.jsonl") == lines


def test_tuned_baselines_stand_beside_what_a_search_found(data: Path, tmp_path: Path, small: dict) -> None:
    run = tmp_path / "run"
    small["evolution"] = {"population": 2, "iterations": 0}
    small["proxy"] = {"score": "parameters"}
    small["final"] |= {"top_k": 1, "baselines": ["lr"], "tuning": {"trials": 2}, "baseline_recipes": "own"}
    results = run_search(data, run, progress=False, **small)
    assert [(model["kind"], model["status"]) for model in results["models"]] == [
        ("searched", "trained"),
        ("baseline", "trained"),
    ]
    stages = [line["stage"] for line in read_lines_of(run / "history.jsonl")]
    assert stages == ["search"] * 2 + ["tuning"] * 2 + ["final training"] * 2


def test_without_numbers_there_is_no_choice_of_how_they_are_fed(tmp_path: Path) -> None:
    log, folder = tmp_path / "clicks.csv", tmp_path / "set"
    log.write_text("click,user\n" + "".join(f"{n % 2},u{n % 7}\n" for n in range(200)))
    recnas.prepare("tabular", folder, input=log, label="click", sparse=["user"], progress=False)
    recnas.baselines(folder, tmp_path / "run", models=["lr"], progress=False, final={"tuning": {"trials": 6}})
    assert len(read_lines_of(tmp_path / "run" / "history.jsonl")) == 6


def test_families_whose_trials_all_diverge_are_one_line(data: Path, tmp_path: Path) -> None:
    diverging = {"epochs": 1, "evaluations": 1, "optimization": {"learning_rate": 1e30}, "tuning": {"trials": 1}}
    with pytest.raises(RunError, match=r"every model's training diverged: .*") as told:
        recnas.baselines(data, tmp_path / "run", models=["dnn"], progress=False, **SETTINGS | {"final": diverging})
    assert "\n" not in str(told.value)


@pytest.mark.parametrize(
    ("tuning", "message"),
    [
        ({"trials": 0}, "trials is 0; it must be 1 or more"),
        ({"budget": "soon"}, "'soon'"),
        ({"budget": "0s"}, "0s"),
    ],
)
def test_what_cannot_be_tuned_is_one_line(data: Path, tmp_path: Path, tuning: dict, message: str) -> None:
    with pytest.raises(InputError, match=message) as refused:
        recnas.baselines(data, tmp_path / "run", models=["lr"], progress=False, final={"tuning": tuning})
    assert "\n" not in str(refused.value)
    assert not (tmp_path / "run").exists()


def test_what_was_tried_is_not_trained_again(
    tuned: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "run"
    shutil.copytree(tuned, run)
    (run / "results.json").unlink()
    stop_at(monkeypatch, "recnas.train.loop.ModelLearner.step", 1, after=False)
    recnas.baselines(data, run, resume=True, progress=False)
    assert outcome_of(run) == outcome_of(tuned)


def test_what_is_added_to_a_finished_run_is_tuned_as_its_settings_say(tuned: Path, data: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(tuned, run)
    results = recnas.baselines(run=run, models=["dnn", "fcn"], progress=False)
    (added,) = [model for model in results["models"] if model["id"] == "fcn"]
    assert [model["id"] for model in results["models"]].count("dnn") == 1
    trials = [line["id"] for line in read_lines_of(run / "history.jsonl") if line["id"].startswith("fcn-")]
    assert len(trials) == TRIALS
    assert [tried["candidate"] for tried in added["learning_rates"]] == trials


def test_of_several_learning_rates_the_plan_counts_each_family_once() -> None:
    final = {"top_k": 0, "baselines": ["lr"], "other_learning_rates": [0.1, 0.01], "tuning": {"trials": 2}}
    final["baseline_recipes"] = "like-finalists"
    plan = plan_search(Settings.from_mapping({"final": final}), {"train": 10, "validation": 1, "test": 1})
    assert plan["tuning"].total == 2


def test_tuning_takes_one_learning_rate_to_begin_with(data: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="tuning chooses learning rates; give one to begin with in --learning-rates"):
        recnas.baselines(data, tmp_path / "run", learning_rates=[0.1, 0.01], progress=False, **SETTINGS)


def test_no_more_time_is_shown_than_there_is(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done = []
    update = Bar.update
    monkeypatch.setattr(Bar, "update", lambda bar, *given: (update(bar, *given), done.append(bar.done / bar.total))[0])
    settings = {**SETTINGS, "final": {"epochs": 1, "evaluations": 1, "tuning": {"budget": "0.01s"}}}
    recnas.baselines(data, tmp_path / "run", models=["lr"], progress=False, **settings)
    assert done[0] == 1
    assert max(done) == 1
