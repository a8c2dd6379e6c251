"""Candidates that are looked at before they are made: parents with a few choices changed, as numbers."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from recnas.candidates.joint_space import JointSpace
from recnas.strategies.fresh_candidates import Proposal
from recnas.strategies.whole_training import MUTATION, Trained


@dataclass(frozen=True)
class Offspring:
    """What a parent would be with other values in some places.

    A model judges hundreds of them by their numbers, of which a few become candidates: those take longer to be made
    than to be judged.

    Attributes:
        parent: What it is made from.
        values: By places of the space's `choices`.
        numbers: As `JointSpace.encode` gives them of the candidate.
    """

    parent: Trained
    values: Mapping[str, Any]
    numbers: np.ndarray

    def made(self, space: JointSpace) -> Proposal:
        """The candidate."""
        return Proposal(space.with_values(self.parent.candidate, self.values), MUTATION, (self.parent.id,))


class Family:
    """Gives offspring of one parent.

    Args:
        parent: What they are made from.
        space: Whose choices are changed.
    """

    def __init__(self, parent: Trained, space: JointSpace) -> None:
        self._parent, self._space, self._kind = parent, space, space.kind_of(parent.candidate)
        self._numbers = np.array(space.encode(parent.candidate))
        self._moves = {place: values for place, values in space.moves(parent.candidate).items() if values}
        self._places = list(self._moves)

    def draw(self, rng: random.Random, changes: int) -> Offspring:
        """One that differs in so many places, or in all; each place is as likely, however many values it has."""
        numbers, values = self._numbers.copy(), {}
        for place in rng.sample(self._places, min(changes, len(self._places))):
            values[place] = rng.choice(self._moves[place])
            where, written = self._space.encoded(self._kind, place, values[place])
            numbers[where] = written
        return Offspring(self._parent, values, numbers)
