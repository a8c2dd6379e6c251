"""Strategies that learn find better candidates than random search, on objectives over real candidates."""

from __future__ import annotations

from functools import cache
from itertools import product

import numpy as np
import pytest
from scipy.stats import wilcoxon

from recnas.candidates.candidate import Candidate
from recnas.strategies.problem import Budget
from tests.strategies.whole_trainings import (
    ARCHITECTURES,
    FAMILIES,
    NAMES,
    SCALE,
    SLOW,
    SMALL,
    Objective,
    World,
    every_candidate,
    macs,
    new_strategy,
    problem_in,
)

RANDOM = "random-trained"
LEARNING = [name for name in NAMES if name not in (RANDOM, SLOW)]
SPACES = {"architectures": ARCHITECTURES, "families": FAMILIES}
SEEDS = 12
"""Of objectives, each searched once by every strategy."""
TRAININGS = 60
"""Of a search."""
MORE = {"evolution-trained": 150, "optuna-evolution": 150}
"""Of those that have no model, and learn from one generation to the next."""
TAKES_LONG = [("tpe", "architectures"), *(("optuna-evolution", space) for space in SPACES)]
CHANCE = 0.01
"""Of a result as good or better where a strategy is no better than random search."""


def is_affordable(candidate: Candidate) -> bool:
    return macs(candidate) <= 2e6


@cache
def losses(name: str, space: str, count: int) -> np.ndarray:
    """`[seeds]`: the lowest loss that each search of so many trainings finds, without noise."""
    found = []
    for seed in range(SEEDS):
        world = World(Objective(SPACES[space], seed), seed=seed)
        world.search(new_strategy(name), problem_in(SPACES[space], Budget(count), seed, is_affordable, at_once=2))
        found.append(world.best[-1])
    return np.array(found)


@cache
def trainings_until_the_best(name: str, seeds: int, most: int) -> np.ndarray:
    """`[seeds]`: trainings until each search of a small space has found its best candidate, or the most."""
    found = []
    for seed in range(seeds):
        objective = Objective(SMALL, seed)
        lowest = min(map(objective, every_candidate()))
        world = World(objective, noise=0.1 * SCALE, seed=seed)
        world.search(new_strategy(name), problem_in(SMALL, Budget(most), seed))
        found.append(sum(best > lowest for best in world.best))
    return np.array(found)


def chance_of(gains: np.ndarray) -> float:
    """The p-value of a paired signed-rank test that gains are above 0."""
    return float(wilcoxon(gains, alternative="greater", zero_method="zsplit").pvalue)


@pytest.mark.parametrize(
    ("name", "space"),
    [pytest.param(*case, marks=pytest.mark.slow if case in TAKES_LONG else ()) for case in product(LEARNING, SPACES)],
)
def test_after_as_many_trainings_what_it_has_found_is_better(name: str, space: str) -> None:
    count = MORE.get(name, TRAININGS)
    assert chance_of(losses(RANDOM, space, count) - losses(name, space, count)) < CHANCE


@pytest.mark.parametrize("name", [*LEARNING, pytest.param(SLOW, marks=pytest.mark.slow)])
def test_the_best_candidate_of_a_small_space_is_found_in_fewer_trainings(name: str) -> None:
    seeds, most = (8, 40) if name == SLOW else (SEEDS, TRAININGS)
    gains = trainings_until_the_best(RANDOM, seeds, most) - trainings_until_the_best(name, seeds, most)
    assert chance_of(gains) < CHANCE
