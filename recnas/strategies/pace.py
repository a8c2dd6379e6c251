"""How long a training takes, from those of a run that were made, and what an unfinished one may come to."""

from __future__ import annotations

import statistics
from collections.abc import Callable

from recnas.candidates.candidate import Candidate
from recnas.candidates.evaluation import Result, Training
from recnas.candidates.network import Baseline, are_trees

LOOKUP_MACS = 400_000
"""What a row costs beside the products of its network, lookups and updates of embeddings, in multiply–accumulates."""
SHARE_OF_TREES = 0.5
"""Of the most trees of a candidate, those that are expected where none were grown yet."""


class Pace:
    """Learns how fast a run trains: networks by their rows and products, from those of their kind if there are any.

    Trees take as long as they took before, and longer the less each of them counts.

    Args:
        macs: Multiply–accumulates a row of a candidate's network.
        pass_rows: Training rows in a pass.
    """

    def __init__(self, macs: Callable[[Candidate], float], pass_rows: int) -> None:
        self._macs, self._pass_rows = macs, pass_rows
        self._seconds_a_unit: dict[str, list[float]] = {}
        self._of_trees: list[float] = []

    def learn(self, result: Result, before: Result | None = None) -> None:
        """Notes what an evaluation took.

        Args:
            result: What came of it.
            before: What had come of the training when it paused, if it went on from there: its rows and seconds are
                counted in those of the result.
        """
        rows, seconds = result.training.rows, result.seconds
        if before is not None:
            rows, seconds = rows - before.training.rows, seconds - before.seconds
        if rows <= 0 or seconds <= 0:
            return
        if are_trees(result.candidate.network):
            self._of_trees.append(seconds * result.candidate.learning_rate)
        else:
            of_kind = self._seconds_a_unit.setdefault(_kind_of(result.candidate), [])
            of_kind.append(seconds / self._work(result.candidate, rows))

    def seconds(self, candidate: Candidate, share: float = 1.0) -> float | None:
        """How long a share of a candidate's training takes, at most; None while nothing was trained."""
        if are_trees(candidate.network):
            if self._of_trees:
                return share * statistics.median(self._of_trees) / candidate.learning_rate
            share *= SHARE_OF_TREES
        if not self._seconds_a_unit:
            return None
        own = self._seconds_a_unit.get(_kind_of(candidate))
        known = own or [value for of_kind in self._seconds_a_unit.values() for value in of_kind]
        return statistics.median(known) * self._work(candidate, share * candidate.passes * self._pass_rows)

    def _work(self, candidate: Candidate, rows: float) -> float:
        return rows * (self._macs(candidate) + LOOKUP_MACS)


def _kind_of(candidate: Candidate) -> str:
    """What networks are alike in how fast they are for their products."""
    network = candidate.network
    return network.name if isinstance(network, Baseline) else "searched"


def loss_at(training: Training, rows: float) -> float | None:
    """The lowest validation log loss of a training up to so many training rows; None where it was not measured by then.

    Args:
        training: Whose measurements are looked at.
        rows: Training rows seen.
    """
    return min((epoch.validation.log_loss for epoch in training.epochs if epoch.rows <= rows), default=None)
