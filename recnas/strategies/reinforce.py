"""Reinforcement learning over choices: REINFORCE (Williams 1992), as Zoph and Le (2017) search with it."""

from __future__ import annotations

import math

from recnas.strategies.fresh_candidates import Proposal
from recnas.strategies.policy import Drawn, Policy
from recnas.strategies.problem import JointProblem
from recnas.strategies.registry import strategy
from recnas.strategies.whole_training import Trained, WholeTraining

POLICY = "policy"
"""What proposals come from."""
RATE = 0.6
"""How far a reward of one standard deviation above the baseline moves a logit, at most."""
BASELINE_DECAY = 0.9
"""Of the moving averages of rewards and of their squared distance from it."""
ENTROPY_WEIGHT = 0.02
"""How much a policy's entropy counts beside the reward, in standard deviations of it: it stays undecided for longer."""


@strategy("reinforce")
class Reinforce(WholeTraining):
    """Draws candidates from a policy, which learns from each what came of it.

    The controller of Zoph and Le, and of ENAS (Pham et al. 2018), is a recurrent network that is trained on thousands
    of candidates; for hundreds it is one softmax a choice here, each by itself. The reward is the validation log loss
    with its sign turned, less a moving average, in moving standard deviations; a training that diverged is as good as
    the worst that did not. A draw that was asked for before, or is above the limits, is drawn again, and from it
    nothing is learned.
    """

    def begin(self, problem: JointProblem) -> None:
        """See `Strategy.begin`."""
        super().begin(problem)
        self._policy = Policy(problem.space)
        self._drawn: dict[str, Drawn] = {}
        self._worst = -math.inf
        self._baseline: float | None = None
        self._variance = 0.0

    def propose(self) -> Proposal | None:
        """See `WholeTraining.propose`."""
        space, tried = self.problem.space, dict[str, Drawn]()

        def draw() -> Proposal:
            drawn = self._policy.draw(self.problem.rng)
            candidate = space.with_values(space.own(drawn.kind), drawn.values)
            tried[candidate.id] = drawn
            return Proposal(candidate, POLICY)

        proposal = self.new(draw)
        if proposal is not None and (name := proposal.candidate.id) in tried:
            self._drawn[name] = tried[name]
        return proposal

    def learn(self, trained: Trained) -> None:
        """See `WholeTraining.learn`."""
        drawn = self._drawn.pop(trained.id, None)
        if math.isfinite(trained.loss):
            reward = -trained.loss
            self._worst = reward if self._baseline is None else min(self._worst, reward)
        elif self._baseline is not None:
            reward = self._worst
        else:
            return
        if self._baseline is None:
            self._baseline = reward
            return
        distance = reward - self._baseline
        self._baseline += (1 - BASELINE_DECAY) * distance
        if drawn is not None and self._variance:
            advantage = distance / math.sqrt(self._variance)
            self._policy.climb(self._policy.gradient(drawn, advantage, ENTROPY_WEIGHT), RATE)
        before = self._variance or distance**2
        self._variance = BASELINE_DECAY * before + (1 - BASELINE_DECAY) * distance**2
