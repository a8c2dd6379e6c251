"""Successive halving: finalists are trained further and further, and the worse half is dropped at each rung."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from recnas.candidates.candidate import Candidate
from recnas.candidates.evaluation import Evaluation, Result
from recnas.strategies.base import Strategy
from recnas.strategies.pareto import Point, choose
from recnas.strategies.registry import TRAINING, strategy

LEAST_LEFT = 2
"""Finalists that are trained to the end at least."""


def num_left(finalists: int) -> int:
    """How many of a rung's finalists go on: the half, rounded up, but no fewer than `LEAST_LEFT`."""
    return max(min(finalists, LEAST_LEFT), math.ceil(finalists / 2))


def survivors(results: Sequence[Result], point: Callable[[Result], Point]) -> list[Candidate]:
    """The finalists of a rung that go on, in the order given; none that diverged.

    Args:
        results: What each of the rung came to.
        point: What one came to in each objective, as in `best_of`; with costs among them front after front goes on.
    """
    sound = [result for result in results if math.isfinite(result.score)]
    if not sound:
        return []
    chosen = choose([point(result) for result in sound], min(len(sound), num_left(len(results))))
    return [sound[place].candidate for place in chosen]


@strategy("full", TRAINING)
@strategy("halving", TRAINING)
class SuccessiveHalving(Strategy):
    """Trains finalists in rungs (Jamieson and Talwalkar 2016), then what is to be trained in whole.

    Args:
        finalists: The candidates.
        rungs: Fidelities at which they are compared, ascending; none to train all of them to the end.
        point: See `survivors`.
        beside: Candidates that are trained to the end whatever the finalists do, such as baselines: small ones, which
            fill the time of a worker whose finalist is done first.
        variants: What else is trained of the best finalist, such as its network with other recipes.

    Attributes:
        field: The finalists that have not been dropped.
    """

    def __init__(
        self,
        finalists: Sequence[Candidate],
        rungs: Sequence[float],
        point: Callable[[Result], Point],
        beside: Sequence[Candidate] = (),
        variants: Callable[[Candidate], Sequence[Candidate]] = lambda leader: (),
    ) -> None:
        self.field = list(finalists)
        self._rungs, self._point, self._beside, self._variants = list(rungs), point, list(beside), variants
        self._asked: list[Evaluation] = []
        self._in_whole = self._is_over = False

    def ask(self) -> list[Evaluation]:
        """The next rung, then the whole trainings, then the best finalist's variants; nothing where all diverged."""
        if self._is_over:
            return []
        if self._in_whole:
            self._is_over = True
            return self._asked
        if self._rungs and len(self.field) > LEAST_LEFT:
            fidelity = self._rungs.pop(0)
            return [Evaluation(candidate, fidelity) for candidate in self.field]
        self._in_whole = True
        return [Evaluation(candidate, 1.0) for candidate in (*self.field, *self._beside)]

    def tell(self, results: Sequence[Result]) -> None:
        """What the rung, or the whole trainings, came to."""
        if not self._in_whole:
            self.field = survivors(results, self._point)
            self._is_over = not self.field
        elif not self._is_over:
            ended = [result for result in results[: len(self.field)] if math.isfinite(result.score)]
            leader = max(ended, key=lambda result: -result.training.validation.log_loss, default=None)
            self._asked = (
                [] if leader is None else [Evaluation(candidate, 1.0) for candidate in self._variants(leader.candidate)]
            )
