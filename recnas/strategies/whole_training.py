"""What strategies have in common that train every candidate in whole: nothing is compared before it has ended."""

from __future__ import annotations

import random
from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from recnas.candidates.candidate import Candidate
from recnas.candidates.evaluation import Evaluation, Result
from recnas.strategies.base import Strategy
from recnas.strategies.fresh_candidates import Proposal
from recnas.strategies.pace import Pace
from recnas.strategies.problem import JointProblem

TRIES = 60
"""Proposals in a row that are known, or may not be trained, before a uniform draw takes their place."""
DRAWS = 600
"""Uniform draws in a row of which that is said, before a space is held to be exhausted."""
UNIFORM, MUTATION = "uniform", "mutation"
"""What proposals come from, as the history names it."""


@dataclass(frozen=True)
class Trained:
    """A candidate whose training has ended.

    Attributes:
        id: As it was asked for.
        candidate: With what its training found out.
        loss: Its validation log loss; infinite where it diverged.
    """

    id: str
    candidate: Candidate
    loss: float


class WholeTraining(Strategy):
    """Asks for candidates one by one, as many side by side as it may, and each to its end.

    No candidate is asked for twice, none that is above the limits, and none for whose training a budget in time leaves
    no time; but the first. What proposes them is a subclass's.

    Attributes:
        trained: What has ended, in the order in which it was told.
        num_asked: Candidates that were asked for.
    """

    trains = asynchronous = True

    def begin(self, problem: JointProblem) -> None:
        """See `Strategy.begin`."""
        super().begin(problem)
        self.trained: list[Trained] = []
        self._asked: set[str] = set()
        self._under_way: set[str] = set()
        self._pace = Pace(problem.macs, problem.pass_rows)
        self._clock = 0.0

    def ask(self) -> list[Evaluation]:
        """What is trained next, beside what is under way; nothing once the budget is spent, or the space exhausted."""
        asked: list[Evaluation] = []
        most = self.problem.budget.evaluations
        while len(self._under_way) < self.problem.at_once and (most is None or self.num_asked < most):
            if (proposal := self.propose()) is None:
                break
            candidate = proposal.candidate
            asked.append(Evaluation(candidate, 1.0, proposal.parents, self.num_asked, proposal.source))
            self._asked.add(candidate.id)
            self._under_way.add(candidate.id)
        return asked

    def tell(self, results: Sequence[Result]) -> None:
        """What it came to."""
        for result in results:
            self._under_way.discard(result.candidate.id)
            self._pace.learn(result)
            self._clock = max(self._clock, result.clock or 0.0)
            self.trained.append(Trained(result.candidate.id, result.settled, -result.score))
            self.learn(self.trained[-1])

    @abstractmethod
    def propose(self) -> Proposal | None:
        """A candidate that `may_train` allows; None where there is none, or to wait for what is under way."""

    def learn(self, trained: Trained) -> None:
        """Called with each candidate that has ended."""

    @property
    def num_asked(self) -> int:
        """See the class."""
        return len(self._asked)

    @property
    def waits(self) -> bool:
        """Whether trainings are under way."""
        return bool(self._under_way)

    def may_train(self, candidate: Candidate) -> bool:
        """Whether a candidate is new, within the limits, and there is time for it."""
        return candidate.id not in self._asked and self._fits(candidate) and self.problem.affordable(candidate)

    def new(self, draw: Callable[[], Proposal]) -> Proposal | None:
        """The first of some proposals that may be trained, or a uniform draw; None where many find none.

        Args:
            draw: Gives a proposal.
        """
        for attempt in range(TRIES + DRAWS):
            proposal = draw() if attempt < TRIES else self.uniform()
            if self.may_train(proposal.candidate):
                return proposal
        return None

    def uniform(self) -> Proposal:
        """A candidate each of whose choices is drawn anew."""
        return Proposal(self.problem.space.draw(self.problem.rng), UNIFORM)

    def _fits(self, candidate: Candidate) -> bool:
        seconds = self.problem.budget.seconds
        if seconds is None or (whole := self._pace.seconds(candidate)) is None:
            return True
        return self._clock + whole <= seconds


def tournament(members: Sequence[Trained], size: int, rng: random.Random) -> Trained:
    """The best of some that are drawn.

    Args:
        members: Of which they are drawn.
        size: How many; fewer where there are fewer.
        rng: The source of the draw.
    """
    return min(rng.sample(members, min(size, len(members))), key=lambda member: member.loss)


def normal_scores(values: Sequence[float]) -> list[float]:
    """Numbers by their ranks, to a standard normal distribution, for a model to learn from.

    Of losses, an unlucky learning rate or a training that diverged is bad then, and hides nothing between good ones.

    Args:
        values: At least one; infinite ones are the largest.

    Returns:
        One of each, ascending with it; equal values have equal ones.
    """
    # Loaded here: it takes a moment, and most commands never need it.
    from scipy.special import ndtri
    from scipy.stats import rankdata

    return ndtri((rankdata(values) - 0.5) / len(values)).tolist()
