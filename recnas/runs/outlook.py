"""How long a whole run will go on, from what its stages have to do and how fast it has been so far; needs no torch."""

from __future__ import annotations

from recnas.runs.plan import Plan

RECENT_CANDIDATES = 100
"""How many of the last ones a rate is taken from."""


class Outlook:
    """Guesses the time that is left of a whole run.

    A stage that has not begun takes what its training rows take at the rate of the last training that was measured: a
    short training's, the warm-up's or the final one's. Before anything was trained it is the rate of gradients, which
    are taken forward and backward through a candidate as in training. Models differ, so that is a rough guess; there is
    none where neither was measured.

    Args:
        plan: What each stage has to do.
    """

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self._rows_per_second: float | None = None
        self._trained = False

    def measured(self, stage: str, rate: float) -> None:
        """So much of a stage, in its unit, was done a second."""
        if stage not in self.plan or rate <= 0:
            return
        work = self.plan[stage]
        if work.trains or (work.gradient_cost and not self._trained):
            share = 1.0 if work.trains else work.gradient_cost
            self._rows_per_second, self._trained = rate * work.rows * share, work.trains

    def left(self, stage: str, seconds: float) -> float | None:
        """Seconds left of the whole run; None when nothing is known.

        Args:
            stage: The one that it is in.
            seconds: What is left of that.
        """
        if stage not in self.plan:
            return None
        later = self.plan.stages[self.plan.names.index(stage) + 1 :]
        if not (rows := sum(work.total * work.rows for work in later)):
            return seconds
        return None if self._rows_per_second is None else seconds + rows / self._rows_per_second
