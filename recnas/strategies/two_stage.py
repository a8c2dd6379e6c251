"""Two-stage ranking: the best candidates of a first, cheap ranking are evaluated once more, by a second one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from recnas.candidates.evaluation import Evaluation, Result
from recnas.strategies.base import Strategy
from recnas.strategies.choice import best_of
from recnas.strategies.pareto import Point
from recnas.strategies.registry import RE_RANKING, strategy


@strategy("two-stage", RE_RANKING)
class ReRanking(Strategy):
    """Asks for the best of what was evaluated before.

    Args:
        results: Those of the first stage.
        count: How many to choose.
        point: See `best_of`.
    """

    def __init__(self, results: Sequence[Result], count: int, point: Callable[[Result], Point]) -> None:
        self._evaluations = [replace(result.evaluation, fidelity=0.0) for result in best_of(results, count, point)]

    def ask(self) -> list[Evaluation]:
        """All of them, once."""
        asked, self._evaluations = self._evaluations, []
        return asked

    def tell(self, results: Sequence[Result]) -> None:
        """What they make of one another is for who asked to say: scores depend on all of them."""
