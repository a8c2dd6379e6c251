"""Random search: as many random candidates as the budget allows, all different."""

from __future__ import annotations

from collections.abc import Sequence

from recnas.candidates.evaluation import Evaluation, Result
from recnas.strategies.base import Strategy
from recnas.strategies.registry import strategy
from recnas.util.errors import InputError


@strategy("random")
class RandomSearch(Strategy):
    """Draws all candidates at once."""

    def __init__(self) -> None:
        self._has_asked = False

    def ask(self) -> list[Evaluation]:
        """Every candidate; fewer than the budget allows where no more are found."""
        if self._has_asked:
            return []
        self._has_asked = True
        found: list[Evaluation] = []
        while len(found) < self.problem.budget.evaluations and (candidate := self.problem.random()) is not None:
            found.append(Evaluation(candidate))
        if not found:
            raise InputError(
                f"found only 0 of the {self.problem.budget.evaluations} distinct candidates of a random search; raise "
                "the limits"
            )
        return found

    def tell(self, results: Sequence[Result]) -> None:
        """Nothing is learned from them."""
