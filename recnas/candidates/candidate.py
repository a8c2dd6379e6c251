"""A candidate: what a search chooses. Needs no torch."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from recnas.candidates.families import TREES
from recnas.candidates.network import BASELINE, SEARCHED, Baseline, Network, are_trees, network_from_json
from recnas.candidates.recipe import ID_DIGITS, Recipe
from recnas.features.inputs import AS_PREPARED, Inputs
from recnas.util.errors import InputError

TREE_NUMBERS = ("columns", "missing")
"""Ways in which trees may be fed numbers."""
MOST_TREES = 2_000
"""Trees of a candidate, at most."""
TREES_A_PASS = 100
"""Trees that count as a pass over the training rows, which takes a network about as long."""


@dataclass(frozen=True)
class Candidate:
    """Inputs, a network and a recipe: all that is needed to train a model on a data set.

    Attributes:
        network: An architecture, or a baseline.
        recipe: How it is trained; None for trees, whose choices say all.
        inputs: What it is fed.

    Raises:
        InputError: The network cannot be trained by the recipe, or fed so.
    """

    network: Network
    recipe: Recipe | None
    inputs: Inputs = AS_PREPARED

    def __post_init__(self) -> None:
        if are_trees(self.network) != (self.recipe is None):
            raise InputError(f"{self.network.id} {'needs a' if self.recipe is None else 'has no'} recipe")
        if self.recipe is None:
            if ways := sorted(set(self.inputs.numbers) - set(TREE_NUMBERS)):
                raise InputError(f"{self.network.id} takes numbers as they are, not as {', '.join(ways)}")
            return
        is_normed = isinstance(self.network, Baseline) and self.network.norms_batches
        if is_normed and self.recipe.optimization.batch_size < 2:
            raise InputError(f"batch norm needs batches of two rows or more; {self.network.name} has some")

    @property
    def passes(self) -> int:
        """Passes over the training rows of its whole training, at most; of trees, what takes about as long."""
        return MOST_TREES // TREES_A_PASS if self.recipe is None else self.recipe.epochs

    @property
    def learning_rate(self) -> float:
        """The peak of the schedule; of trees, what each of them counts."""
        if self.recipe is None:
            return float(self.network.all_choices["learning_rate"])
        return self.recipe.optimization.learning_rate

    @property
    def soft_labels(self) -> float:
        """Share of its labels that is what the run's ensemble predicts; 0 of trees."""
        return 0.0 if self.recipe is None else self.recipe.soft_labels

    @cached_property
    def network_id(self) -> str:
        """The network's: twelve hexadecimal digits of its canonical form, or the baseline's name."""
        return self.network.id

    @cached_property
    def id(self) -> str:
        """The network's id, and eight hexadecimal digits that name recipe, inputs, and the choices of a baseline."""
        return f"{self.network_id}-{self._digits}"

    @property
    def _digits(self) -> str:
        choices = self.network.choices if isinstance(self.network, Baseline) else ()
        recipe = None if self.recipe is None else self.recipe.id
        if recipe and not choices and self.inputs.as_prepared:
            return recipe
        text = json.dumps([choices, self.inputs.to_json(), recipe], separators=(",", ":"), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:ID_DIGITS]

    def to_json(self) -> dict[str, Any]:
        """Plain values; trees have no recipe."""
        recipe = {} if self.recipe is None else {"recipe": self.recipe.to_json()}
        return {"inputs": self.inputs.to_json(), "network": self.network.to_json()} | recipe

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Candidate:
        """Reads what `to_json` wrote.

        Raises:
            InputError: It is damaged.
        """
        network, recipe = _parts(values)
        return cls(network_from_json(network), recipe, Inputs.from_json(values.get("inputs", {})))


@dataclass(frozen=True)
class Outline:
    """What is known of a candidate without the code of a network that is a user's own.

    Attributes:
        kind: `searched` or `baseline`.
        learning_rate: See `Candidate`.
        passes: See `Candidate`.
        are_trees: Whether it is a family of trees.
    """

    kind: str
    learning_rate: float
    passes: int
    are_trees: bool = False

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Outline:
        """That of what `Candidate.to_json` wrote.

        Raises:
            InputError: As in `Candidate.from_json`.
        """
        network, recipe = _parts(values)
        kind = BASELINE if network.get("kind") == BASELINE else SEARCHED
        if recipe is None:
            trees = Candidate(network_from_json(network), None)
            return cls(kind, trees.learning_rate, trees.passes, are_trees=True)
        return cls(kind, recipe.optimization.learning_rate, recipe.epochs)


def _parts(values: Mapping[str, Any]) -> tuple[Mapping[str, Any], Recipe | None]:
    """Network and recipe."""
    network, recipe = values.get("network"), values.get("recipe")
    if not isinstance(network, Mapping) or not (isinstance(recipe, Mapping) or network.get("name") in TREES):
        raise InputError("a candidate has a network and a recipe")
    return network, None if recipe is None else Recipe.from_json(recipe)


def network_id_in(candidate_id: str) -> str:
    """The network's part of a candidate's id."""
    return candidate_id[: -ID_DIGITS - 1]
