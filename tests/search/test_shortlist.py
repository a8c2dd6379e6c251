"""The second look: who is measured again, and what the finalists are chosen by."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from recnas.errors import InputError
from recnas.search import run_search
from recnas.search.expression import Expression

SHORTLIST = 4


@pytest.fixture(scope="module")
def settings() -> dict[str, Any]:
    return {
        "proxy": {"score": "jacov | jacov - brief", "shortlist": SHORTLIST, "batch_size": 16, "brief_rows": 128},
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


def test_the_best_of_the_first_look_are_measured_again(finished: Path) -> None:
    history, listed = lines_of(finished / "history.jsonl"), lines_of(finished / "shortlist.jsonl")
    assert {tuple(line["proxy"]) for line in history} == {("jacov",)}
    best = sorted(history, key=lambda line: -line["score"])[:SHORTLIST]
    assert [line["id"] for line in listed] == [line["id"] for line in best]
    # Fresh weights give the same value again.
    assert [line["proxy"]["jacov"] for line in listed] == [line["score"] for line in best]
    results = json.loads((finished / "results.json").read_text())
    assert results["search"]["shortlist"] == SHORTLIST


def test_finalists_are_the_best_of_the_second_look_by_standardised_terms(finished: Path) -> None:
    listed = lines_of(finished / "shortlist.jsonl")
    scores = Expression.parse("jacov - brief").standardised_scores([line["proxy"] for line in listed])
    ranked = [line["id"] for _, line in sorted(zip(scores, listed, strict=True), key=lambda pair: -pair[0])]
    results = json.loads((finished / "results.json").read_text())
    assert [model["id"] for model in results["models"]] == ranked[:2]


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
    with pytest.raises(InputError, match=r"shortlist\.jsonl:1: candidate .* the file is not this run's"):
        run_search(data, run, progress=False, resume=True)
