"""Regularised evolution (Real et al. 2019) of candidates that are trained in whole."""

from __future__ import annotations

from recnas.strategies.fresh_candidates import Proposal
from recnas.strategies.registry import strategy
from recnas.strategies.whole_training import MUTATION, WholeTraining, tournament

POPULATION = 10
"""Candidates that are alive; a tenth of the published number, as there are tens to hundreds of trainings."""
TOURNAMENT = 5
"""Of them that are drawn each time: the half, where a quarter was published; in so few trainings less is too slow."""


@strategy("evolution-trained")
class EvolutionTraining(WholeTraining):
    """Mutates the winner of a tournament among the youngest, one child at a time.

    `RegularizedEvolution` is the same of candidates that are ranked, in the generations of NASRec, and for hundreds of
    members.
    """

    def propose(self) -> Proposal | None:
        """See `WholeTraining.propose`."""
        if self.num_asked < POPULATION or not self.trained:
            return self.new(self.uniform)
        rng, space = self.problem.rng, self.problem.space
        parent = tournament(self.trained[-POPULATION:], TOURNAMENT, rng)
        return self.new(lambda: Proposal(space.mutate(parent.candidate, rng), MUTATION, (parent.id,)))
