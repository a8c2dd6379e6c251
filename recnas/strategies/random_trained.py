"""Random search in its plain form: candidates drawn uniformly, and each trained to its end."""

from __future__ import annotations

from recnas.strategies.fresh_candidates import Proposal
from recnas.strategies.registry import strategy
from recnas.strategies.whole_training import WholeTraining


@strategy("random-trained")
class RandomTraining(WholeTraining):
    """Draws every choice of every candidate (Bergstra and Bengio 2012); what any other strategy has to be better than.

    `UniformSearch` draws likewise, and gives bad trainings up on their way.
    """

    def propose(self) -> Proposal | None:
        """See `WholeTraining.propose`."""
        return self.new(self.uniform)
