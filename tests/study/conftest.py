"""A small data set, and settings of a study that takes seconds."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest

import recnas.data_prep
from recnas.study import run_study

ROWS = 400
PROXIES = ("zico", "fr", "loss", "synflow", "parameters")


def write_clicks(file: Path) -> None:
    """A table in which the click depends on user and item."""
    rng, lines = random.Random(0), ["click,price,user,item"]
    for _ in range(ROWS):
        user, item = rng.randint(1, 20), rng.randint(1, 30)
        clicks = rng.random() < (0.85 if (user + item) % 3 else 0.2)
        lines.append(f"{int(clicks)},{rng.random():.3f},u{user},i{item}")
    file.write_text("\n".join(lines) + "\n")


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    write_clicks(folder / "clicks.csv")
    recnas.data_prep.prepare(
        "tabular",
        folder / "set",
        input=folder / "clicks.csv",
        label="click",
        dense=["price"],
        sparse=["user", "item"],
        progress=False,
    )
    return folder / "set"


@pytest.fixture(scope="session")
def small() -> dict[str, Any]:
    """Settings in which a whole study takes seconds."""
    return {
        "candidates": 5,
        "seeds": 2,
        "warmups": [0, 0.5],
        "proxies": list(PROXIES),
        "rankings": ["sigeo", "zico - 30*loss"],
        "shares": [0.5],
        "workers": 1,
        "checkpoint_seconds": 0.0,
        "warmup": {"probe_candidates": 0, "max_rows_per_table": 1000},
        "proxy": {"batch_size": 8, "batches": 2},
        "final": {"optimization": {"learning_rate": 0.05, "batch_size": 64}},
    }


@pytest.fixture(scope="session")
def undisturbed(data: Path, tmp_path_factory: pytest.TempPathFactory, small: dict[str, Any]) -> Path:
    """A finished study."""
    run = tmp_path_factory.mktemp("studies") / "undisturbed"
    run_study(data, run, progress=False, **small)
    return run


def without_times(value: Any) -> Any:
    """What a study found, but for where it is and what took how long."""
    if isinstance(value, dict):
        return {
            key: without_times(inner)
            for key, inner in value.items()
            if key not in ("run", "path", "threads", "beside", "training_times") and not key.endswith("seconds")
        }
    return [without_times(inner) for inner in value] if isinstance(value, list) else value


def found(run: Path) -> Any:
    """The same of a finished study's folder."""
    return without_times(json.loads((run / "results.json").read_text()))
