"""ASHA (Li et al. 2020): successive halving that waits for nobody."""

from __future__ import annotations

from recnas.candidates.evaluation import Evaluation
from recnas.strategies.registry import strategy
from recnas.strategies.rung_search import ETA, TOP, RungSearch


@strategy("asha")
class ASHA(RungSearch):
    """Trains on, from the highest rung down, what is among the best third of its rung so far; else something new.

    One that goes on may turn out not to be of the best third when more are on its rung (algorithm 2 of the paper); in
    return no worker waits for others, and no bracket has a size.
    """

    def _next(self) -> Evaluation | None:
        """See `RungSearch._next`."""
        return self._promoted() or self._new(0) or self._at_once_to_the_end()

    def _promoted(self) -> Evaluation | None:
        """The best that may go on and did not yet, of the highest rung that has one."""
        for rung in reversed(range(TOP)):
            on_rung = self._on(rung)
            for candidate in self._best(on_rung, rung, len(on_rung) // ETA):
                if self._asked[candidate.id] > rung:
                    continue
                if self._stands_on(candidate, rung + 1):
                    # It may be among the best there, too, or make room for another one.
                    return self._promoted()
                if self._goes_on_in_time(candidate, rung):
                    return self._at(candidate, rung + 1)
        return None
