"""A small data set in which users, the price and some of the tags say who clicks."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

import recnas.data_prep
from recnas.data import Dataset, fit_inputs
from recnas.features.inputs import Inputs

ROWS, USERS = 4_000, 60
LIBRARIES = ("lightgbm", "catboost")


def clicks(rows: int = ROWS, seed: int = 0) -> pl.DataFrame:
    """Rows of a log."""
    rng = np.random.default_rng(seed)
    user, price = rng.integers(USERS, size=rows), rng.exponential(10, size=rows)
    tags = [rng.choice(["new", "sale", "red"], size=rng.integers(3), replace=False) for _ in range(rows)]
    absent = rng.random(rows) < 0.2
    taste = rng.normal(size=USERS)[user] + 2 * absent + np.array(["sale" in item for item in tags])
    clicked = taste + rng.normal(size=rows) > 1
    return pl.DataFrame(
        {
            "clicked": clicked.astype(int),
            "price": pl.Series([None if gone else value for value, gone in zip(price, absent, strict=True)]),
            "user": [f"u{item}" for item in user],
            "hour": rng.integers(24, size=rows),
            "tags": ["|".join(item) for item in tags],
        }
    )


@pytest.fixture(scope="session")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """The rows as a data set, fed as trees want it."""
    folder: Path = tmp_path_factory.mktemp("trees") / "data"
    recnas.data_prep.prepare(
        "tabular",
        folder,
        input=clicks(),
        label="clicked",
        dense=["price"],
        sparse=["user", "hour"],
        multi=["tags"],
        multi_separator="|",
        progress=False,
    )
    found = Dataset(folder)
    return found.fed(fit_inputs(found, Inputs(numbers=("columns", "missing"), crosses=("user:hour",))))
