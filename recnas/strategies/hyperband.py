"""Hyperband (Li et al. 2017): brackets of successive halving that trust the first rungs more, and less."""

from __future__ import annotations

import math

from recnas.strategies.registry import strategy
from recnas.strategies.rung_search import ETA, TOP
from recnas.strategies.successive_halving import SuccessiveHalvingSearch


@strategy("hyperband")
class Hyperband(SuccessiveHalvingSearch):
    """Brackets that begin with many candidates on the lowest rung, then with fewer on the next, and so on, in turn.

    Each takes about as much training as the others (algorithm 1), the last of them whole trainings only. So it loses
    little where curves cross, and early comparisons mislead.
    """

    def _bracket(self, number: int) -> tuple[int, int]:
        """See `SuccessiveHalvingSearch`; for s rungs above the first, (s_max + 1) / (s + 1) · η^s candidates."""
        first = number % (TOP + 1)
        above = TOP - first
        return first, math.ceil((TOP + 1) / (above + 1) * ETA**above)
