"""The second look: who is measured again, and what the finalists are chosen by."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path
from statistics import NormalDist
from typing import Any

import pytest
import torch

from recnas.proxies.registry import PROXIES
from recnas.search import run_search
from recnas.util.console import Bar
from recnas.util.errors import InputError

SHORTLIST = 4


@pytest.fixture(scope="module")
def settings() -> dict[str, Any]:
    return {
        # The second look prefers what the first put last.
        "proxy": {
            "score": "jacov | - 3*jacov - short_training",
            "shortlist": SHORTLIST,
            "batch_size": 16,
            "short_training_rows": 128,
        },
        "evolution": {"population": 6, "iterations": 2, "tournament": 3, "children": 2},
        "final": {"top_k": 2, "optimization": {"learning_rate": 0.05}, "baselines": []},
    }


def lines_of(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().splitlines()]


@pytest.fixture(scope="module")
def finished(data: Path, tmp_path_factory: pytest.TempPathFactory, settings: dict) -> Path:
    run = tmp_path_factory.mktemp("runs") / "one"
    run_search(data, run, progress=False, **settings)
    return run


def test_the_first_look_tells_how_fast_it_goes_by_the_seconds_of_its_candidates(
    data: Path, tmp_path: Path, settings: dict, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[float] = []
    monkeypatch.setattr(Bar, "went", lambda bar, rate: told.append(rate))
    run_search(data, tmp_path / "run", progress=False, workers=1, **settings)
    seconds = [line["seconds"] for line in lines_of(tmp_path / "run" / "history.jsonl")]
    assert len(told) == len(seconds)
    assert told[-1] == pytest.approx(torch.get_num_threads() * len(seconds) / sum(seconds))


def test_the_best_of_the_first_look_are_measured_again(finished: Path) -> None:
    history, listed = lines_of(finished / "history.jsonl"), lines_of(finished / "shortlist.jsonl")
    assert {tuple(line["proxy"]) for line in history} == {("jacov",)}
    best = sorted(history, key=lambda line: -line["score"])[:SHORTLIST]
    assert [line["id"] for line in listed] == [line["id"] for line in best]
    # Fresh weights give the same value again.
    assert [line["proxy"]["jacov"] for line in listed] == [line["score"] for line in best]
    assert len(listed) == SHORTLIST


def test_finalists_are_the_best_of_the_second_look_by_standardised_terms(finished: Path) -> None:
    listed = lines_of(finished / "shortlist.jsonl")

    def standardised(name: str) -> list[float]:
        values = [line["proxy"][name] for line in listed]
        return [NormalDist().inv_cdf((sorted(values).index(value) + 0.5) / SHORTLIST) for value in values]

    scores = [-3 * a - b for a, b in zip(standardised("jacov"), standardised("short_training"), strict=True)]
    results = json.loads((finished / "results.json").read_text())
    assert list(results["search"]["shortlist"].values()) == pytest.approx(scores)
    ranked = [line["id"] for _, line in sorted(zip(scores, listed, strict=True), key=lambda pair: -pair[0])]
    assert [model["id"] for model in results["models"]] == ranked[:2] != [line["id"] for line in listed][:2]


def test_fresh_weights_need_no_warm_up(finished: Path) -> None:
    assert not (finished / "supernet").exists()


def test_two_workers_make_the_same_shortlist(finished: Path, data: Path, tmp_path: Path, settings: dict) -> None:
    run = tmp_path / "two"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("recnas.search.run.run_finals", lambda *arguments: {})
        run_search(data, run, progress=False, workers=2, **settings)
    for name in ("history.jsonl", "shortlist.jsonl"):
        one, two = lines_of(finished / name), lines_of(run / name)
        for line in (*one, *two):
            del line["seconds"]
        assert one == two


def test_a_line_cut_short_is_said_and_measured_again(
    finished: Path, data: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    shutil.copytree(finished, run)
    (run / "results.json").unlink()
    listed = run / "shortlist.jsonl"
    listed.write_bytes(listed.read_bytes()[:-40])
    run_search(data, run, resume=True)
    assert "shortlist.jsonl: the last line was cut short; its candidate is measured again" in capfd.readouterr().err
    ids = [line["id"] for line in lines_of(listed)]
    assert ids == [line["id"] for line in lines_of(finished / "shortlist.jsonl")]


def test_a_diverged_training_is_no_finalist_even_as_the_cheapest(data: Path, tmp_path: Path, settings: dict) -> None:
    def first_diverges(candidate: Any) -> float:
        return math.nan if candidate.arch.id in bad else 0.5

    proxy = settings["proxy"] | {"score": "parameters | parameters - short_training", "shortlist": 8}
    more = {"proxy": proxy, "evolution": settings["evolution"] | {"objectives": ["score", "macs"]}}
    bad: set[str] = set()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("recnas.search.run.run_finals", lambda *arguments: {})
        patch.setitem(PROXIES, "short_training", first_diverges)
        run_search(data, tmp_path / "all", progress=False, **(settings | more))
        cheapest = min(lines_of(tmp_path / "all" / "shortlist.jsonl"), key=lambda line: line["proxy"]["parameters"])
        bad.add(cheapest["id"])
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(PROXIES, "short_training", first_diverges)
        results = run_search(data, tmp_path / "run", progress=False, **(settings | more))
    assert results["search"]["shortlist"][cheapest["id"]] is None
    assert cheapest["id"] not in [model["id"] for model in results["models"]]


@pytest.mark.parametrize("score", ["none | short_training", "parameters | 0*zico - short_training"])
def test_a_shortlist_is_no_longer_than_the_history(data: Path, tmp_path: Path, settings: dict, score: str) -> None:
    proxy = settings["proxy"] | {"score": score, "shortlist": 64}
    results = run_search(data, tmp_path / "run", progress=False, **(settings | {"proxy": proxy}))
    assert len(results["search"]["shortlist"]) == len(lines_of(tmp_path / "run" / "history.jsonl")) == 10


def test_a_shortlist_of_another_run_is_refused(finished: Path, data: Path, tmp_path: Path, settings: dict) -> None:
    run = tmp_path / "run"

    def stop(*arguments: Any) -> None:
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("recnas.search.run.run_finals", stop)
        with pytest.raises(KeyboardInterrupt):
            run_search(data, run, progress=False, **settings)
    lines = (run / "shortlist.jsonl").read_text().splitlines(keepends=True)
    (run / "shortlist.jsonl").write_text("".join(lines[::-1]))
    with pytest.raises(InputError, match=r"shortlist\.jsonl:1: candidate .* remove this line and those after it"):
        run_search(data, run, progress=False, resume=True)
