"""Whole searches by the strategies that train in rungs, and by NSGA-II: their runs are those of any search."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import recnas
from recnas.candidates.candidate import Candidate
from recnas.candidates.defaults import own_candidate
from recnas.candidates.portfolio import Member, save_portfolio
from recnas.report import write_report
from recnas.runs.status import read_status
from recnas.strategies.pareto import first_front
from recnas.strategies.rung_search import FIDELITIES
from recnas.util.errors import InputError
from tests.searches import read_lines_of
from tests.stopping import Stopped, stop_at

IN_RUNGS = ("successive-halving", "hyperband", "asha", "priorband")
OBJECTIVES = {"evolution": {"objectives": ["score", "macs"]}}


@pytest.fixture
def small(tmp_path: Path) -> dict[str, Any]:
    file = tmp_path / "portfolio.yaml"
    save_portfolio([Member(own_candidate(name)) for name in ("lr", "dnn")], file)
    return {
        "portfolio": str(file),
        "space": "lr,dnn",
        "budget": "6c",
        "seed": 3,
        "checkpoint_seconds": 0.0,
        "final": {"epochs": 3, "evaluations": 1},
    }


def told(run: Path) -> list[tuple[str, float, float]]:
    """What was trained how far, and what came of it."""
    return [(line["id"], line["fidelity"], line["score"]) for line in read_lines_of(run / "history.jsonl")]


@pytest.mark.parametrize("name", [*IN_RUNGS, "nsga2"])
def test_a_search_by_it_is_a_run_like_any_other_and_ends_the_same_after_a_kill(
    name: str, data: Path, small: dict[str, Any], tmp_path: Path
) -> None:
    small |= {"strategy": name} | (OBJECTIVES if name == "nsga2" else {})
    whole, run = tmp_path / "whole", tmp_path / "run"
    recnas.search(data, whole, progress=False, **small)
    assert len({id_ for id_, _, _ in told(whole)}) == 6
    results = json.loads((whole / "results.json").read_text())
    ended = {line["id"]: -line["score"] for line in read_lines_of(whole / "history.jsonl") if line["fidelity"] == 1}
    best = next(model for model in results["models"] if model["id"] == results["best"])
    assert best["validation"]["log_loss"] == min(ended.values())
    assert best["test"] is not None
    assert read_status(whole).state == "finished"
    assert "<html" in write_report(whole).read_text()
    if name in IN_RUNGS:
        assert {fidelity for _, fidelity, _ in told(whole)} <= set(FIDELITIES)
        assert min(fidelity for _, fidelity, _ in told(whole)) == FIDELITIES[0]
    with pytest.MonkeyPatch.context() as patch:
        stop_at(patch, "recnas.runs.history.History.add", 3)
        with pytest.raises(Stopped):
            recnas.search(data, run, progress=False, **small)
    assert len(told(run)) == 3
    recnas.search(data, run, progress=False, resume=True, **small)
    assert told(run) == told(whole)
    recnas.search(data, run, progress=False, resume=True, budget="+2c")
    assert told(run)[: len(told(whole))] == told(whole)
    assert len({id_ for id_, _, _ in told(run)}) == 8


@pytest.mark.parametrize("name", [*IN_RUNGS, "nsga2"])
def test_a_budget_in_seconds_ends_with_a_model(name: str, data: Path, small: dict[str, Any], tmp_path: Path) -> None:
    run = tmp_path / "run"
    recnas.search(data, run, progress=False, **small | {"budget": "3s", "strategy": name})
    assert any(line["training"]["finished"] for line in read_lines_of(run / "history.jsonl"))
    assert json.loads((run / "results.json").read_text())["best"] in ("lr", "dnn")


def test_a_front_of_log_loss_and_cost_has_what_nothing_beats_in_both(
    data: Path, small: dict[str, Any], tmp_path: Path
) -> None:
    run = tmp_path / "run"
    recnas.search(data, run, progress=False, **small | OBJECTIVES | {"strategy": "nsga2", "budget": "8c"})
    results = json.loads((run / "results.json").read_text())
    points = {model["id"]: (model["validation"]["log_loss"], model["macs"]) for model in results["models"]}
    front = {
        name
        for name, point in points.items()
        if not any(
            other != point and all(a <= b for a, b in zip(other, point, strict=True)) for other in points.values()
        )
    }
    assert set(results["front"]) == front
    assert results["front"][0] == results["best"]


def test_what_is_on_the_front_keeps_its_weights_though_others_have_a_lower_log_loss(
    data: Path, small: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("recnas.search.keeping.LIBRARY", 1)
    monkeypatch.setattr("recnas.search.keeping.OF_A_KIND", 1)
    run = tmp_path / "run"
    given = {"strategy": "nsga2", "space": "nasrec-small", "budget": "6c"}
    recnas.search(data, run, progress=False, **small | OBJECTIVES | given)
    results = json.loads((run / "results.json").read_text())
    lines = [line for line in read_lines_of(run / "history.jsonl") if line["training"]["finished"]]
    arch = {line["id"]: Candidate.from_json(line["candidate"]).network for line in lines}
    models = {model["candidate"]: model for model in results["models"]}
    points = {line["id"]: (-line["score"], models[line["id"]]["macs"]) for line in lines}
    front = [list(points)[place] for place in first_front(list(points.values()))]
    assert len(front) > 1
    assert set(results["front"]) == {arch[name].id for name in front}
    for name in front:
        assert (run / "models" / name / "weights.safetensors").exists()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"strategy": "hyperband"} | OBJECTIVES, "is not what hyperband looks for; --strategy nsga2 does"),
        ({"strategy": "nsga2", "space": "dnn,lightgbm"} | OBJECTIVES, "lightgbm is trees, which multiply nothing"),
        ({"strategy": "nsga2", "with_trees": True} | OBJECTIVES, "lightgbm is trees, which multiply nothing"),
        ({"strategy": "nsga2", "evolution": {"population": 9}}, "nsga2 trains its candidates: leave what is said of"),
    ],
)
def test_objectives_that_do_not_fit_the_strategy_are_refused(
    data: Path, small: dict[str, Any], tmp_path: Path, given: dict[str, Any], said: str
) -> None:
    with pytest.raises(InputError, match=said) as refused:
        recnas.search(data, tmp_path / "run", progress=False, **small | given)
    assert "\n" not in str(refused.value)
    assert not (tmp_path / "run").exists()
