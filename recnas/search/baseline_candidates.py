"""The baselines of a run as candidates: each with its family's own recipe, or trained as the finalists are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from recnas.candidates.candidate import Candidate
from recnas.candidates.defaults import own_candidate, with_what_is_said
from recnas.candidates.families import TREES
from recnas.candidates.network import Baseline
from recnas.candidates.recipe import Recipe
from recnas.features.schema import Schema
from recnas.nn.baselines.registry import check_baselines, imported_baseline
from recnas.runs.final_settings import OWN
from recnas.runs.rungs import other_learning_rates
from recnas.runs.settings import Settings
from recnas.trees.library import check_library
from recnas.util.errors import InputError


def baseline_candidates(settings: Settings, names: Sequence[str]) -> list[Candidate]:
    """The trainings of a run's baselines, one after the other by name.

    Args:
        settings: The run's.
        names: The baselines'.
    """
    return [candidate for name in names for candidate in _trainings(settings, name)]


def _trainings(settings: Settings, name: str) -> list[Candidate]:
    """Those of one baseline."""
    final = settings.final
    if name in TREES:
        # No recipe and no learning rate of a network's is meant for them.
        return [with_what_is_said(own_candidate(name), final.recipe, settings.inputs)]
    if final.baseline_recipes == OWN:
        own = with_what_is_said(own_candidate(name), final.recipe, settings.inputs)
        rates = final.baseline_learning_rates or (own.learning_rate,)
        return [replace(own, recipe=at(own.recipe, rate)) for rate in rates]
    rates = [final.optimization.learning_rate, *other_learning_rates(final)]
    return [Candidate(Baseline(name), at(final.recipe, rate), settings.inputs) for rate in rates]


def check_baseline_candidates(settings: Settings, names: Sequence[str], schema: Schema) -> None:
    """Checks the baselines of a run before anything is trained; modules of a user's own are imported, and tried.

    Args:
        settings: The run's.
        names: The baselines'.
        schema: The features that they read as the run's settings say.

    Raises:
        InputError: There is no such baseline, its library is not installed, it cannot read these features, or it cannot
            be trained so.
    """
    for name in names:
        if name in TREES:
            check_library(name)
    networks = [name for name in names if name not in TREES]
    check_baselines(networks, schema)
    for candidate in baseline_candidates(settings, networks):
        chosen = imported_baseline(candidate.network.name).chosen(candidate.network)
        if chosen.get("norm") == "batch" and candidate.recipe.optimization.batch_size < 2:
            raise InputError(
                f"{candidate.network.name}: batch norm takes batches of two rows or more; raise --batch-size"
            )


def at(recipe: Recipe, learning_rate: float) -> Recipe:
    """A recipe with another learning rate."""
    return replace(recipe, optimization=replace(recipe.optimization, learning_rate=learning_rate))
