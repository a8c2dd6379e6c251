"""Problems for strategies."""

from __future__ import annotations

import random
from typing import Any

from recnas.candidates.evaluation import Result
from recnas.candidates.recipe import Optimization, Recipe
from recnas.space import SearchSpace
from recnas.strategies.pareto import Point, objectives
from recnas.strategies.problem import Budget, Problem

RECIPE = Recipe(Optimization(learning_rate=0.1, batch_size=100))


def problem_of(
    space: SearchSpace, rng: random.Random, evaluations: int, *limits: Any, costs: Any = lambda arch: (), **named: Any
) -> Problem:
    """A problem with any recipe; further arguments are those of `Problem`, and an architecture's costs."""

    def point(result: Result) -> Point:
        return objectives(result.score, costs(result.candidate.network))

    return Problem(space, RECIPE, rng, Budget(evaluations), *limits, point=point, **named)
