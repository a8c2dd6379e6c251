"""Which candidates a table has: random architectures of a space, or random choices, recipes and inputs of families."""

from __future__ import annotations

import random

from recnas.bench.settings import NETWORKS, TableSettings
from recnas.bench.space import TableSpace
from recnas.candidates.candidate import Candidate
from recnas.candidates.recipe_choices import RECIPE_CHOICES
from recnas.data import Dataset
from recnas.data.feature_gains import feature_gains
from recnas.data.joint_evidence import propose_crosses
from recnas.search.beginning import droppable_features
from recnas.search.costs import Costs
from recnas.search.feeding import no_choice_of
from recnas.search.scoring import stage_seed
from recnas.util.errors import InputError

MOST_TRIES = 100
"""Draws for each candidate that is asked for, after which a space counts as too small."""


def space_of(settings: TableSettings, dataset: Dataset) -> TableSpace:
    """What a table's candidates are drawn from.

    Where recipes vary, the training rows say which joint ids there are, and what may be left out.

    Args:
        settings: The table's.
        dataset: What its candidates learn from.
    """
    recipe, inputs = settings.final.recipe.to_json(), settings.inputs.to_json()
    if settings.varies == NETWORKS:
        return TableSpace((), settings.block_space, (), (), tuple(RECIPE_CHOICES), recipe, inputs)
    proposed = propose_crosses(dataset, seed=stage_seed(settings, "joint ids"))
    gains = feature_gains(dataset, seed=stage_seed(settings, "features"))
    return TableSpace(
        settings.recipes_of,
        None,
        tuple(item.cross for item in proposed),
        droppable_features(dataset.own_schema, gains, settings.inputs.dropped),
        no_choice_of(dataset.own_schema),
        recipe,
        inputs,
    )


def draw_candidates(settings: TableSettings, space: TableSpace, costs: Costs) -> list[Candidate]:
    """The random candidates of a table, within its limits, no two of which are the same.

    A table that is to have more begins with those that a smaller one has.

    Args:
        settings: The table's.
        space: Where they are drawn from; of several families each has as many.
        costs: What they cost.

    Raises:
        InputError: Too few are found.
    """
    joint, rng = space.joint, random.Random(f"{settings.seed}/candidates")
    found: dict[str, Candidate] = {}
    for _ in range(MOST_TRIES * settings.candidates):
        candidate = joint.draw(rng, joint.kinds[len(found) % len(joint.kinds)])
        if costs.admits(candidate):
            found.setdefault(candidate.id, candidate)
        if len(found) == settings.candidates:
            return list(found.values())
    raise InputError(
        f"found only {len(found)} of {settings.candidates} distinct candidates within the limits; lower --candidates"
    )
