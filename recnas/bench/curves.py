"""A training's course as a few numbers, the same for all: what it came to, and how far behind it was on its way."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from recnas.candidates.candidate import Candidate
from recnas.candidates.evaluation import Epoch, Quality, Training

GRID = (0.025, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
"""Fidelities at which a curve is known, besides its end."""


@dataclass(frozen=True)
class Curve:
    """A training.

    Attributes:
        validation: Log loss of the weights that are kept.
        test: The same.
        behind: By how much the best validation log loss so far was above `validation`, at each fidelity of `GRID`.
        seconds: Processor time of the whole.
    """

    validation: float
    test: float
    behind: np.ndarray
    seconds: float

    def training(self, candidate: Candidate, fidelity: float, pass_rows: int) -> Training:
        """What a run would be told of the training after a share of it; measured at the fidelities of `GRID` alone.

        Args:
            candidate: Whose it is.
            fidelity: The share; between two of the grid the next one counts.
            pass_rows: Training rows of a pass.
        """
        total = candidate.passes * pass_rows
        stops = [place for place, known in enumerate(GRID) if known <= fidelity + 1e-9]
        if fidelity < 1 and not stops:
            stops = [0]
        epochs = [
            self._epoch(candidate, fidelity=GRID[place], loss=self.validation + float(self.behind[place]), total=total)
            for place in stops
        ]
        if fidelity >= 1:
            epochs.append(self._epoch(candidate, 1.0, self.validation, total))
        seconds = self.seconds * (1.0 if fidelity >= 1 else GRID[stops[-1]])
        return Training(tuple(epochs), fidelity >= 1, None, seconds, 0)

    def _epoch(self, candidate: Candidate, fidelity: float, loss: float, total: int) -> Epoch:
        return Epoch(
            candidate.learning_rate,
            fidelity * candidate.passes,
            round(fidelity * total),
            loss,
            # No search looks at the area under the curve.
            Quality(loss, 0.5),
            self.seconds * fidelity,
        )


def curve_of(line: Mapping[str, Any]) -> Curve:
    """The curve of a training of a table.

    Args:
        line: Of its frame; the training did not diverge.
    """
    best = np.minimum.accumulate(np.asarray(line["stop_validation_log_loss"], dtype=float))
    kept = float(line["validation_log_loss"])
    # Where it lost patience, it was at its end by the fidelities that are left.
    behind = np.interp(GRID, np.asarray(line["stop_fidelity"], dtype=float), best - kept)
    return Curve(kept, float(line["test_log_loss"]), np.maximum(behind, 0.0), float(line["seconds"]))
