"""Portfolios learned from runs."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from recnas.candidates.candidate import Candidate
from recnas.candidates.defaults import own_candidate
from recnas.candidates.evaluation import Epoch, Evaluation, Quality, Result, Training
from recnas.candidates.portfolio import load_portfolio
from recnas.cli import main
from recnas.runs.portfolios import learn_portfolio
from recnas.util.errors import InputError


def write_run(run: Path, data: str, losses: dict[str, float], crosses: tuple[str, ...] = ()) -> Path:
    """What a run of a data set holds of families that it trained, each with its log loss."""
    run.mkdir()
    (run / "config.yaml").write_text(f"version: 0.3.0\ndata: data/{data}\n")
    lines = []
    for name, loss in losses.items():
        own = own_candidate(name)
        candidate = replace(own, inputs=replace(own.inputs, crosses=crosses))
        epoch = Epoch(0.003, 1, 100, 0.5, Quality(loss, 0.7), 1.0)
        result = Result.of_training(Evaluation(candidate, 1.0), Training((epoch,), True, None, 1.0, 10))
        lines.append(json.dumps({"stage": "search", **result.to_json()}) + "\n")
    (run / "history.jsonl").write_text("".join(lines))
    return run


@pytest.fixture
def runs(tmp_path: Path) -> list[Path]:
    return [
        write_run(tmp_path / "a", "first", {"dnn": 0.40, "gdcn": 0.41, "lr": 0.50, "dlrm": 0.405}),
        write_run(tmp_path / "b", "second", {"dnn": 0.25, "gdcn": 0.20, "lr": 0.30, "dlrm": 0.205}, ("x:y",)),
        write_run(tmp_path / "c", "third", {"dnn": 0.60, "gdcn": 0.61, "lr": 0.55, "dlrm": 0.62}),
    ]


def names(members: list[Candidate]) -> list[str]:
    """Of the networks."""
    return [candidate.network.name for candidate in members if candidate.network.name != "lightgbm"]


def test_next_is_what_helps_most_on_all_data_sets_together(runs: list[Path]) -> None:
    learned = learn_portfolio(runs, 3)
    # The second best everywhere but on the third, of which the best comes next.
    assert names([member.candidate for member in learned.members])[:2] == ["dlrm", "lr"]
    assert learned.best == {"first": 0.40, "second": 0.20, "third": 0.55}
    assert not any(member.candidate.inputs.crosses for member in learned.members)
    assert learned.losses["first"].keys() == learned.losses["second"].keys()


def test_what_takes_ten_times_as_long_comes_later_and_students_do_not_count(tmp_path: Path) -> None:
    run = write_run(tmp_path / "a", "first", {"dnn": 0.402, "gdcn": 0.40, "lr": 0.45, "fcn": 0.46, "dlrm": 0.39})
    lines = [json.loads(line) for line in (run / "history.jsonl").read_text().splitlines()]
    lines[1]["training"]["seconds"] = 10.0
    lines[4]["candidate"]["recipe"]["soft_labels"] = 0.7
    (run / "history.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert names([member.candidate for member in learn_portfolio([run], 9).members]) == ["dnn", "gdcn", "lr", "fcn"]


def test_trees_are_tried_first_and_once_more_without_joint_ids(runs: list[Path]) -> None:
    for size, places in ((4, (0, 3)), (1, (0, 2))):
        members = learn_portfolio(runs, size).members
        trees = [place for place, member in enumerate(members) if member.candidate.network.name == "lightgbm"]
        assert tuple(trees) == places
        assert [members[place].joint_ids for place in places] == [None, 0]


def test_what_it_is_worth_is_told_by_leaving_a_data_set_out(runs: list[Path]) -> None:
    left_out = learn_portfolio(runs, 2).left_out
    assert left_out["first"] is not None
    assert all(0 <= regret <= 1 for regret in left_out.values())
    assert learn_portfolio(runs[:1], 2).left_out == {}


def test_runs_of_one_data_set_count_once(runs: list[Path], tmp_path: Path) -> None:
    again = write_run(tmp_path / "d", "first", {"dnn": 0.39})
    learned = learn_portfolio([*runs, again], 4)
    assert len(learned.losses) == 3
    assert learned.best["first"] == 0.39


def test_the_command_writes_what_a_search_reads(
    runs: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "mine.yaml"
    assert main(["portfolio", *map(str, runs), "--output", str(file), "--size", "2"]) == 0
    printed = capsys.readouterr().out
    assert "dlrm" in printed
    assert "third" in printed
    assert names([member.candidate for member in load_portfolio(file)]) == ["dlrm", "lr"]


def test_runs_without_trainings_are_one_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no candidate was trained to its end there"):
        learn_portfolio([write_run(tmp_path / "none", "x", {})], 3)
    with pytest.raises(InputError):
        learn_portfolio([tmp_path / "nowhere"], 3)


@pytest.mark.parametrize(
    ("candidate", "message"),
    [
        (None, "no 'candidate'"),
        (["dnn"], "candidate: input should be a valid dictionary"),
        ({"network": {}}, "a candidate has a network and a recipe"),
        ({"network": {"kind": "baseline", "version": 2, "name": 1}, "recipe": {}}, "learning_rate is missing|recipe"),
    ],
)
def test_a_damaged_candidate_is_one_line_that_says_where(tmp_path: Path, candidate: object, message: str) -> None:
    run = write_run(tmp_path / "run", "x", {"dnn": 0.4, "lr": 0.5})
    lines = [json.loads(line) for line in (run / "history.jsonl").read_text().splitlines()]
    lines[1].pop("candidate")
    if candidate is not None:
        lines[1]["candidate"] = candidate
    (run / "history.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    with pytest.raises(InputError, match=rf"history\.jsonl:2: .*({message})") as error:
        learn_portfolio([run], 3)
    assert "\n" not in str(error.value)
