"""The baselines of a run as candidates: each with its family's own recipe, or trained as the finalists are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from recnas.candidates.candidate import Candidate
from recnas.candidates.defaults import own_candidate
from recnas.candidates.network import Baseline
from recnas.candidates.recipe import Recipe
from recnas.runs.rungs import other_learning_rates
from recnas.runs.settings import OWN, Settings


def baseline_candidates(settings: Settings, names: Sequence[str]) -> list[Candidate]:
    """The trainings of a run's baselines, one after the other by name.

    Args:
        settings: The run's.
        names: The baselines'.
    """
    final = settings.final
    if final.baseline_recipes == OWN:
        own = [own_candidate(name) for name in names]
        rates = final.baseline_learning_rates
        return [
            replace(candidate, recipe=at(candidate.recipe, rate))
            for candidate in own
            for rate in rates or (candidate.recipe.optimization.learning_rate,)
        ]
    rates = [final.optimization.learning_rate, *other_learning_rates(final)]
    return [Candidate(Baseline(name), at(final.recipe, rate), settings.inputs) for name in names for rate in rates]


def at(recipe: Recipe, learning_rate: float) -> Recipe:
    """A recipe with another learning rate."""
    return replace(recipe, optimization=replace(recipe.optimization, learning_rate=learning_rate))
