"""A policy over candidates: one softmax a choice, and the gradient of what it may expect."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from recnas.candidates.joint_space import JointSpace
from recnas.candidates.recipe_choices import Options, Span
from recnas.space.choices import Choice, Subset

KIND = "kind"
"""The decision which kind of network a candidate has; others follow from it."""
Gradient = dict[str, np.ndarray]
"""By the name of a decision a number for each of its parameters."""


class Decision:
    """One softmax over options, whose logits are a linear function of parameters.

    It has a parameter for each option; of a subset one for each that may be in it, as subsets are many, and alike.
    With all parameters 0 an option is as likely as a draw of the space gives it.

    Args:
        item: What is chosen.
    """

    def __init__(self, item: Span | Options | Choice) -> None:
        self.options = list(item.options())
        written = [item.encode(option) for option in self.options] if isinstance(item, Subset) else None
        self._features = np.eye(len(self.options)) if written is None else np.array(written)
        self._prior = np.log(item.likelihoods)
        self.parameters = np.zeros(self._features.shape[1])

    @property
    def probabilities(self) -> np.ndarray:
        """Of each option."""
        logits = self._prior + self._features @ self.parameters
        weights = np.exp(logits - logits.max())
        return weights / weights.sum()

    def likelihood_gradient(self, place: int, probabilities: np.ndarray) -> np.ndarray:
        """The gradient of the logarithm of an option's probability.

        Args:
            place: The option's.
            probabilities: Of all, when it was drawn.
        """
        return self._features[place] - probabilities @ self._features

    def entropy_gradient(self, probabilities: np.ndarray) -> np.ndarray:
        """The gradient of the entropy of some probabilities that the decision has, or had."""
        logs = np.log(np.maximum(probabilities, np.finfo(float).tiny))
        entropy = -(probabilities @ logs)
        return -(probabilities * (logs + entropy)) @ self._features


@dataclass(frozen=True)
class Drawn:
    """What a policy has drawn.

    Attributes:
        kind: Of the network.
        values: By place of the space's `choices`.
        places: By the name of each decision that was made the place of what was chosen among its options.
        probabilities: Of all options of each of them, at that time.
    """

    kind: str
    values: Mapping[str, Any]
    places: Mapping[str, int]
    probabilities: Mapping[str, np.ndarray]


class Policy:
    """Independent decisions: which kind of network, then each choice of that kind.

    Choices of recipe and inputs are shared by the kinds that have them; so is what is learned about them.

    Args:
        space: Whose candidates are drawn.
    """

    def __init__(self, space: JointSpace) -> None:
        self._space = space
        self.names = space.decisions()
        self.decisions = {KIND: Decision(Options(tuple(space.kinds)))}
        for kind, names in self.names.items():
            for place, name in names.items():
                self.decisions.setdefault(name, Decision(space.choices(kind)[place]))

    def draw(self, rng: random.Random) -> Drawn:
        """A candidate's choices."""
        places, probabilities = {}, {}

        def decide(name: str) -> Any:
            decision = self.decisions[name]
            probabilities[name] = decision.probabilities
            (places[name],) = rng.choices(range(len(decision.options)), probabilities[name])
            return decision.options[places[name]]

        kind = decide(KIND)
        return Drawn(kind, {place: decide(name) for place, name in self.names[kind].items()}, places, probabilities)

    def gradient(self, drawn: Drawn, advantage: float, entropy_weight: float = 0.0) -> Gradient:
        """REINFORCE (Williams 1992): over all draws its mean is the gradient of the mean reward.

        Args:
            drawn: What was drawn; the gradient is that of the policy as it was then.
            advantage: Its reward, less a baseline that does not depend on it.
            entropy_weight: How much the entropy of each decision that was made counts beside the reward.
        """
        return {
            name: advantage * self.decisions[name].likelihood_gradient(place, drawn.probabilities[name])
            + entropy_weight * self.decisions[name].entropy_gradient(drawn.probabilities[name])
            for name, place in drawn.places.items()
        }

    def climb(self, gradient: Gradient, rate: float) -> None:
        """One step of gradient ascent."""
        for name, values in gradient.items():
            self.decisions[name].parameters += rate * values
