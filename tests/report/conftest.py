"""A made-up run folder, complete and of every kind of trouble."""

from __future__ import annotations

import json
import math
import random
from pathlib import Path
from typing import Any

import pytest
import yaml

from recnas.candidates.candidate import Candidate
from recnas.candidates.evaluation import Evaluation, Result
from recnas.candidates.network import BASELINE, SEARCHED, Baseline, Network, kind_of
from recnas.candidates.recipe import Optimization, Recipe
from recnas.report import write_report
from recnas.runs.models import ModelFolder
from recnas.space import SearchSpace
from tests.old_layout import as_version_0_1

DIVERGED = 3
"""The finalist whose training diverges."""
RATES = (0.05, 0.1)
"""The learning rates that each model is trained with."""
EPOCHS = 3

DATA = {
    "rows": {"train": 80_000, "validation": 10_000, "test": 10_000},
    "click_rate": {"train": 0.5537, "validation": 0.5538, "test": 0.5539},
    "dense": [
        {
            "name": "age",
            "transform": "standardize",
            "minimum": -2.25,
            "mean": -0.0012,
            "maximum": 3.46,
            "deviation": 1.0,
            "missing": 0.031,
        }
    ],
    "sparse": [
        {
            "name": "occupation",
            "distinct": 1021,
            "missing": 0.127,
            "table_rows": 944,
            "collisions": 0.424,
            "most_frequent": [["student", 0.22], ["other", 0.107]],
        }
    ],
}
"""What a search found in its data set."""


def write_lines(file: Path, rows: list[dict]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))


def recipe_at(rate: float) -> Recipe:
    """How a made-up run's models are trained."""
    return Recipe(Optimization(rate, 512), EPOCHS)


def make_run(folder: Path, space: str = "nasrec-small", seed: int = 0, initial: int = 16, iterations: int = 4) -> Path:
    """Writes a complete run: warm-up, search, five finalists of which one diverged, and DLRM."""
    rng = random.Random(seed)
    folder.mkdir(parents=True)
    settings = {"version": "0.2.0", "seed": seed, "space": space, "data": "data/movielens", "search": {"warmup": 0.01}}
    (folder / "config.yaml").write_text(yaml.safe_dump(settings))
    (folder / "data.json").write_text(json.dumps(DATA))
    explored = _explored(SearchSpace.named(space), rng, initial, iterations)
    history = [{"stage": "search", **result.to_json()} for result in explored]
    _write_warmup(folder / "supernet", rng)
    # Mutation may give the same network twice.
    scored = {result.candidate.network_id: result for result in explored}
    finalists = [
        result.candidate.network
        for result in sorted(scored.values(), key=lambda result: result.score, reverse=True)[:5]
    ]
    models = []
    for place, network in enumerate([*finalists, Baseline("dlrm")]):
        model, lines = _model(folder, network, rng, diverged=place == DIVERGED)
        models.append(model)
        history += lines
    write_lines(folder / "history.jsonl", history)
    trained = [model for model in models if model["validation"] and model["kind"] == SEARCHED]
    best = min(trained, key=lambda model: model["validation"]["log_loss"])["id"]
    rows = {"train": 80_000, "validation": 10_000, "test": 10_000}
    data = {"path": "data/movielens", "name": "movielens", "rows": rows, "positive_rate": 0.5537}
    search = {"candidates": len(explored), "reranked": {}, "seconds": 205.0, "warmup_rows": 800}
    results = {"best": best, "best_searched": best, "front": [best], "data": data, "space": space, "models": models}
    (folder / "results.json").write_text(json.dumps(results | {"search": search}))
    next(arch for arch in finalists if arch.id == best).canonical().save(folder / "architecture.json")
    return folder


def _explored(space: SearchSpace, rng: random.Random, initial: int, iterations: int) -> list[Result]:
    explored: list[Result] = []
    for number in range(initial + 8 * iterations):
        parent = (
            None
            if number < initial
            else max(rng.sample(explored[-initial:], initial // 2), key=lambda result: result.score)
        )
        arch = space.mutate(parent.candidate.network, rng) if parent else space.sample(rng)
        zico = 700 + rng.gauss(0, 25) if parent is None else 0.85 * parent.score + 0.15 * 820 + rng.gauss(0, 14)
        proxies = {"zico": zico, "fr": rng.gauss(-3, 0.4), "loss": rng.gauss(0.64, 0.01)}
        evaluation = Evaluation(
            Candidate(arch, recipe_at(RATES[0])),
            parents=(parent.candidate.id,) if parent else (),
            iteration=0 if parent is None else (number - initial) // 8 + 1,
        )
        score = proxies["zico"] + proxies["fr"] - proxies["loss"]
        explored.append(Result(evaluation, score, 0.11, proxies))
    return explored


def _write_warmup(folder: Path, rng: random.Random) -> None:
    levels = [
        {
            "fraction": fraction,
            "rows": round(80_000 * fraction),
            "median": median,
            "p10": median - spread,
            "p90": median + 2 * spread,
        }
        for fraction, median, spread in (
            (0.0, 0.742, 0.03),
            (0.01, 0.684, 0.008),
            (0.1, 0.655, 0.01),
            (1.0, 0.612, 0.012),
        )
    ]
    warmup = {"rows": 80_000, "seconds": 41.0, "constant_log_loss": 0.6873, "candidates": 100, "levels": levels}
    folder.mkdir()
    (folder / "warmup.json").write_text(json.dumps(warmup))
    write_lines(
        folder / "metrics.jsonl",
        [
            {
                "step": step,
                "rows": 512 * step,
                "loss": 0.57 + 0.13 * math.exp(-step / 40) + rng.gauss(0, 0.008),
                "learning_rate": 0.1,
                "rows_per_second": 9000.0,
            }
            for step in range(2, 158, 2)
        ],
    )


def _model(
    folder: Path, network: Network, rng: random.Random, *, diverged: bool
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Writes a network's trainings; gives its entry of the results, and its lines of the history."""
    kind = kind_of(network)
    base = 0.5562 if kind == BASELINE else 0.549 + 0.004 * rng.random()
    best, chosen, lines = None, Candidate(network, recipe_at(RATES[0])), []
    for rate in RATES:
        candidate = Candidate(network, recipe_at(rate))
        metrics = []
        for epoch in range(1, EPOCHS + 1):
            loss = base + 0.006 * abs(epoch - 2) + rate / 50
            quality = None if diverged else {"log_loss": loss, "auc": 1.34 - loss}
            metrics.append(
                {
                    "learning_rate": rate,
                    "epoch": epoch,
                    "rows": 80_000 * epoch,
                    "train_loss": float("nan") if diverged else loss - 0.01 * epoch,
                    "validation": quality,
                    "seconds": 6.0 * epoch,
                }
            )
            if quality and (best is None or loss < best["validation"]["log_loss"]):
                best, chosen = metrics[-1], candidate
        trained = ModelFolder(folder, candidate)
        trained.begin()
        write_lines(trained.path / "metrics.jsonl", metrics)
        training = {
            "epochs": [] if diverged else metrics,
            "finished": not diverged,
            "diverged": "the loss is nan" if diverged else None,
            "seconds": 6.0 * EPOCHS,
            "parameters": 400_000,
        }
        (trained.path / "training.json").write_text(json.dumps(training | {"keeps_weights": False}))
        lowest = None if diverged else -min(item["validation"]["log_loss"] for item in metrics)
        evaluated = Result(Evaluation(candidate, 1.0), lowest, 6.0 * EPOCHS).to_json()
        del evaluated["proxies"]
        lines.append({"stage": "final training", **evaluated, "training": training})
    test = best and {name: value + 0.0011 for name, value in best["validation"].items()}
    entry = {
        "id": network.id,
        "candidate": chosen.id,
        "kind": kind,
        "status": "diverged" if diverged else "trained",
        "validation": best and best["validation"],
        "test": test,
        "parameters": rng.randrange(400_000, 3_000_000),
        "macs": rng.randrange(1_000_000, 9_000_000),
        "learning_rate": best and best["learning_rate"],
        "epoch": best and best["epoch"],
        "seconds": 12.3,
    }
    return entry, lines


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return make_run(tmp_path / "run")


@pytest.fixture
def old_run(tmp_path: Path) -> Path:
    """The same run, as recnas 0.1 laid it out."""
    return as_version_0_1(make_run(tmp_path / "old"))


@pytest.fixture(scope="session")
def finished_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A complete run with its report, only to be looked at."""
    folder = make_run(tmp_path_factory.mktemp("report") / "run")
    write_report(folder)
    return folder
