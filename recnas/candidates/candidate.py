"""A candidate: what a search chooses. Needs no torch."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from recnas.candidates.network import BASELINE, SEARCHED, Baseline, Network, network_from_json
from recnas.candidates.recipe import ID_DIGITS, Recipe
from recnas.features.inputs import AS_PREPARED, Inputs
from recnas.util.errors import InputError


@dataclass(frozen=True)
class Candidate:
    """Inputs, a network and a recipe: all that is needed to train a model on a data set.

    Attributes:
        network: An architecture, or a baseline.
        recipe: How it is trained.
        inputs: What it is fed.

    Raises:
        InputError: The network cannot be trained by the recipe.
    """

    network: Network
    recipe: Recipe
    inputs: Inputs = AS_PREPARED

    def __post_init__(self) -> None:
        is_normed = isinstance(self.network, Baseline) and self.network.norms_batches
        if is_normed and self.recipe.optimization.batch_size < 2:
            raise InputError(f"batch norm needs batches of two rows or more; {self.network.name} has some")

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
        if not choices and self.inputs.as_prepared:
            return self.recipe.id
        text = json.dumps([choices, self.inputs.to_json(), self.recipe.id], separators=(",", ":"), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:ID_DIGITS]

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {"inputs": self.inputs.to_json(), "network": self.network.to_json(), "recipe": self.recipe.to_json()}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Candidate:
        """Reads what `to_json` wrote.

        Raises:
            InputError: It is damaged.
        """
        network, recipe = _parts(values)
        return cls(network_from_json(network), Recipe.from_json(recipe), Inputs.from_json(values.get("inputs", {})))


def kind_and_recipe(values: Mapping[str, Any]) -> tuple[str, Recipe]:
    """What `to_json` wrote, as far as it can be told without the code of a network that is a user's own.

    Raises:
        InputError: As in `Candidate.from_json`.
    """
    network, recipe = _parts(values)
    return BASELINE if network.get("kind") == BASELINE else SEARCHED, Recipe.from_json(recipe)


def _parts(values: Mapping[str, Any]) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """Network and recipe."""
    network, recipe = values.get("network"), values.get("recipe")
    if not isinstance(network, Mapping) or not isinstance(recipe, Mapping):
        raise InputError("a candidate has a network and a recipe")
    return network, recipe


def network_id_in(candidate_id: str) -> str:
    """The network's part of a candidate's id."""
    return candidate_id[: -ID_DIGITS - 1]
