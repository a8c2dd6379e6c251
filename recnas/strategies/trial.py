"""A candidate that a strategy has trained in rungs, and how what proposed it has fared."""

from __future__ import annotations

import math
from dataclasses import dataclass

from recnas.candidates.candidate import Candidate
from recnas.candidates.evaluation import Evaluation, Result
from recnas.candidates.network import are_trees

RUNGS = (0.2, 0.5)
"""Shares of a training after which it is compared with those of its kind."""


@dataclass
class Trial:
    """A candidate and how far it was trained.

    Attributes:
        evaluation: As it was first asked for.
        kind: That of its network.
        patience: The share of the budget that its whole training may take.
        result: The last one; None before the first. See `learn`.
        rung: The place in `RUNGS` of the next comparison; as many as there are: none.
        stopped: Whether it was compared, and did not go on.
        loss: What its whole training came to; infinite where it diverged, None while it has not ended.
    """

    evaluation: Evaluation
    kind: str
    patience: float
    result: Result | None = None
    rung: int = 0
    stopped: bool = False
    loss: float | None = None

    def learn(self, result: Result) -> None:
        """Notes what its training has come to."""
        self.result, training = result, result.training
        if training.diverged is not None:
            self.loss = math.inf
        elif training.finished:
            self.loss = training.validation.log_loss

    @property
    def are_trees(self) -> bool:
        """Whether its candidate is trees."""
        return are_trees(self.evaluation.candidate.network)

    @property
    def settled(self) -> Candidate:
        """Its candidate, with what its training found out."""
        return self.evaluation.candidate if self.result is None else self.result.settled

    @property
    def fidelity(self) -> float:
        """The next one to be asked for."""
        return RUNGS[self.rung] if self.rung < len(RUNGS) else 1.0


@dataclass
class Source:
    """How a source of proposals has fared.

    Attributes:
        trials: Proposals of which it is known what came of them.
        wins: Those of them that were among the best when they ended.
    """

    trials: int = 0
    wins: int = 0

    @property
    def weight(self) -> float:
        """Its share, before shares are made to sum to 1."""
        return (1 + self.wins) / (2 + self.trials)
