"""What a strategy works on: candidates that are new and within the limits, drawn for it; and how much it may ask."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, replace

from recnas.candidates.candidate import Candidate
from recnas.candidates.evaluation import Evaluation, Result
from recnas.candidates.joint_space import JointSpace
from recnas.candidates.recipe import Recipe
from recnas.features.inputs import AS_PREPARED, Inputs
from recnas.space import PATIENCE, Architecture, SearchSpace
from recnas.strategies.earned_proxies import CandidateProxies
from recnas.strategies.pareto import Point, objectives

TRIES = 1000
"""Draws of a candidate before it is asked to be further from where it is drawn, to make it new."""


@dataclass(frozen=True)
class Budget:
    """How much a strategy may ask; of a strategy that trains candidates one of them is given, of others the first.

    Attributes:
        evaluations: How many; of one that trains, how many candidates.
        seconds: How long a search may take, by the clock of `Result.clock`.
    """

    evaluations: int | None = None
    seconds: float | None = None


@dataclass(frozen=True)
class JointProblem:
    """What a strategy that trains candidates works on: whole candidates, and the budget.

    Attributes:
        space: Where candidates come from.
        rng: The source of every choice: the same state and the same results give the same candidates.
        budget: How much may be asked.
        affordable: Whether a candidate is within the limits.
        macs: Multiply–accumulates a row of a candidate's network.
        pass_rows: Training rows in a pass.
        at_once: Evaluations that are asked for side by side.
        helpful_joint_ids: How many of the space's joint ids, the first ones, are expected to help.
        helpful_to_trees: Likewise of those that trees may have.
        proxies: What gives proxies of networks that are not trained yet; None for none.
        point: What a training that has ended came to in each objective, smaller is better: its log loss alone, or
            costs and what a user's own functions say beside it.
    """

    space: JointSpace
    rng: random.Random
    budget: Budget
    affordable: Callable[[Candidate], bool]
    macs: Callable[[Candidate], float]
    pass_rows: int
    at_once: int = 1
    helpful_joint_ids: int = 0
    helpful_to_trees: int = 0
    proxies: CandidateProxies | None = None
    point: Callable[[Result], Point] = lambda result: objectives(result.score, ())


class Problem:
    """A space, what may be drawn from it, and the budget.

    Candidates that compute the same are the same: each is drawn once. With limits, a draw that is not affordable is
    drawn again. Where limits are so tight that `PATIENCE` draws in a row are refused, every further one is pulled
    within them, until one fits by itself: its choices are exchanged, in random order, for those of its parent or of the
    smallest candidate, and no more of them than it takes.

    Args:
        space: Where candidates come from.
        recipe: How they are trained.
        rng: The source of every choice: the same state and the same results give the same candidates.
        budget: How much may be asked.
        affordable: Whether an architecture is within the limits, asked of each that is new; None for no limits.
        smallest: An architecture that is, for others to be pulled to.
        point: What a candidate came to in each objective, smaller is better: the score alone, or costs beside it.
        inputs: What they are fed.

    Raises:
        ValueError: One of `affordable` and `smallest` is given without the other.
    """

    def __init__(
        self,
        space: SearchSpace,
        recipe: Recipe,
        rng: random.Random,
        budget: Budget,
        affordable: Callable[[Architecture], bool] | None = None,
        smallest: Architecture | None = None,
        point: Callable[[Result], Point] = lambda result: objectives(result.score, ()),
        inputs: Inputs = AS_PREPARED,
    ) -> None:
        if (affordable is None) != (smallest is None):
            raise ValueError("affordable and smallest belong together")
        self.space, self.recipe, self.inputs, self.rng, self.budget = space, recipe, inputs, rng, budget
        self.point, self._affordable, self._smallest = point, affordable, smallest
        self._drawn: set[str] = set()
        self._refused_in_a_row = 0

    def random(self) -> Candidate | None:
        """A new random candidate; None when many draws find none."""
        return self.new(lambda more: self.space.sample(self.rng))

    def child(self, parent: Candidate, mutations: int) -> Candidate | None:
        """A new candidate that so many mutations, or more if need be, make of another; None when many find none."""
        arch = _architecture(parent)
        return self.new(lambda more: self.space.mutate(arch, self.rng, mutations + more), arch)

    def new(self, draw: Callable[[int], Architecture], towards: Architecture | None = None) -> Candidate | None:
        """A candidate that was not drawn before and is within the limits; None when many draws find none.

        Args:
            draw: Gives an architecture, the further from where it is drawn the larger its argument, which is 0 at
                first.
            towards: What one that is not affordable is pulled to; None for the smallest.
        """
        refused = 0
        for attempt in range(2 * TRIES):
            arch = draw(attempt // TRIES + refused // PATIENCE)
            if (name := arch.id) in self._drawn:
                continue
            if self._affordable is None or self._affordable(arch):
                self._refused_in_a_row = 0
            else:
                self._refused_in_a_row += 1
                refused += 1
                if self._refused_in_a_row <= PATIENCE:
                    continue
                arch = self._pulled(arch, towards)
                if (name := arch.id) in self._drawn:
                    continue
            self._drawn.add(name)
            return Candidate(arch, self.recipe, self.inputs)
        return None

    def within_limits(self, arch: Architecture, towards: Architecture | None = None) -> Architecture:
        """The architecture, pulled within the limits if it is not; arguments as in `new`."""
        if self._affordable is None or self._affordable(arch):
            return arch
        return self._pulled(arch, towards)

    def admitted(self, evaluation: Evaluation) -> Evaluation:
        """What is evaluated where a strategy asks for a candidate that it did not draw here: one within the limits."""
        candidate = evaluation.candidate
        if candidate.network_id in self._drawn or not isinstance(candidate.network, Architecture):
            return evaluation
        within = self.within_limits(candidate.network)
        if within is not candidate.network:
            evaluation = replace(evaluation, candidate=replace(candidate, network=within))
        self._drawn.add(evaluation.candidate.network_id)
        return evaluation

    def _pulled(self, arch: Architecture, towards: Architecture | None) -> Architecture:
        """An architecture that is above the limits, pulled within them; arguments as in `new`."""
        return self.space.pull(arch, self._smallest if towards is None else towards, self._affordable, self.rng)


def _architecture(candidate: Candidate) -> Architecture:
    assert isinstance(candidate.network, Architecture), f"{candidate.id} is no architecture of the space"
    return candidate.network
