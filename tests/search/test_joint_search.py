"""`recnas search` as it is recommended: candidates are trained until the budget is spent."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

import recnas
from recnas.candidates.candidate import Candidate
from recnas.candidates.defaults import own_candidate
from recnas.candidates.portfolio import Member, save_portfolio
from recnas.cli import main
from recnas.data import Dataset, feature_gains
from recnas.export import export_run
from recnas.export.rows_code import example_row
from recnas.features.schema import Schema
from recnas.report import write_report
from recnas.runs.settings import Settings
from recnas.runs.status import read_status
from recnas.search.beginning import droppable_features
from recnas.search.feeding import taught, teacher_file
from recnas.search.run import on_all_cores
from recnas.strategies.portfolio import SOFT_LABELS
from recnas.util.errors import InputError
from tests.searches import read_lines_of
from tests.stopping import Stopped, stop_at

FAMILIES = ("lr", "dnn")


@pytest.fixture(scope="module")
def portfolio(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Candidates that are trained in a second."""
    file = tmp_path_factory.mktemp("portfolio") / "small.yaml"
    save_portfolio([Member(own_candidate(name)) for name in FAMILIES], file)
    return str(file)


@pytest.fixture(scope="module")
def small(portfolio: str) -> dict[str, Any]:
    return {
        "portfolio": portfolio,
        "space": "lr,dnn",
        "budget": "6c",
        "seed": 3,
        "checkpoint_seconds": 0.0,
        "final": {"epochs": 2, "evaluations": 1},
    }


@pytest.fixture(scope="module")
def searched(data: Path, small: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run; tests only look at it."""
    run = tmp_path_factory.mktemp("runs") / "searched"
    recnas.search(data, run, progress=False, **small)
    return run


def results_of(run: Path) -> dict[str, Any]:
    return json.loads((run / "results.json").read_text())


def timeless(run: Path) -> list[dict[str, Any]]:
    """A run's history without times."""
    lines = read_lines_of(run / "history.jsonl")
    for line in lines:
        for part in (line, line["training"], *line["training"]["epochs"]):
            part.pop("seconds", None)
            part.pop("clock", None)
    return lines


def test_candidates_are_trained_until_the_budget_is_spent(searched: Path, small: dict[str, Any]) -> None:
    lines = read_lines_of(searched / "history.jsonl")
    assert {line["stage"] for line in lines} == {"search"}
    assert len({line["id"] for line in lines}) == 6
    assert lines[0]["source"] == "portfolio"
    # What is said holds for every candidate.
    recipes = [Candidate.from_json(line["candidate"]).recipe for line in lines]
    assert {(recipe.epochs, recipe.evaluations) for recipe in recipes} == {(2, 1)}
    clocks = [line["clock"] for line in lines]
    assert clocks == sorted(clocks)
    results = results_of(searched)
    assert {model["id"] for model in results["models"]} <= set(FAMILIES)
    ended = {line["id"]: -line["score"] for line in lines if line["training"]["finished"]}
    best = next(model for model in results["models"] if model["id"] == results["best"])
    assert best["validation"]["log_loss"] == min(ended.values())
    assert best["test"] is not None
    assert results["space"] == "lr and dnn"
    assert read_status(searched).state == "finished"
    assert "<html" in write_report(searched).read_text()


def test_towards_the_end_the_best_network_learns_from_what_the_ensemble_predicts(searched: Path, data: Path) -> None:
    lines = read_lines_of(searched / "history.jsonl")
    students = [line for line in lines if line["source"] == "student"]
    assert students
    for line in students:
        own = Candidate.from_json(line["candidate"])
        (parent,) = [other for other in lines if other["id"] == line["parents"][0] and other["training"]["finished"]]
        usual = Candidate.from_json(parent["candidate"])
        assert own == replace(usual, recipe=replace(usual.recipe, soft_labels=SOFT_LABELS))
    dataset = Dataset(data)
    predicted = np.load(teacher_file(searched))
    truth = dataset.labels("train")
    assert predicted.shape == truth.shape
    assert predicted[truth == 1].mean() > predicted[truth == 0].mean()
    labels = np.concatenate([batch.label.numpy() for batch in taught(searched, dataset, 0.25).batches("train", 64)])
    np.testing.assert_allclose(labels, 0.75 * truth + 0.25 * predicted, atol=1e-6)
    assert taught(searched, dataset, 0.0) is dataset


@pytest.mark.parametrize(
    "damage", [lambda file: file.unlink(), lambda file: file.write_bytes(b"\x93NUMPY" + bytes(80))]
)
def test_a_teacher_that_is_gone_or_damaged_is_one_line(
    damage: Callable[[Path], object], searched: Path, data: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "run"
    shutil.copytree(searched, copy)
    damage(teacher_file(copy))
    with pytest.raises(InputError, match=r"teacher\.npy") as refused:
        taught(copy, Dataset(data), 0.5)
    assert "\n" not in str(refused.value)
    np.save(teacher_file(copy), np.zeros(3, dtype=np.float32))
    with pytest.raises(InputError, match="no probabilities of"):
        taught(copy, Dataset(data), 0.5)


def test_what_says_least_of_a_click_may_be_dropped_but_half_of_the_features_and_one_id_stay(
    searched: Path, data: Path
) -> None:
    beginning = json.loads((searched / "beginning.json").read_text())
    own, gains = Schema.load(data), feature_gains(Dataset(data))
    found, told = beginning["droppable"], beginning["gains_of_droppable"]
    assert told == sorted(told)
    assert set(found) <= set(gains)
    assert len(found) == (own.num_sparse + len(own.dense)) // 2
    ids = [feature.name for feature in own.sparse]
    for said in ((), ("time",), tuple(ids[1:]), ("user",)):
        droppable = droppable_features(own, dict.fromkeys([*ids, "hour", "age"], 0.0), said)
        left = [name for name in (*ids, *(item.name for item in own.dense)) if name not in said]
        assert len(droppable) <= len(left) // 2
        assert not set(droppable) & set(said)
        assert set(ids) - set(droppable) - set(said)
    # Where all ids are dropped, a joint id is left that a user asked for.
    assert set(droppable_features(own, gains, ids)) <= {item.name for item in own.dense}
    assert "Features that may be left out" in write_report(searched).read_text()


def test_what_a_user_drops_no_candidate_is_fed(data: Path, small: dict[str, Any], tmp_path: Path) -> None:
    run, dropped = tmp_path / "run", ["user", "age"]
    recnas.search(data, run, progress=False, **small | {"budget": "3c", "inputs": {"dropped": dropped}})
    candidates = [Candidate.from_json(line["candidate"]) for line in read_lines_of(run / "history.jsonl")]
    assert all(set(dropped) <= set(candidate.inputs.dropped) for candidate in candidates)
    folder = export_run(run, tmp_path / "model", single=True)
    schema, model = Schema.load(folder), recnas.load(folder)
    assert not set(dropped) & {feature.name for feature in (*schema.dense, *schema.sparse)}
    row = example_row(schema)
    # Raw rows may have them all the same.
    assert model.predict([row]).tolist() == model.predict([row | {"user": "7", "age": 30}]).tolist()


def test_the_same_seed_gives_the_same_history_with_two_workers(
    searched: Path, data: Path, small: dict[str, Any], tmp_path: Path
) -> None:
    recnas.search(data, tmp_path / "run", progress=False, **small, workers=2)
    assert timeless(tmp_path / "run") == timeless(searched)


@pytest.mark.parametrize(
    ("place", "count"),
    [
        ("recnas.search.beginning.write_json", 1),
        ("recnas.runs.history.History.add", 1),
        ("recnas.runs.history.History.add", 4),
        ("recnas.train.loop.ModelLearner.step", 10),
        ("recnas.search.testing.Test.run", 1),
    ],
)
def test_a_search_that_was_killed_ends_as_one_that_was_left_alone(
    place: str, count: int, searched: Path, data: Path, small: dict[str, Any], tmp_path: Path
) -> None:
    run = tmp_path / "run"
    with pytest.MonkeyPatch.context() as patch:
        stop_at(patch, place, count)
        with pytest.raises(Stopped):
            recnas.search(data, run, progress=False, **small)
    status = read_status(run)
    assert (status.state, status.stage) == ("stopped", "test" if place.endswith("Test.run") else "search")
    assert status.progress is None or (status.progress.unit, status.progress.total) == ("candidates", 6)
    recnas.search(data, run, progress=False, resume=True, **small)
    assert timeless(run) == timeless(searched)
    losses = [[model["test"] for model in results_of(folder)["models"]] for folder in (run, searched)]
    assert losses[0] == losses[1]


def test_a_search_of_architectures_alone(data: Path, small: dict[str, Any], tmp_path: Path) -> None:
    results = recnas.search(data, tmp_path / "run", progress=False, **small | {"space": "nasrec-cross", "budget": "3c"})
    assert {model["kind"] for model in results["models"]} == {"searched"}
    assert results["best"] == results["best_searched"]
    # Those that were compared on their way and did not go on are told as what they are.
    statuses = {model["id"]: model["status"] for model in results["models"]}
    assert statuses[results["best"]] == "trained"
    assert set(statuses.values()) <= {"trained", "dropped"}


def test_baselines_beside_it_are_trained_unless_the_search_did(
    data: Path, small: dict[str, Any], tmp_path: Path
) -> None:
    settings = small | {"final": small["final"] | {"baselines": ["lr", "dlrm"]}, "budget": "2c"}
    results = recnas.search(data, tmp_path / "run", progress=False, **settings)
    assert [model["id"] for model in results["models"]].count("lr") == 1
    assert "dlrm" in [model["id"] for model in results["models"]]


def test_limits_hold_for_all_that_is_trained(data: Path, small: dict[str, Any], tmp_path: Path) -> None:
    limits = {"max_macs": 100}
    results = recnas.search(data, tmp_path / "run", progress=False, **small | {"limits": limits, "budget": "2c"})
    assert {model["id"] for model in results["models"]} == {"lr"}
    with pytest.raises(InputError, match="no candidate is within the limits"):
        recnas.search(data, tmp_path / "none", progress=False, **small | {"limits": limits, "space": "dnn"})
    shutil.rmtree(tmp_path / "none", ignore_errors=True)


def test_a_budget_in_time_ends_with_a_result(data: Path, small: dict[str, Any], tmp_path: Path) -> None:
    results = recnas.search(data, tmp_path / "run", progress=False, **small | {"budget": "4s"})
    assert results["best"] in FAMILIES
    lines = read_lines_of(tmp_path / "run" / "history.jsonl")
    # The first training is made whatever it takes.
    assert len(lines) == 1 or lines[-1]["clock"] < 4 + 5


def test_a_finished_search_goes_on_with_more_budget(
    searched: Path, data: Path, small: dict[str, Any], tmp_path: Path
) -> None:
    run = tmp_path / "run"
    recnas.search(data, run, progress=False, **small | {"budget": "3c"})
    first = timeless(run)
    recnas.search(data, run, progress=False, resume=True, budget="+3c", portfolio=small["portfolio"])
    assert timeless(run)[: len(first)] == first
    assert len({line["id"] for line in timeless(run)}) == 6
    # The same command again finds it finished with that budget, and one that was not begun so is refused.
    assert recnas.search(data, run, progress=False, resume=True)["best"] == results_of(run)["best"]
    with pytest.raises(InputError, match=r"was begun with budget 3c\+3c, not 5c"):
        recnas.search(data, run, progress=False, resume=True, budget="5c")
    with pytest.raises(InputError, match=r"--budget \+3c adds to a run that is there; give --resume and its --run"):
        recnas.search(data, tmp_path / "new", progress=False, budget="+3c")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"budget": "soon"}, "'soon' is no budget; write time, as in 10m or 1h30m, or candidates, as in 40c"),
        ({"budget": "0c"}, "one candidate is the least"),
        (
            {"budget": "5m", "strategy": "evolution"},
            "--budget is of a search that trains its candidates; evolution ranks",
        ),
        (
            {"strategy": "portfolio", "proxy": {"score": "sigeo"}},
            "portfolio trains its candidates: leave what is said of ranking",
        ),
        ({"space": "dcnv2", "strategy": "random"}, "no search space is named 'dcnv2'"),
        ({"space": "nasrec-small,nasrec-full"}, "one of blocks is searched, not nasrec-small and nasrec-full"),
        ({"portfolio": "nowhere.yaml"}, "nowhere.yaml: no such portfolio"),
    ],
)
def test_what_cannot_be_is_one_line(given: dict[str, Any], message: str, data: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message):
        recnas.search(data, tmp_path / "run", progress=False, **given)
    assert not (tmp_path / "run").exists()


def test_from_the_command_line_candidates_are_trained_by_one_process_a_core(
    searched: Path, data: Path, small: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("recnas.search.run.available_cores", lambda: 2)
    preset, run = tmp_path / "small.yaml", tmp_path / "run"
    preset.write_text(yaml.safe_dump(small))
    assert main(["search", "--data", str(data), "--run", str(run), "--preset", str(preset), "--quiet"]) == 0
    assert yaml.safe_load((run / "config.yaml").read_text())["workers"] == 2
    assert yaml.safe_load((searched / "config.yaml").read_text())["workers"] is None
    assert timeless(run) == timeless(searched)


def test_what_is_said_of_processes_counts_and_ranked_searches_have_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("recnas.search.run.available_cores", lambda: 64)
    assert on_all_cores(Settings()).workers == 16
    assert on_all_cores(Settings(workers=1)).workers == 1
    assert on_all_cores(Settings(strategy="random")).workers is None
    assert on_all_cores(Settings(ray="local")).workers is None
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert on_all_cores(Settings()).workers is None


def test_a_space_is_blocks_or_families_or_both() -> None:
    assert Settings().families[:2] == ("lr", "dnn")
    assert Settings().block_space == "nasrec-cross"
    assert Settings(space="nasrec-small").families == ()
    assert Settings(space="gdcn, nasrec-small").families == ("gdcn",)
    assert Settings(space="gdcn").block_space is None
    assert Settings(strategy="random").block_space == "nasrec-small"


def test_trees_are_candidates_and_may_be_what_is_found(data: Path, small: dict[str, Any], tmp_path: Path) -> None:
    file = tmp_path / "trees.yaml"
    save_portfolio([Member(own_candidate(name)) for name in ("lr", "lightgbm")], file)
    given = small | {"space": "lr", "with_trees": True, "budget": "3c", "portfolio": str(file)}
    recnas.search(data, tmp_path / "run", progress=False, **given)
    lines = read_lines_of(tmp_path / "run" / "history.jsonl")
    trees = [line for line in lines if "recipe" not in line["candidate"]]
    assert trees
    # They do not pause.
    assert all(line["training"]["finished"] and line["fidelity"] == 1.0 for line in trees)
    assert {model["id"] for model in results_of(tmp_path / "run")["models"]} == {"lr", "lightgbm"}
    assert results_of(tmp_path / "run")["space"] == "lr and lightgbm"


def test_trees_are_left_out_where_they_are_not_asked_for_or_cannot_be_held_against_a_limit() -> None:
    def kinds(**given: Any) -> tuple[str, ...]:
        return Settings.from_mapping(given).families

    assert "lightgbm" in kinds()
    assert "lightgbm" in kinds(limits={"max_macs": 1000})
    assert kinds(space="lr") == ("lr",)
    assert kinds(space="lr", with_trees=True) == ("lr", "lightgbm")
    assert kinds(space="lr,catboost") == ("lr", "catboost")
    assert "lightgbm" not in kinds(with_trees=False)
    assert "lightgbm" not in kinds(limits={"max_parameters": 1000})
    assert "lightgbm" not in kinds(limits={"max_latency_ms": 1.0})
    with pytest.raises(InputError, match="--with-trees is of a search that trains its candidates; random ranks them"):
        kinds(with_trees=True, strategy="random")
