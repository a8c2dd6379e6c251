"""A small data set of MovieLens' form, and settings of a search that takes seconds."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

import recnas.data_prep

GENRES = ("Action", "Comedy", "Drama")


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
    return {
        "warmup": {"amount": 0.2, "probe_candidates": 3, "probe_rows": 50},
        "proxy": {"score": "sigeo", "batch_size": 16},
        "evolution": {"population": 6, "iterations": 2, "tournament": 3, "children": 2},
        "final": {"top_k": 2, "epochs": 1, "other_learning_rates": [0.02], "optimization": {"learning_rate": 0.05}},
    }
