"""Whether rows are clicked as often as a model predicts."""

from __future__ import annotations

import numpy as np

from recnas.candidates.evaluation import CalibrationBin

BINS = 15
"""Groups of rows with alike predictions, about as many rows each."""


def calibration_of(logits: np.ndarray, labels: np.ndarray) -> list[CalibrationBin]:
    """Rows in groups from the least to the most likely clicked ones; rows with the same prediction are in one group.

    Args:
        logits: `[N]`, finite.
        labels: `[N]`, 0 or 1.
    """
    _, places = np.unique(logits.astype(np.float64), return_inverse=True)
    rows = np.bincount(places)
    # A value belongs where the middle of its rows is.
    middles = rows.cumsum() - rows / 2
    groups = (middles * BINS / max(len(logits), 1)).astype(np.int64)[places]
    predicted = np.exp(-np.logaddexp(0.0, -logits.astype(np.float64)))
    counts = np.bincount(groups)
    sums = [np.bincount(groups, weights=of_rows) for of_rows in (predicted, labels.astype(np.float64))]
    return [
        CalibrationBin(float(guess / count), float(clicks / count), int(count))
        for guess, clicks, count in zip(*sums, counts, strict=True)
        if count
    ]
