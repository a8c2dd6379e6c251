"""Successive halving (Jamieson and Talwalkar 2016) as a search: bracket after bracket of new candidates."""

from __future__ import annotations

from collections.abc import Iterator

from recnas.candidates.candidate import Candidate
from recnas.candidates.evaluation import Evaluation
from recnas.strategies.registry import strategy
from recnas.strategies.rung_search import ETA, TOP, RungSearch


@strategy("successive-halving")
class SuccessiveHalvingSearch(RungSearch):
    """Brackets: candidates begin on a rung, and of all that are on one the best third goes on to the next.

    All of a rung are trained before any goes on. A bracket is as large as the budget has candidates, or time, left for.
    `recnas.strategies.halving` is the same of finalists that are given.
    """

    def __init__(self) -> None:
        super().__init__()
        self._questions = self._all_brackets()

    def _bracket(self, number: int) -> tuple[int, int]:
        """On which rung a bracket begins, and with how many candidates; the first bracket has number 0."""
        return 0, ETA**TOP

    def _next(self) -> Evaluation | None:
        """See `RungSearch._next`."""
        return next(self._questions)

    def _all_brackets(self) -> Iterator[Evaluation | None]:
        """Every question in its turn; None where it waits, or while nothing is left of the budget."""
        while True:
            first, size = self._bracket(self.round)
            field: list[Candidate] = []
            while len(field) < size and (evaluation := self._new(first, field)) is not None:
                field.append(evaluation.candidate)
                yield evaluation
            if not field:
                yield self._at_once_to_the_end()
                continue
            for rung in range(first, TOP):
                while not self._under_way.isdisjoint(candidate.id for candidate in field):
                    yield None
                on_next = []
                for candidate in self._best(field, rung, max(1, len(field) // ETA)):
                    if self._stands_on(candidate, rung + 1):
                        on_next.append(candidate)
                    elif self._goes_on_in_time(candidate, rung):
                        on_next.append(candidate)
                        yield self._at(candidate, rung + 1)
                field = on_next
            self.round += 1
