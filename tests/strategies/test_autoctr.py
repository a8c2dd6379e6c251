"""AutoCTR: who survives, and what its ranker puts first."""

from __future__ import annotations

import random

import numpy as np
from scipy.stats import spearmanr

from recnas.strategies.autoctr import OFFSPRING, POPULATION, AutoCTR, fitted_ranker
from recnas.strategies.problem import Budget
from recnas.strategies.whole_training import Trained
from tests.strategies.whole_trainings import (
    ARCHITECTURES,
    FAMILIES,
    SMALL,
    Objective,
    World,
    every_candidate,
    problem_in,
)


def survivors(losses: list[float], costs: list[float] | None = None) -> list[int]:
    """The places of those that survive, of candidates that ended in this order."""
    strategy = AutoCTR()
    strategy.begin(problem_in(FAMILIES, Budget(1)))
    candidate = FAMILIES.own("dnn")
    strategy.trained = [Trained(str(place), candidate, loss) for place, loss in enumerate(losses)]
    strategy._costs = [1.0] * len(losses) if costs is None else costs
    return sorted(int(item.id) for item in strategy._survivors())


def test_of_equal_candidates_the_youngest_survive() -> None:
    assert survivors([0.5] * 50) == list(range(40, 50))


def test_a_good_one_survives_for_longer_and_a_very_old_one_does_not() -> None:
    assert 38 in survivors([0.4 if place == 38 else 0.5 + place / 1000 for place in range(50)])
    assert 5 not in survivors([0.4 if place == 5 else 0.5 + place / 1000 for place in range(50)])


def test_of_two_that_are_as_old_and_as_good_the_cheaper_one_survives() -> None:
    losses, costs = [0.5] * 100, [1.0] * 100
    costs[89], costs[95] = 0.1, 9.0
    assert 89 in survivors(losses, costs)
    assert 95 not in survivors(losses, costs)


def test_the_ranker_orders_candidates_that_it_has_not_seen() -> None:
    rng, objective = random.Random(0), Objective(SMALL, 0)
    drawn = rng.sample(every_candidate(), 150)
    points, losses = [SMALL.encode(item) for item in drawn], [objective(item) for item in drawn]
    losses[3] = float("inf")
    ranks = fitted_ranker(points[:100], losses[:100], rng).predict(np.array(points[100:]))
    assert spearmanr(ranks, losses[100:]).statistic < -0.7


def test_it_trains_mutations_of_survivors_of_which_the_ranker_has_seen_several() -> None:
    world, strategy = World(Objective(ARCHITECTURES, 0)), AutoCTR()
    asked = world.search(strategy, problem_in(ARCHITECTURES, Budget(40)))
    assert {item.source for item in asked[POPULATION:]} == {"mutation"}
    assert OFFSPRING > 1
    assert strategy._ranker is not None
