"""A made-up run folder, complete and of every kind of trouble."""

from __future__ import annotations

import json
import math
import random
from pathlib import Path

import pytest
import yaml

from recnas.report import write_report
from recnas.space import Architecture, SearchSpace

DIVERGED = 3
"""The finalist whose training diverges."""

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
            "zero_or_missing": 0.031,
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


def make_run(folder: Path, space: str = "nasrec-small", seed: int = 0, initial: int = 16, iterations: int = 4) -> Path:
    """Writes a complete run: warm-up, search, five finalists of which one diverged, and DLRM."""
    rng = random.Random(seed)
    folder.mkdir(parents=True)
    settings = {"version": "0.1.0", "seed": seed, "space": space, "data": "data/movielens", "search": {"warmup": 0.01}}
    (folder / "config.yaml").write_text(yaml.safe_dump(settings))
    (folder / "data.json").write_text(json.dumps(DATA))
    history, scores = _history(SearchSpace.named(space), rng, initial, iterations)
    write_lines(folder / "history.jsonl", history)
    _write_warmup(folder / "supernet", rng)
    ids = sorted(scores, key=scores.get, reverse=True)[:5]
    models = [_model(folder, id_, rng, diverged=place == DIVERGED) for place, id_ in enumerate(ids)]
    models.append(_model(folder, "dlrm", rng, diverged=False))
    trained = [model for model in models if model["validation"] and model["kind"] == "found"]
    best = min(trained, key=lambda model: model["validation"]["log_loss"])["id"]
    rows = {"train": 80_000, "validation": 10_000, "test": 10_000}
    data = {"path": "data/movielens", "name": "movielens", "rows": rows, "positive_rate": 0.5537}
    search = {"candidates": len(history), "seconds": 205.0, "warmup_rows": 800}
    results = {"best": best, "data": data, "space": space, "models": models, "search": search}
    (folder / "results.json").write_text(json.dumps(results))
    genotype = next(line["architecture"] for line in history if line["id"] == best)
    Architecture.from_json(genotype).canonical().save(folder / "architecture.json")
    return folder


def _history(space: SearchSpace, rng: random.Random, initial: int, iterations: int) -> tuple[list[dict], dict]:
    history: list[dict] = []
    population: list[tuple[float, Architecture]] = []
    for number in range(initial + 8 * iterations):
        parent = None if number < initial else max(rng.sample(population[-initial:], initial // 2), key=lambda x: x[0])
        arch = space.mutate(parent[1], rng) if parent else space.sample(rng)
        zico = 700 + rng.gauss(0, 25) if parent is None else 0.85 * parent[0] + 0.15 * 820 + rng.gauss(0, 14)
        proxy = {"zico": zico, "fr": rng.gauss(-3, 0.4), "loss": rng.gauss(0.64, 0.01)}
        score = proxy["zico"] + proxy["fr"] - proxy["loss"]
        population.append((score, arch))
        history.append(
            {
                "id": arch.id,
                "architecture": arch.to_json(),
                "parents": [parent[1].id] if parent else [],
                "iteration": 0 if parent is None else (number - initial) // 8 + 1,
                "proxy": proxy,
                "score": score,
                "seconds": 0.11,
            }
        )
    return history, {line["id"]: line["score"] for line in history}


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


def _model(folder: Path, id_: str, rng: random.Random, *, diverged: bool) -> dict:
    kind = "baseline" if id_ == "dlrm" else "found"
    base = 0.5562 if kind == "baseline" else 0.549 + 0.004 * rng.random()
    metrics, best = [], None
    for rate in (0.05, 0.1):
        for epoch in (1, 2, 3):
            loss = base + 0.006 * abs(epoch - 2) + rate / 50
            quality = None if diverged else {"log_loss": loss, "auc": 1.34 - loss}
            train_loss = float("nan") if diverged else loss - 0.01 * epoch
            metrics.append(
                {
                    "learning_rate": rate,
                    "epoch": epoch,
                    "rows": 80_000 * epoch,
                    "train_loss": train_loss,
                    "validation": quality,
                    "seconds": 6.0 * epoch,
                }
            )
            if quality and (best is None or loss < best["validation"]["log_loss"]):
                best = metrics[-1]
    place = "baselines" if kind == "baseline" else "retrain"
    write_lines(folder / place / id_ / "metrics.jsonl", metrics)
    test = best and {name: value + 0.0011 for name, value in best["validation"].items()}
    return {
        "id": id_,
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


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return make_run(tmp_path / "run")


@pytest.fixture(scope="session")
def finished_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A complete run with its report, only to be looked at."""
    folder = make_run(tmp_path_factory.mktemp("report") / "run")
    write_report(folder)
    return folder
