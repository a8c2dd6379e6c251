"""Local search: from a good candidate to a better neighbour, until there is none (White et al. 2021)."""

from __future__ import annotations

from typing import Any

from recnas.candidates.candidate import Candidate
from recnas.strategies.fresh_candidates import Proposal
from recnas.strategies.problem import JointProblem
from recnas.strategies.registry import strategy
from recnas.strategies.whole_training import Trained, WholeTraining

BEGINNINGS = 10
"""Uniform draws of which the best is where a search begins, and where it begins anew."""
NEIGHBOUR = "neighbour"
"""What proposals come from beside them."""


@strategy("local-search")
class LocalSearch(WholeTraining):
    """Trains neighbours of the incumbent in random order, and moves to the first that is better.

    White et al. (2021) train all neighbours before a move, or go on from the first better one as here: those of an
    architecture are hundreds, more than most budgets have trainings. Every choice is as likely as any other, however
    many values it has. When no neighbour is better it begins anew from random candidates, as in Schneider et al.
    (2022).
    """

    def begin(self, problem: JointProblem) -> None:
        """See `Strategy.begin`."""
        super().begin(problem)
        self._begin_anew()

    def propose(self) -> Proposal | None:
        """See `WholeTraining.propose`."""
        if self._beginnings:
            self._beginnings -= 1
            return self.new(self.uniform)
        for tried, (place, value) in enumerate(self._moves, start=1):
            neighbour = self.problem.space.with_values(self._incumbent.candidate, {place: value})
            if self.may_train(neighbour):
                del self._moves[:tried]
                return Proposal(neighbour, NEIGHBOUR, (self._incumbent.id,))
        if self.waits:
            # What is under way may be better than the incumbent.
            return None
        if (beginning := self.new(self.uniform)) is not None:
            self._begin_anew()
            self._beginnings -= 1
        return beginning

    def learn(self, trained: Trained) -> None:
        """See `WholeTraining.learn`."""
        if self._incumbent is None or trained.loss < self._incumbent.loss:
            self._incumbent, self._moves = trained, self._in_random_order(trained.candidate)

    def _begin_anew(self) -> None:
        self._beginnings = BEGINNINGS
        self._incumbent: Trained | None = None
        self._moves: list[tuple[str, Any]] = []

    def _in_random_order(self, candidate: Candidate) -> list[tuple[str, Any]]:
        """Every place with every other value."""
        rng = self.problem.rng
        moves = {
            place: rng.sample(values, len(values)) for place, values in self.problem.space.moves(candidate).items()
        }
        ordered = []
        while left := [place for place, values in moves.items() if values]:
            place = rng.choice(left)
            ordered.append((place, moves[place].pop()))
        return ordered
