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
        """What a run would be told of the training after a share of it: measured at those of `GRID`, and there.

        Args:
            candidate: Whose it is.
            fidelity: The share; between two of the grid it is interpolated.
            pass_rows: Training rows of a pass.
        """
        total = candidate.passes * pass_rows
        stops = [*(known for known in GRID if known < fidelity), fidelity]
        behind = np.interp(stops, (*GRID, 1.0), (*self.behind, 0.0))
        epochs = tuple(
            self._epoch(candidate, stop, self.validation + float(above), total)
            for stop, above in zip(stops, behind, strict=True)
        )
        return Training(epochs, fidelity >= 1, None, self.seconds * fidelity, 0)

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
