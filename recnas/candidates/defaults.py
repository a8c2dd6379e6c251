"""The recipe and inputs that are taken where nothing else is said: good on every data set that they were tried on.

docs/recipes.md says how they were found.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from typing import TypeVar

from recnas.candidates.candidate import TREE_NUMBERS, Candidate
from recnas.candidates.families import TREES, Choice
from recnas.candidates.network import Baseline
from recnas.candidates.recipe import Optimization, Recipe
from recnas.features.inputs import Inputs

DEFAULT_INPUTS = Inputs(numbers=("columns", "bins"), min_count=3)
DEFAULT_RECIPE = Recipe(
    Optimization(
        learning_rate=3e-3,
        batch_size=1024,
        optimizer="adam",
        embedding_optimizer="adam",
        embedding_rate=10.0,
        embedding_beta1=0.0,
        embedding_penalty=3e-4,
        schedule="linear",
        lr_warmup_share=0.05,
        clip=10.0,
    ),
    epochs=5,
    evaluations=2,
    patience=4,
    dropout=0.1,
    embedding_std=0.01,
)
_DEEP = {"hidden": (256, 128), "norm": "batch"}
OWN_CHOICES: Mapping[str, Mapping[str, Choice]] = {
    "dnn": _DEEP,
    "dlrm": {"norm": "batch"},
    "deepfm": _DEEP,
    "xdeepfm": _DEEP | {"feature_maps": (64, 64)},
    "autoint+": _DEEP,
    "fibinet": _DEEP,
    "dcnv2": _DEEP,
    "masknet": _DEEP | {"structure": "parallel", "reduction": 0.2, "field_norm": "none"},
    "gdcn": _DEEP,
    "finalmlp": {"norm": "batch"},
}
"""By family the choices that are not the published ones."""
OWN_RECIPES: Mapping[str, Recipe] = {
    # One weight an id bears less decay than an embedding, and wants more passes.
    "lr": replace(
        DEFAULT_RECIPE,
        optimization=replace(DEFAULT_RECIPE.optimization, embedding_rate=5.0, embedding_penalty=3e-5),
        epochs=8,
    ),
}
"""By family the recipe, where it is not the usual one."""

TREE_INPUTS = Inputs(numbers=TREE_NUMBERS)
"""What trees are fed: numbers as they are, and where one is missing nothing."""


def own_candidate(family: str) -> Candidate:
    """A baseline with the choices, inputs and recipe that are its family's own: good ones, as far as is known."""
    if family in TREES:
        return Candidate(Baseline(family), None, TREE_INPUTS)
    network = Baseline(family, OWN_CHOICES.get(family, {}))
    return Candidate(network, OWN_RECIPES.get(family, DEFAULT_RECIPE), DEFAULT_INPUTS)


Value = TypeVar("Value", Optimization, Recipe, Inputs)


def with_what_is_said(own: Candidate, recipe: Recipe, inputs: Inputs) -> Candidate:
    """A candidate with what a user has said: with those settings of recipe and inputs that are not as by default.

    Trees have no recipe, and are fed numbers in one way alone.

    Args:
        own: The candidate.
        recipe: With what was said, in all else the default.
        inputs: Likewise.
    """
    if own.recipe is None:
        return replace(own, inputs=_changed(own.inputs, inputs, DEFAULT_INPUTS, without="numbers"))
    optimization = _changed(own.recipe.optimization, recipe.optimization, DEFAULT_RECIPE.optimization)
    changed = _changed(replace(own.recipe, optimization=optimization), recipe, DEFAULT_RECIPE, without="optimization")
    return replace(own, recipe=changed, inputs=_changed(own.inputs, inputs, DEFAULT_INPUTS))


def _changed(own: Value, said: Value, default: Value, without: str = "") -> Value:
    """A value with those fields of another that are not the default's."""
    names = [item.name for item in fields(said) if item.name != without]
    found = {name: value for name in names if (value := getattr(said, name)) != getattr(default, name)}
    return replace(own, **found)
