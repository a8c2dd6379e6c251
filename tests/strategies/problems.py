"""Problems for strategies."""

from __future__ import annotations

import random
from typing import Any

from recnas.candidates.recipe import Optimization, Recipe
from recnas.space import SearchSpace
from recnas.strategies.problem import Budget, Problem

RECIPE = Recipe(Optimization(learning_rate=0.1, batch_size=100))


def problem_of(space: SearchSpace, rng: random.Random, evaluations: int, *limits: Any, **costs: Any) -> Problem:
    """A problem with any recipe; further arguments are those of `Problem`."""
    return Problem(space, RECIPE, rng, Budget(evaluations), *limits, **costs)
