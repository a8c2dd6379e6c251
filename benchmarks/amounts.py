"""A made-up log with spiky amounts: numbers whose frequent values mean something of their own, and the others little.

    python -m benchmarks.amounts --output data/amounts.csv --rows 60000
    recnas prepare tabular --input data/amounts.csv --output data/amounts --label clicked \
        --dense age hours gain loss fee price --sparse job region device plan
    python -m benchmarks.recipes data/amounts --output runs/recipes --models lightgbm catboost dcnv2 deepfm dnn

Amounts such as gains, fees and prices are nothing in most rows, a price point in many, and anything in the rest. A
price point tells its own story: 7,688 and 7,690 may be two tax classes. So this asks whether numbers in greedy bins
keep what a boosted tree sees. The best log loss that can be reached, of the true probabilities, is printed.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl

AMOUNTS = {"gain": 0.75, "loss": 0.85, "fee": 0.5, "price": 0.1}
"""Of each amount the share of rows in which it is 0."""
POINTS, POINT_SHARE = 60, 0.8
"""Price points of an amount, and the share of the other rows in which it is one of them."""
IDS = {"job": 40, "region": 200, "device": 6, "plan": 12}


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, required=True, metavar="FILE.csv")
    parser.add_argument("--rows", type=int, default=60_000, metavar="N")
    parser.add_argument("--seed", type=int, default=0, metavar="N")
    given = parser.parse_args(argv)
    frame, probabilities = table(given.rows, given.seed)
    given.output.parent.mkdir(parents=True, exist_ok=True)
    frame.write_csv(given.output)
    clicks = frame["clicked"].to_numpy()
    floor = -np.mean(np.where(clicks == 1, np.log(probabilities), np.log(1 - probabilities)))
    print(f"{given.rows:,} rows, {clicks.mean():.1%} clicks; best reachable log loss {floor:.4f}")


def table(rows: int, seed: int) -> tuple[pl.DataFrame, np.ndarray]:
    """The log, and the probability of each row's click."""
    rng = np.random.default_rng(seed)
    age, hours = rng.integers(17, 91, rows), np.clip(rng.normal(40, 12, rows).round(), 1, 99)
    columns = {"age": age, "hours": hours}
    logit = -2.0 - ((age - 47) / 18) ** 2 * 0.6 + 0.03 * (hours - 40)
    for name, nothing in AMOUNTS.items():
        points = np.unique(np.exp(rng.normal(7.5, 1.2, POINTS)).round())
        effects = rng.normal(0, 1.6, len(points))
        frequencies = rng.dirichlet(np.full(len(points), 0.5))
        chosen = rng.choice(len(points), rows, p=frequencies)
        other = np.exp(rng.normal(7.5, 1.2, rows)).round(2)
        is_point = rng.random(rows) < POINT_SHARE
        is_there = rng.random(rows) >= nothing
        columns[name] = np.where(is_there, np.where(is_point, points[chosen], other), 0)
        logit += is_there * np.where(is_point, effects[chosen], 0.3 * (np.log1p(other) - 7.5))
    for name, values in IDS.items():
        ids = (rng.zipf(1.3, rows) - 1) % values
        logit += rng.normal(0, 0.5, values)[ids]
        columns[name] = np.char.add(f"{name}-", ids.astype(str))
    probabilities = 1 / (1 + np.exp(-logit))
    clicked = (rng.random(rows) < probabilities).astype(np.int8)
    return pl.DataFrame(columns | {"clicked": clicked}), probabilities


if __name__ == "__main__":
    main()
