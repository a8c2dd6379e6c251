"""PriorBand (Mallik et al. 2023): Hyperband, whose candidates come from a prior, around the best one, and uniformly."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Self

import numpy as np

from recnas.candidates.candidate import Candidate
from recnas.candidates.evaluation import Result
from recnas.candidates.joint_space import JOINT_IDS, STEP
from recnas.candidates.network import are_trees
from recnas.candidates.portfolio import Member, load_portfolio
from recnas.candidates.recipe_choices import NETWORK
from recnas.strategies.fresh_candidates import Proposal
from recnas.strategies.hyperband import Hyperband
from recnas.strategies.problem import JointProblem
from recnas.strategies.registry import strategy
from recnas.strategies.rung_search import ETA, FIDELITIES, TOP

PRIOR, INCUMBENT, UNIFORM = "prior", "incumbent", "uniform"
"""Sources of candidates."""
NEAR_PRIOR = 2
"""Places in which a candidate near the prior differs from one of it."""
MUTATED = 0.5
"""How likely each place of the incumbent is changed, its kind of network too, as in the paper."""
A_BRACKET = sum(
    ETA ** (TOP - rung) * (FIDELITIES[rung] - (FIDELITIES[rung - 1] if rung else 0)) for rung in range(TOP + 1)
)
"""Whole trainings that a bracket from the lowest rung takes."""


@strategy("priorband")
class PriorBand(Hyperband):
    """Hyperband that believes in a prior as far as what it trains does (algorithms 1 to 3 of the paper).

    The prior is a portfolio: its candidates in their order, then others near them. On the r-th rung, from 0, a draw is
    uniform with a chance of 1 / (1 + η^r). The rest is the prior's, until as much was trained as a bracket takes and a
    training has ended; from then on it is shared with draws around the incumbent, by how likely either makes the best
    third of the highest rung that η candidates have reached, the first of these counting most.

    Args:
        members: The portfolio; None: the one that recnas comes with.
    """

    def __init__(self, members: Sequence[Member] | None = None) -> None:
        super().__init__()
        self._members = load_portfolio() if members is None else list(members)
        self._codes: dict[str, np.ndarray] = {}

    @classmethod
    def from_settings(cls, settings: Any) -> Self:
        """See `Strategy.from_settings`."""
        return cls(load_portfolio(settings.portfolio))

    def begin(self, problem: JointProblem) -> None:
        """See `Strategy.begin`."""
        super().begin(problem)
        space = problem.space
        known = [found for member in self._members if (found := self._fitted(member)) in space]
        self._prior = known or [space.own(kind) for kind in space.kinds]
        self._untried = list(self._prior)

    def _drawn(self, rung: int) -> Proposal:
        """See `RungSearch._drawn`."""
        rng, space, shares = self.problem.rng, self.problem.space, self.shares(rung)
        source = rng.choices(list(shares), list(shares.values()))[0]
        if source == PRIOR:
            if self._untried:
                return Proposal(self._untried.pop(0), PRIOR)
            return Proposal(space.mutate(rng.choice(self._prior), rng, NEAR_PRIOR), PRIOR)
        if source == INCUMBENT:
            return Proposal(self._near_incumbent(), INCUMBENT, (self._incumbent.candidate.id,))
        return Proposal(space.draw(rng), UNIFORM)

    def shares(self, rung: int) -> dict[str, float]:
        """How likely a draw for a lowest rung is of each source."""
        uniform = 1 / (1 + ETA**rung)
        if (judges := self._judges()) is None:
            return {PRIOR: 1 - uniform, INCUMBENT: 0.0, UNIFORM: uniform}
        weights = np.arange(len(judges), 0, -1)
        by_prior = weights @ [np.mean([self._likelihood(best, near) for near in self._prior]) for best in judges]
        by_incumbent = weights @ [self._likelihood(best, self._incumbent.candidate) for best in judges]
        # Neither makes any of them where all are far from both.
        total = by_prior + by_incumbent
        of_prior = float(by_prior / total) if total else 0.5
        return {PRIOR: (1 - uniform) * of_prior, INCUMBENT: (1 - uniform) * (1 - of_prior), UNIFORM: uniform}

    def _near_incumbent(self) -> Candidate:
        """The best so far with other values in half of its places, of which its kind of network is one."""
        rng, space, candidate = self.problem.rng, self.problem.space, self._incumbent.settled
        others = [kind for kind in space.kinds if kind != space.kind_of(candidate)]
        if others and rng.random() < MUTATED:
            own, kind = space.table(space.kind_of(candidate)), rng.choice(others)
            shared = [place for place in space.table(kind) if place in own and not place.startswith(NETWORK)]
            values = {place: space.value(candidate, place) for place in shared}
            candidate = space.with_values(space.own(kind), values)
        changes = sum(rng.random() < MUTATED for _ in space.table(space.kind_of(candidate)))
        return space.mutate(candidate, rng, max(1, changes))

    def _judges(self) -> list[Candidate] | None:
        """The best third on the highest rung that is wide enough, the best first; None before the incumbent counts."""
        trained = list(self._results.values())
        has_ended = any(result.training.finished for result in trained)
        if not has_ended or sum(result.evaluation.fidelity for result in trained) < A_BRACKET:
            return None
        wide = [rung for rung in range(TOP + 1) if len(self._on(rung)) >= ETA]
        if not wide:
            return None
        field = self._on(wide[-1])
        return self._best(field, wide[-1], len(field) // ETA) or None

    @property
    def _incumbent(self) -> Result:
        """The best so far."""
        return max(self._results.values(), key=lambda result: result.score)

    def _likelihood(self, candidate: Candidate, near: Candidate) -> float:
        """How likely a draw around a candidate is another one, but for a factor: as one step's normal distribution."""
        apart = self._code(candidate) - self._code(near)
        return math.exp(-(apart @ apart) / (2 * STEP**2))

    def _code(self, candidate: Candidate) -> np.ndarray:
        if candidate.id not in self._codes:
            self._codes[candidate.id] = np.array(self.problem.space.encode(candidate))
        return self._codes[candidate.id]

    def _fitted(self, member: Member) -> Candidate:
        """A portfolio's candidate with joint ids of the data set, as many as it takes, or as are expected to help."""
        problem, candidate = self.problem, self.problem.space.kept(member.candidate)
        joint_ids = problem.space.joint_ids_of(candidate)
        helpful = problem.helpful_to_trees if are_trees(candidate.network) else problem.helpful_joint_ids
        count = helpful if member.joint_ids is None else member.joint_ids
        return problem.space.with_values(candidate, {JOINT_IDS: min(count, len(joint_ids))})
