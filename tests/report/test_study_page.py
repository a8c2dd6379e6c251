"""The report of a study, made of its `results.json` alone."""

from __future__ import annotations

import json
import math
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from recnas.report import study_figures as figures
from recnas.report import write_report
from recnas.study.reader import read_study
from recnas.study.text import to_text, warmup_in_words
from recnas.util.errors import InputError
from tests.report.test_report_page import Page

WARMUPS = (0.0, 0.01)
PROXIES = ("zico", "fr", "loss", "parameters")


def agreement(ranking: str, warmup: float | None, tau: float | None, seconds: float = 0.5) -> dict[str, Any]:
    bounds = {"tau_low": None, "tau_high": None} if tau is None else {"tau_low": tau - 0.2, "tau_high": tau + 0.2}
    regret = {"regret_1": 0.01, "regret_5": 0.002, "regret_15": None}
    return (
        {"ranking": ranking, "warmup": warmup, "tau": tau, "rho": tau, "ranked": 12, "seconds": seconds}
        | bounds
        | regret
    )


def made_up() -> dict[str, Any]:
    """What a study of twelve architectures found: FR ranks well after the warm-up, ZiCo the wrong way round."""
    rng = random.Random(0)
    candidates = []
    for place in range(12):
        test = [0.57 + 0.002 * place + 0.001 * rng.random() for _ in range(2)]
        values = {f"{amount:g}": {name: float(place) for name in PROXIES} for amount in WARMUPS}
        values["0.01"]["fr"] = None if place == 11 else -float(place)
        loss = sum(test) / 2
        candidates.append({"id": f"c{place}", "loss": loss, "test": test, "parameters": 1000, "values": values})
    return {
        "run": "runs/study",
        "data": {"name": "movielens", "rows": {"train": 80_000, "validation": 10_000, "test": 10_000}},
        "space": "nasrec-small",
        "diverged": ["c12"],
        "seeds": 2,
        "noise_ceiling": {"value": 0.68, "low": 0.55, "high": 0.8},
        "loss": {"best": 0.57, "median": 0.58, "worst": 0.6, "deviation": 0.01, "noise": 0.001},
        "random_regret": [0.012, 0.004, None],
        "training_seconds": 61.0,
        "agreement": [
            agreement("zico", 0.0, -0.5),
            agreement("fr", 0.0, 0.1),
            agreement("loss", 0.0, None),
            agreement("parameters", None, -0.1, seconds=0.0002),
            agreement("sigeo", 0.0, -0.4),
            agreement("fr", 0.01, 0.6),
            agreement("sigeo", 0.01, -0.2),
            agreement("training 0.05", None, 0.65, seconds=3.0),
        ],
        "candidates": candidates,
    }


def write_study(run: Path, results: dict[str, Any] | None) -> Path:
    run.mkdir(exist_ok=True)
    (run / "config.yaml").write_text("version: 0.1.0\nwarmups: [0, 0.01]\n")
    if results is not None:
        (run / "results.json").write_text(json.dumps(results))
    return run


def text_of(run: Path) -> str:
    return Page(write_report(run).read_text()).text


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Page:
    return Page(write_report(write_study(tmp_path_factory.mktemp("runs") / "study", made_up())).read_text())


def test_the_report_says_what_ranks_best_how_firm_the_truth_is_and_what_a_search_would_lose(page: Page) -> None:
    for part in (
        "movielens, nasrec-small",
        "The best ranking is fr with 1 % warm-up: τ +0.60 (+0.40 … +0.80)",
        "agree to +0.68",
        "SiGeo reaches −0.20 (−0.40 … +0.00) at its best, with 1 % warm-up.",
        "architectures12, 1 more diverged",
        "noise ceilingτ +0.68 (+0.55 … +0.80)",
        "0.01200.0040–",
        "+0.65+0.45 … +0.85",
        "A training of each of these diverged: c12.",
    ):
        assert part in page.text
    assert page.fetched == []


def test_each_warm_up_has_a_panel_in_which_what_needs_none_is_there_too(tmp_path: Path) -> None:
    figure = figures.agreement_figure(read_study(write_study(tmp_path / "run", made_up())))
    shown: dict[str, set[str]] = {}
    for trace in figure.data:
        shown.setdefault(trace.xaxis, set()).update(trace.y)
    everywhere = {"parameters", "5 % of the training"}
    assert shown == {"x": {"zico", "fr", "sigeo", *everywhere}, "x2": {"fr", "sigeo", *everywhere}}
    colors = {(name, trace.xaxis): trace.marker.color for trace in figure.data for name in trace.y}
    assert colors["fr", "x2"] == figures.VERDICTS["agrees"][1]
    assert colors["fr", "x"] == figures.VERDICTS["open"][1]
    assert colors["zico", "x"] == figures.VERDICTS["opposes"][1]
    # From −0.2 - 0.2 to 0: a bound of 0 is one.
    (sigeo,) = [trace for trace in figure.data if trace.xaxis == "x2" and "sigeo" in trace.y]
    bar = sigeo.y.index("sigeo")
    assert (sigeo.error_x.array[bar], sigeo.error_x.arrayminus[bar]) == pytest.approx((0.2, 0.2))
    # The highest τ is on top.
    assert figure.layout.yaxis.categoryarray[-2:] == ("fr", "5 % of the training")


def test_a_ranking_is_drawn_in_its_order_with_what_it_does_not_score_last(tmp_path: Path) -> None:
    study = read_study(write_study(tmp_path / "run", made_up()))
    (fr,) = [item for item in study.rankings if (item.name, item.warmup) == ("fr", 0.01)]
    assert study.scores(fr) == [*(-float(place) for place in range(11)), -math.inf]
    (trace,) = figures.truth_figure(study, [fr]).data
    assert [point[0] for point in trace.customdata] == [f"c{place}" for place in range(12)]
    assert list(trace.y) == study.losses


def test_a_few_architectures_far_worse_than_the_others_are_counted_not_drawn(tmp_path: Path) -> None:
    results = made_up()
    results["candidates"][3]["loss"] = 3.0
    assert "1 architecture lies above the range shown" in text_of(write_study(tmp_path / "run", results))


def test_a_study_of_one_seed_says_that_nobody_knows_the_noise(tmp_path: Path) -> None:
    results = made_up() | {"noise_ceiling": None, "seeds": 1}
    results["loss"]["noise"] = None
    for row in results["candidates"]:
        row["test"] = row["test"][:1]
    text = text_of(write_study(tmp_path / "run", results))
    assert "Each architecture was trained once (--seeds 1)" in text
    assert "noise ceiling" not in text.lower()


def test_a_study_without_any_order_is_said_to_have_none(tmp_path: Path) -> None:
    results = made_up()
    results["agreement"] = [agreement("loss", 0.0, None)]
    text = text_of(write_study(tmp_path / "run", results))
    assert "No proxy ranks these architectures" in text
    assert "No ranking has an order to show" in text


@pytest.mark.parametrize("count", [4, 9])
def test_of_few_architectures_nothing_is_claimed(tmp_path: Path, count: int) -> None:
    results = made_up()
    del results["candidates"][count:]
    run = write_study(tmp_path / "run", results)
    assert {item.verdict for item in read_study(run).rankings} == {"few"}
    text = text_of(run)
    assert f"{count} architectures are too few to tell rankings from chance, whatever their intervals; 10" in text
    assert "wrong way round" not in text
    assert f"{count} architectures are too few" in to_text(results)
    assert "too few" not in to_text(made_up())


def test_times_of_trainings_that_were_not_done_alike_are_told_apart(tmp_path: Path) -> None:
    times = [
        {"threads": 2, "beside": 1, "trainings": 8, "seconds": 5.0},
        {"threads": 1, "beside": 2, "trainings": 4, "seconds": 10.0},
    ]
    text = " ".join(to_text(made_up() | {"training_times": times}).split())
    assert "5 s (8, 1 side by side with 2 threads each); 10 s (4, 2 side by side with 1 thread each)" in " ".join(
        text.split()
    )
    assert "61 s a training" in to_text(made_up())


def test_an_unfinished_or_damaged_study_says_so_in_one_line(tmp_path: Path) -> None:
    run = write_study(tmp_path / "run", None)
    with pytest.raises(InputError, match="this study has not ended, so there is no report yet; `recnas status"):
        write_report(run)
    results = made_up()
    del results["agreement"][2]["tau_low"]
    with pytest.raises(
        InputError, match=r"results\.json: agreement\[2\]: no 'tau_low'; remove it, and .* --resume makes"
    ):
        write_report(write_study(run, results))
    assert not (run / "report.html").exists()


def test_names_from_a_study_cannot_become_markup(tmp_path: Path) -> None:
    results = made_up()
    results["data"]["name"] = "<script>alert(1)</script>"
    assert "<script>alert(1)" not in write_report(write_study(tmp_path / "run", results)).read_text()


def test_amounts_of_warm_up_are_told_in_words() -> None:
    assert [warmup_in_words(amount) for amount in (0, 0.01, 1, 3)] == [
        "no warm-up",
        "1 % warm-up",
        "100 % warm-up",
        "3 epochs of warm-up",
    ]


def test_the_report_of_a_study_needs_no_torch() -> None:
    code = "import sys, recnas.report.page, recnas.report.study; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
