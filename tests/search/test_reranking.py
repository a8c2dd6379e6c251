"""Re-ranking: who is evaluated again, and what the finalists are chosen by."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path
from statistics import NormalDist
from typing import Any

import pytest
import torch

from recnas.proxies.declaration import Proxy
from recnas.proxies.registry import PROXIES
from recnas.search import run_search
from recnas.util.console import Bar
from recnas.util.errors import InputError
from tests.searches import explore, history_of, stop_before, without_seconds

RERANKED = 4


@pytest.fixture(scope="module")
def settings() -> dict[str, Any]:
    return {
        # The second stage prefers what the first put last.
        "proxy": {
            "score": "jacov | - 3*jacov - short_training",
            "rerank": RERANKED,
            "batch_size": 16,
            "short_training_rows": 128,
        },
        "evolution": {"population": 6, "iterations": 2, "tournament": 3, "children": 2},
        "final": {"top_k": 2, "optimization": {"learning_rate": 0.05}, "baselines": []},
    }


@pytest.fixture(scope="module")
def finished(data: Path, tmp_path_factory: pytest.TempPathFactory, settings: dict) -> Path:
    run = tmp_path_factory.mktemp("runs") / "one"
    run_search(data, run, progress=False, **settings)
    return run


def test_the_first_stage_tells_how_fast_it_goes_by_the_seconds_of_its_candidates(
    data: Path, tmp_path: Path, settings: dict, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[float] = []
    monkeypatch.setattr(Bar, "went", lambda bar, rate: told.append(rate))
    run_search(data, tmp_path / "run", progress=False, workers=1, **settings)
    seconds = [line["seconds"] for line in history_of(tmp_path / "run")]
    assert len(told) == len(seconds)
    assert told[-1] == pytest.approx(torch.get_num_threads() * len(seconds) / sum(seconds))


def test_the_best_of_the_first_stage_are_measured_again(finished: Path) -> None:
    history, reranked = history_of(finished), history_of(finished, "re-ranking")
    assert {tuple(line["proxies"]) for line in history} == {("jacov",)}
    best = sorted(history, key=lambda line: -line["score"])[:RERANKED]
    assert [line["id"] for line in reranked] == [line["id"] for line in best]
    # Fresh weights give the same value again.
    assert [line["proxies"]["jacov"] for line in reranked] == [line["score"] for line in best]
    assert len(reranked) == RERANKED
    # What they come to depends on all of them.
    assert {line["score"] for line in reranked} == {None}


def test_finalists_are_the_best_of_the_second_stage_by_standardised_terms(finished: Path) -> None:
    reranked = history_of(finished, "re-ranking")

    def standardised(name: str) -> list[float]:
        values = [line["proxies"][name] for line in reranked]
        return [NormalDist().inv_cdf((sorted(values).index(value) + 0.5) / RERANKED) for value in values]

    scores = [-3 * a - b for a, b in zip(standardised("jacov"), standardised("short_training"), strict=True)]
    results = json.loads((finished / "results.json").read_text())
    assert list(results["search"]["reranked"].values()) == pytest.approx(scores)
    ranked = [line["id"] for _, line in sorted(zip(scores, reranked, strict=True), key=lambda pair: -pair[0])]
    assert [model["id"] for model in results["models"]] == ranked[:2] != [line["id"] for line in reranked][:2]


def test_fresh_weights_need_no_warm_up(finished: Path) -> None:
    assert not (finished / "supernet").exists()


def test_two_workers_re_rank_alike(finished: Path, data: Path, tmp_path: Path, settings: dict) -> None:
    run = tmp_path / "two"
    explore(data, run, workers=2, **settings)
    for stage in ("search", "re-ranking"):
        assert without_seconds(history_of(run, stage)) == without_seconds(history_of(finished, stage)) != []


def test_a_line_cut_short_is_said_and_measured_again(
    finished: Path, data: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    shutil.copytree(finished, run)
    stop_before(run, "final training")
    history = run / "history.jsonl"
    history.write_bytes(history.read_bytes()[:-40])
    run_search(data, run, resume=True)
    assert "history.jsonl: the last line was cut short; its candidate is evaluated again" in capfd.readouterr().err
    ids = [line["id"] for line in history_of(run, "re-ranking")]
    assert ids == [line["id"] for line in history_of(finished, "re-ranking")]


def test_a_diverged_training_is_no_finalist_even_as_the_cheapest(data: Path, tmp_path: Path, settings: dict) -> None:
    def first_diverges(candidate: Any) -> float:
        return math.nan if candidate.arch.id in bad else 0.5

    proxy = settings["proxy"] | {"score": "parameters | parameters - short_training", "rerank": 8}
    more = {"proxy": proxy, "evolution": settings["evolution"] | {"objectives": ["score", "macs"]}}
    bad: set[str] = set()
    stub = Proxy(first_diverges, PROXIES["short_training"].declaration)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(PROXIES, "short_training", stub)
        explore(data, tmp_path / "all", **(settings | more))
        reranked = history_of(tmp_path / "all", "re-ranking")
        cheapest = min(reranked, key=lambda line: line["proxies"]["parameters"])
        bad.add(cheapest["id"])
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(PROXIES, "short_training", stub)
        results = run_search(data, tmp_path / "run", progress=False, **(settings | more))
    assert results["search"]["reranked"][cheapest["id"]] is None
    assert cheapest["id"] not in [model["id"] for model in results["models"]]


@pytest.mark.slow
@pytest.mark.parametrize("score", ["none | short_training", "parameters | 0*zico - short_training"])
def test_no_more_are_re_ranked_than_there_are(data: Path, tmp_path: Path, settings: dict, score: str) -> None:
    proxy = settings["proxy"] | {"score": score, "rerank": 64}
    results = run_search(data, tmp_path / "run", progress=False, **(settings | {"proxy": proxy}))
    assert len(results["search"]["reranked"]) == len(history_of(tmp_path / "run")) == 10


def test_a_re_ranking_of_another_run_is_refused(finished: Path, data: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(finished, run)
    stop_before(run, "final training")
    lines = (run / "history.jsonl").read_text().splitlines(keepends=True)
    (run / "history.jsonl").write_text("".join([*lines[:-RERANKED], *lines[: -RERANKED - 1 : -1]]))
    first = len(lines) - RERANKED + 1
    with pytest.raises(
        InputError, match=rf"history\.jsonl:{first}: re-ranking, .* asks for .* remove this line and those after it"
    ):
        run_search(data, run, progress=False, resume=True)
