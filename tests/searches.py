"""A small data set of MovieLens' form, settings of a search that takes seconds, and what such a search has written."""

from __future__ import annotations

import json
import random
import shutil
from pathlib import Path
from typing import Any

import pytest

import recnas.data_prep
from recnas.candidates.candidate import network_id_in
from recnas.runs.folder import RE_RANKING, SEARCH
from recnas.util.plain_values import merge
from tests.stopping import Stopped, stop_at

GENRES = ("Action", "Comedy", "Drama")


AS_PUBLISHED: dict[str, Any] = {
    "inputs": {"numbers": ["columns"], "min_count": 1},
    "final": {
        "epochs": 1,
        "evaluations": 1,
        "patience": None,
        "dropout": None,
        "embedding_dim": 16,
        "embedding_std": None,
        "baselines": ["dlrm"],
        "baseline_recipes": "like-finalists",
        "optimization": {
            "learning_rate": 0.1,
            "batch_size": 256,
            "optimizer": "adagrad",
            "eps": 1e-2,
            "embedding_optimizer": "rowwise-adagrad",
            "embedding_rate": 1.0,
            "embedding_eps": 1e-4,
            "embedding_penalty": 0.0,
            "schedule": "cosine",
            "lr_warmup_share": 0.1,
            "clip": None,
        },
    },
}
"""NASRec's recipe, and the data set as it is."""


def as_published(settings: dict[str, Any]) -> dict[str, Any]:
    """Settings that keep to NASRec's recipe in all that they do not say."""
    return merge(AS_PUBLISHED, settings)


def write_movielens(folder: Path, ratings: int = 1500, seed: int = 0) -> Path:
    """Files of MovieLens-100K's form in which the click depends on user and item."""
    rng = random.Random(seed)
    folder.mkdir(parents=True)
    users = [
        f"{user}\t{rng.randint(15, 70)}\t{rng.choice('MF')}\tother\t{rng.randint(1, 99):05d}" for user in range(1, 41)
    ]
    items = [f"{item}\tFilm {item}\t{rng.randint(1950, 1998)}\t{rng.choice(GENRES)}" for item in range(1, 61)]
    lines = []
    for _ in range(ratings):
        user, item = rng.randint(1, 40), rng.randint(1, 60)
        clicks = rng.random() < (0.85 if (user + item) % 3 else 0.2)
        lines.append(f"{user}\t{item}\t{4 if clicks else 2}\t{880000000 + rng.randint(0, 10**7)}")
    for name, header, rows in (
        ("user", "user_id:token\tage:token\tgender:token\toccupation:token\tzip_code:token", users),
        ("item", "item_id:token\tmovie_title:token_seq\trelease_year:token\tclass:token_seq", items),
        ("inter", "user_id:token\titem_id:token\trating:float\ttimestamp:float", lines),
    ):
        (folder / f"ml-100k.{name}").write_text("\n".join([header, *rows]) + "\n")
    return folder


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    recnas.data_prep.prepare("movielens", folder / "set", input=write_movielens(folder / "raw"), progress=False)
    return folder / "set"


@pytest.fixture
def small() -> dict:
    """Settings in which a whole search takes seconds."""
    return as_published(
        {
            "warmup": {"amount": 0.2, "probe_candidates": 3, "probe_rows": 50},
            "proxy": {"score": "sigeo", "batch_size": 16},
            "evolution": {"population": 6, "iterations": 2, "tournament": 3, "children": 2},
            "final": {"top_k": 2, "other_learning_rates": [0.02], "optimization": {"learning_rate": 0.05}},
        }
    )


def explore(data: Path, run: Path, **settings: Any) -> None:
    """A search that ends, as if it were killed, when its final training would begin."""
    from recnas.search import run_search

    with pytest.MonkeyPatch.context() as patch:
        stop_at(patch, "recnas.search.final_training.FinalTraining.run", 1, after=False)
        with pytest.raises(Stopped):
            run_search(data, run, progress=False, **settings)


def read_lines_of(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def history_of(run: Path, stage: str = SEARCH) -> list[dict[str, Any]]:
    """A stage's lines of a run's history, with the ids of networks in the place of candidates'."""
    return [
        {
            **line,
            "id": network_id_in(line["id"]),
            "parents": [network_id_in(parent) for parent in line["parents"]],
            "architecture": line["candidate"]["network"],
        }
        for line in read_lines_of(run / "history.jsonl")
        if line["stage"] == stage
    ]


def without_seconds(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Lines without the times, which differ between runs."""
    return [{name: value for name, value in line.items() if name != "seconds"} for line in lines]


def stop_before(run: Path, stage: str) -> None:
    """Leaves of a finished run what was there when a stage began: of `search` or a later one, but of no warm-up."""
    for name in ("results.json", "architecture.json", "report.html"):
        (run / name).unlink(missing_ok=True)
    shutil.rmtree(run / "models", ignore_errors=True)
    stages = [SEARCH, RE_RANKING, "final training"]
    kept = stages[: stages.index(stage)]
    lines = [line for line in read_lines_of(run / "history.jsonl") if line["stage"] in kept]
    (run / "history.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
