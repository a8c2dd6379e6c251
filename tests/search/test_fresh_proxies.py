"""Proxies in a search that trains: measured once, kept in the run's folder, and the same whoever works."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import recnas
from recnas.candidates.defaults import own_candidate
from recnas.candidates.portfolio import Member, save_portfolio
from recnas.report import write_report
from recnas.runs.proxy_values import read_proxy_values
from recnas.runs.settings import Settings
from recnas.search import fresh_proxies
from recnas.search.fresh_proxies import FreshProxies
from recnas.strategies import earned_proxies, portfolio
from recnas.util.errors import InputError
from tests.searches import read_lines_of
from tests.stopping import Stopped, stop_at


def earn_easily(patch: pytest.MonkeyPatch) -> None:
    """Every proxy earns its place when three networks have ended, and a surrogate is fitted to four trainings."""
    patch.setattr(earned_proxies, "LOOKS", (3, 5))
    patch.setattr(earned_proxies, "ERROR", 2.0)
    patch.setattr(portfolio, "BEFORE_SURROGATE", 4)


@pytest.fixture(autouse=True)
def easily_earned(monkeypatch: pytest.MonkeyPatch) -> None:
    earn_easily(monkeypatch)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    file = tmp_path_factory.mktemp("portfolio") / "small.yaml"
    save_portfolio([Member(own_candidate("dnn"))], file)
    return {
        "portfolio": str(file),
        "space": "lr,dnn",
        "budget": "9c",
        "seed": 1,
        "checkpoint_seconds": 0.0,
        "final": {"epochs": 1, "evaluations": 1},
    }


@pytest.fixture(scope="module")
def searched(data: Path, small: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        earn_easily(patch)
        run = tmp_path_factory.mktemp("runs") / "searched"
        recnas.search(data, run, progress=False, **small)
    return run


def timeless(run: Path) -> tuple[list[Any], list[Any]]:
    """What was trained and what it came to, and proxies without times."""
    lines = [
        (line["id"], line["fidelity"], line["source"], line["score"]) for line in read_lines_of(run / "history.jsonl")
    ]
    proxies = read_lines_of(run / "proxies.jsonl")
    for line in proxies:
        line.pop("seconds", None)
    return lines, proxies


def test_proxies_of_what_ended_and_of_what_was_offered_are_in_the_run_and_in_its_report(searched: Path) -> None:
    lines = read_lines_of(searched / "proxies.jsonl")
    used = [line for line in lines if "used" in line]
    assert used[0]["since"] >= 4
    trained = {line["id"] for line in read_lines_of(searched / "history.jsonl")}
    measured = {line["id"] for line in lines if "id" in line}
    assert measured & trained
    assert measured - trained
    held, cut = read_proxy_values(searched)
    assert cut is None
    whole = [values for name, values in held.values.items() if name in trained]
    assert set(whole[0]) == set(FreshProxies.names)
    assert all(math.isfinite(values["zico"]) for values in whole if "zico" in values)
    page = write_report(searched).read_text()
    assert "<h3>Proxies</h3>" in page
    assert f"from candidate {used[0]['since']} on" in page


def test_the_same_seed_gives_the_same_with_two_workers(
    searched: Path, data: Path, small: dict[str, Any], tmp_path: Path
) -> None:
    recnas.search(data, tmp_path / "run", progress=False, **small, workers=2)
    assert timeless(tmp_path / "run") == timeless(searched)


@pytest.mark.parametrize(
    ("place", "count"), [("recnas.search.fresh_proxies.FreshProxies._write", 9), ("recnas.runs.history.History.add", 8)]
)
def test_a_search_that_was_killed_ends_as_one_that_was_left_alone(
    place: str, count: int, searched: Path, data: Path, small: dict[str, Any], tmp_path: Path
) -> None:
    run = tmp_path / "run"
    with pytest.MonkeyPatch.context() as patch:
        stop_at(patch, place, count)
        with pytest.raises(Stopped):
            recnas.search(data, run, progress=False, **small)
    with (run / "proxies.jsonl").open("a") as file:
        file.write('{"id": "cut')
    recnas.search(data, run, progress=False, resume=True, **small)
    assert timeless(run) == timeless(searched)


@pytest.fixture
def proxies(data: Path, tmp_path: Path) -> FreshProxies:
    settings = Settings(data=str(data), run=str(tmp_path), space="lr,dnn", budget="10m")
    return FreshProxies(settings, lambda candidate: 7, print)


def test_an_answer_is_kept_and_not_found_out_again(
    proxies: FreshProxies, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    candidate = own_candidate("dnn")
    first = proxies.values(candidate, ["zico", "macs"])
    assert first["macs"] == 7
    more = proxies.values(candidate, ["zico", "grad_norm"])
    assert more["zico"] == first["zico"]
    lines = read_lines_of(tmp_path / "proxies.jsonl")
    assert [set(line["values"]) for line in lines] == [{"zico", "macs"}, {"grad_norm"}]
    monkeypatch.setattr(fresh_proxies, "measure_fresh", None)
    again = FreshProxies(proxies._settings, lambda candidate: 8, print)
    assert again.values(candidate, ["macs", "zico", "grad_norm"]) == {**first, **more}


def test_with_a_budget_in_time_little_of_it_goes_into_proxies(proxies: FreshProxies, tmp_path: Path) -> None:
    (tmp_path / "proxies.jsonl").write_text(json.dumps({"id": "dnn-1", "values": {}, "seconds": 12.1}) + "\n")
    assert math.isnan(proxies.values(own_candidate("dnn"), ["zico"])["zico"])
    # That, too, is an answer.
    assert read_lines_of(tmp_path / "proxies.jsonl")[-1]["values"] == {"zico": None}
    more = FreshProxies(replace(proxies._settings, budget="20m"), lambda candidate: 7, print)
    assert math.isnan(more.values(own_candidate("dnn"), ["zico"])["zico"])
    assert math.isfinite(more.values(own_candidate("dnn"), ["grad_norm"])["grad_norm"])


def test_a_damaged_line_is_told(proxies: FreshProxies, tmp_path: Path) -> None:
    (tmp_path / "proxies.jsonl").write_text('{"id": 3}\n')
    with pytest.raises(InputError, match=r"proxies\.jsonl:1: damaged"):
        proxies.values(own_candidate("dnn"), ["zico"])
