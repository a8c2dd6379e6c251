"""What a method came to on a data set with a seed in a time: figures and predictions, in a folder each.

    OUTPUT/DATA/SEED/MINUTES/METHOD/result.json
    OUTPUT/DATA/SEED/MINUTES/METHOD/MODEL.validation.npy, MODEL.test.npy     # logits, float32, in the order of the rows

A method may come to several models: the best one alone, and an ensemble of all that it trained. `result.json` is
written last, so what has one has ended.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.metrics import roc_auc_score

from recnas.util.files import read_json, write_json

SINGLE, ENSEMBLE = "single", "ensemble"
"""Models that a method may come to."""
RESULT = "result.json"
PREDICTED = ("validation", "test")
"""The splits that are predicted."""


@dataclass(frozen=True)
class Predictions:
    """What a model predicts, as logits `[N]` in the order of the rows.

    Attributes:
        validation: Of the validation rows.
        test: Of the test rows.
    """

    validation: np.ndarray
    test: np.ndarray


@dataclass(frozen=True)
class Outcome:
    """What a method came to.

    Attributes:
        models: By name, `SINGLE` or `ENSEMBLE`.
        seconds: Processor time.
        about: What else is worth to be known, as plain values.
    """

    models: Mapping[str, Predictions]
    seconds: float
    about: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Task:
    """What a method is to do.

    Attributes:
        data: The data set's folder.
        seconds: Of one core that there are for all that is tried.
        seed: Where all random choices start.
        folder: For files of its own.
    """

    data: Path
    seconds: float
    seed: int
    folder: Path


class Clock:
    """Processor time of this process since the clock began.

    Args:
        seconds: How much there is.
    """

    def __init__(self, seconds: float) -> None:
        self._start, self.all = time.process_time(), seconds

    @property
    def spent(self) -> float:
        """Seconds so far."""
        return time.process_time() - self._start

    @property
    def left(self) -> float:
        """Seconds that are left."""
        return self.all - self.spent


@contextmanager
def counting_processor_time() -> Iterator[None]:
    """Within the `with` block all that recnas times is processor time of this process.

    Budgets are then of one core, whatever else the machine does meanwhile. It takes one process that does all the work.
    """
    wall = time.perf_counter
    time.perf_counter = time.process_time
    try:
        yield
    finally:
        time.perf_counter = wall


def folder_of(output: Path, data: Path, seed: int, minutes: float, method: str) -> Path:
    """Where a method's outcome is."""
    return output / data.name / str(seed) / f"{minutes:g}m" / method


def begin(folder: Path) -> None:
    """Makes a folder anew; what a killed process left in it is removed."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)


def write_outcome(folder: Path, outcome: Outcome, labels: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Measures and writes an outcome.

    Args:
        folder: Its folder.
        outcome: The outcome.
        labels: By split, `[N]`, 0 and 1.

    Returns:
        What is written in `result.json`.
    """
    figures: dict[str, Any] = {}
    for name, predictions in outcome.models.items():
        figures[name] = {}
        for split in PREDICTED:
            logits = getattr(predictions, split)
            np.save(folder / f"{name}.{split}.npy", logits.astype(np.float32))
            figures[name][split] = measured(logits, labels[split])
    result = {"seconds": round(outcome.seconds, 1), "models": figures, "about": dict(outcome.about)}
    write_json(folder / RESULT, result)
    return result


def read_outcome(folder: Path) -> dict[str, Any] | None:
    """What `write_outcome` wrote; None where nothing has ended."""
    return read_json(folder / RESULT) if (folder / RESULT).exists() else None


def read_predictions(folder: Path, model: str, split: str) -> np.ndarray:
    """Logits `[N]`."""
    return np.load(folder / f"{model}.{split}.npy", allow_pickle=False)


def measured(logits: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """Log loss and AUC."""
    return {
        "log_loss": float(row_losses(logits, labels).mean()),
        "auc": float(roc_auc_score(labels, logits)),
    }


def row_losses(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The log loss of each row, `[N]`."""
    exact = logits.astype(np.float64)
    return np.logaddexp(0, exact) - labels * exact
