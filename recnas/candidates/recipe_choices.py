"""What can be chosen of a recipe and of inputs: one table, from which candidates are drawn, tuned and described."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, is_dataclass, replace
from functools import reduce
from typing import Any

from recnas.candidates.candidate import Candidate
from recnas.space.choices import drawn, likelihoods

LEVELS = 7
"""Numbers of a span among which what can take only some of them chooses."""


@dataclass(frozen=True)
class Span:
    """Numbers between two bounds, drawn evenly in their logarithm.

    Attributes:
        least: The lower bound, above 0.
        most: The upper bound.
    """

    least: float
    most: float

    def draw(self, rng: random.Random) -> float:
        """A number of it, with three digits: what is written is what is meant."""
        return rounded(math.exp(rng.uniform(math.log(self.least), math.log(self.most))))

    def near(self, value: float, step: float, rng: random.Random) -> float:
        """Another number of it, near one.

        Args:
            value: That one, above 0.
            step: The standard deviation, as a share of the span, in logarithms.
            rng: The source of the draw.
        """
        moved = math.log(value) + rng.gauss(0.0, step) * (math.log(self.most) - math.log(self.least))
        return rounded(min(self.most, max(self.least, math.exp(moved))))

    def options(self) -> Iterator[float]:
        """Some numbers of it, evenly spaced in their logarithm, its bounds among them."""
        step = (self.most / self.least) ** (1 / (LEVELS - 1))
        return (rounded(self.least * step**level) for level in range(LEVELS))

    @property
    def likelihoods(self) -> list[float]:
        """Those of `options`, which are alike."""
        return likelihoods(LEVELS, None)

    def place_of(self, value: float | None) -> float:
        """Where a number lies, from 0 to 1, in logarithms; -1 for none."""
        if not value:
            return -1.0
        return (math.log(value) - math.log(self.least)) / (math.log(self.most) - math.log(self.least))


@dataclass(frozen=True)
class Options:
    """Some values, each as likely, or the first one more.

    Attributes:
        values: The values, in their order if they have one.
        share: How likely the first one is; None: as likely as each of the others.
    """

    values: tuple[Any, ...]
    share: float | None = None

    def draw(self, rng: random.Random) -> Any:
        """One of them."""
        return drawn(self.values, self.share, rng)

    def options(self) -> Iterator[Any]:
        """All of them."""
        return iter(self.values)

    @property
    def likelihoods(self) -> list[float]:
        """How likely `draw` gives each of `options`."""
        return likelihoods(len(self.values), self.share)


NETWORK = "network."
"""What precedes the name of a family's own choice, to be its place."""
NUMBERS = "inputs.numbers"
"""The place of how numbers are fed."""
RECIPE_CHOICES: Mapping[str, Span | Options] = {
    "recipe.optimization.learning_rate": Span(3e-4, 1e-2),
    "recipe.optimization.embedding_rate": Options((1.0, 3.0, 5.0, 10.0, 20.0)),
    "recipe.optimization.embedding_penalty": Span(1e-7, 1e-1),
    "recipe.optimization.batch_size": Options((512, 1024, 2048, 4096)),
    "recipe.optimization.weight_decay": Options((0.0, 1e-6, 1e-5, 1e-4)),
    "recipe.optimization.schedule": Options(("linear", "cosine", "plateau")),
    "recipe.epochs": Options((2, 3, 5, 8)),
    "recipe.dropout": Options((0.0, 0.1, 0.2, 0.3, 0.5)),
    "recipe.embedding_dim": Options((8, 16, 32, 64)),
    "recipe.embedding_std": Options((0.003, 0.01, 0.03, None)),
    NUMBERS: Options((("columns",), ("columns", "bins"), ("columns", "bins", "piecewise"), ("piecewise",), ("bins",))),
    "inputs.min_count": Options((1, 2, 3, 5, 10)),
}
"""By its place in a candidate each choice that tuning makes."""
OF_TREES = ("inputs.min_count",)
"""Those of them that are made of trees, too."""


def choices_of(own: Mapping[str, tuple[Any, ...]], of_trees: bool) -> dict[str, Span | Options]:
    """What is chosen of candidates of a family by place: its own choices, then those of the recipe and the inputs.

    Args:
        own: Its own by their names, as in `Family`.
        of_trees: Whether it is one of trees.
    """
    shared = {place: RECIPE_CHOICES[place] for place in OF_TREES} if of_trees else RECIPE_CHOICES
    return {NETWORK + name: Options(values) for name, values in own.items()} | dict(shared)


def with_choices(candidate: Candidate, chosen: Mapping[str, Any]) -> Candidate:
    """A candidate with other values in some places.

    Args:
        candidate: To begin with.
        chosen: Values by the dotted places of `RECIPE_CHOICES`.

    Raises:
        InputError: A value is out of its range.
    """
    for place, value in chosen.items():
        candidate = _replaced(candidate, place.split("."), value)
    return candidate


def value_at(candidate: Candidate, place: str) -> Any:
    """The value of a candidate in a dotted place of `RECIPE_CHOICES`."""
    return reduce(getattr, place.split("."), candidate)


def rounded(value: float) -> float:
    """A number with three digits."""
    return float(f"{value:.3g}")


def _replaced(value: Any, path: list[str], chosen: Any) -> Any:
    first, *rest = path
    assert is_dataclass(value), f"{first} is no place of {value!r}"
    return replace(value, **{first: _replaced(getattr(value, first), rest, chosen) if rest else chosen})
