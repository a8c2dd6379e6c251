"""The folder of a run's model: what it is, how its training comes along, what came of it, weights, predictions."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np

from recnas.candidates.candidate import Candidate
from recnas.candidates.evaluation import Training
from recnas.trees.files import ENSEMBLES, TREES
from recnas.util import forms
from recnas.util.errors import InputError, first_line
from recnas.util.files import read_json, replacing, write_json, write_text

MODELS = "models"
"""The folder in which each candidate that is trained has its own, named by its id."""
CHOSEN = "chosen.json"
"""In that folder, which candidate was the best of each network; there once all trainings have ended."""
CANDIDATE, WEIGHTS, METRICS = "candidate.json", "weights.safetensors", "metrics.jsonl"
PROGRESS, TRAINING, CHECKPOINT = "progress.jsonl", "training.json", "checkpoint"
PREDICTIONS = "validation.npy"
OBJECTIVES = "objectives.json"


class ModelFolder:
    """A trained candidate's folder in a run.

    Args:
        run: The run's folder.
        candidate: Whose model it is.

    Attributes:
        path: The folder.
        weights: Those of the best measurement; of trees the file that is there when all is.
        progress: How the training comes along.
        checkpoint: The state of a training under way.
        predictions: The logits of the validation rows by those weights; there before the weights are.
        objectives: What a user's own objectives say of it, by their names.
    """

    def __init__(self, run: Path, candidate: Candidate) -> None:
        self.candidate = candidate
        self.path = run / MODELS / candidate.id
        self.weights = self.path / (WEIGHTS if candidate.recipe is not None else TREES)
        self.progress = self.path / PROGRESS
        self.checkpoint = self.path / CHECKPOINT
        self.predictions = self.path / PREDICTIONS
        self.objectives = self.path / OBJECTIVES

    def begin(self) -> None:
        """Says what the model is, before anything else is here."""
        if not (self.path / CANDIDATE).exists():
            write_json(self.path / CANDIDATE, self.candidate.to_json())

    def record(self, training: Training, keeps_weights: bool = True) -> None:
        """Writes what the training has come to, where it paused or ended."""
        lines = [json.dumps(item.to_json()) + "\n" for item in training.epochs]
        write_text(self.path / METRICS, "".join(lines))
        write_json(self.path / TRAINING, training.to_json() | {"keeps_weights": keeps_weights})

    def keep_predictions(self, logits: np.ndarray) -> None:
        """Writes the logits of the validation rows.

        Args:
            logits: `[N]` float32, in the order of the rows.

        Raises:
            RunError: They cannot be written.
        """
        with replacing(self.predictions) as partial, partial.open("wb") as file:
            np.save(file, logits, allow_pickle=False)

    def read_predictions(self, rows: int) -> np.ndarray:
        """The logits of the validation rows, `[N]` float32.

        Args:
            rows: How many there are to be.

        Raises:
            InputError: There are none, or they are damaged.
        """
        remedy = "without it, this model is left out of the ensemble"
        try:
            logits = np.load(self.predictions, allow_pickle=False)
        except (EOFError, OSError, ValueError) as error:
            raise InputError(f"{self.predictions}: cannot be read ({first_line(error)}); {remedy}") from None
        if logits.shape != (rows,) or logits.dtype != np.float32 or not np.isfinite(logits).all():
            raise InputError(f"{self.predictions}: these are no predictions of {rows:,} rows; {remedy}")
        return logits

    def outcome(self, rows: int) -> Training | None:
        """What the training came to before, after so many rows; None if it has not come so far, or must be repeated.

        Raises:
            InputError: What is written of it is damaged.
        """
        if (recorded := self._recorded()) is None:
            return None
        training, keeps_weights = recorded
        if training.finished and training.best is None:
            raise InputError(
                f"{self.path / TRAINING}: finished, without an epoch to its end; without this file the training starts "
                "anew"
            )
        if training.finished and training.rows <= rows:
            return training if self.weights.exists() or not keeps_weights else None
        if training.rows >= rows and training.epochs[0].rows <= rows:
            # It went on from there before the process was killed.
            return training.paused_at(rows)
        return training if training.diverged is not None else None

    @property
    def training(self) -> Training | None:
        """What the training has come to, where it paused or ended; None where it has not yet.

        Raises:
            InputError: What is written of it is damaged.
        """
        recorded = self._recorded()
        return None if recorded is None else recorded[0]

    def drop_weights(self) -> None:
        """Removes weights and predictions, and the state of a training that paused; the figures stay."""
        training, keeps_weights = self._recorded() or (None, False)
        if keeps_weights:
            self.record(training, keeps_weights=False)
        if self.checkpoint.exists():
            shutil.rmtree(self.checkpoint)
        self.weights.unlink(missing_ok=True)
        self.predictions.unlink(missing_ok=True)
        if self.candidate.recipe is None:
            (self.path / ENSEMBLES[self.candidate.network.name]).unlink(missing_ok=True)

    def _recorded(self) -> tuple[Training, bool] | None:
        file = self.path / TRAINING
        if not file.exists():
            return None
        values = read_json(file, form=forms.RecordedTraining)
        keeps_weights = values.pop("keeps_weights")
        return Training.from_json(values), keeps_weights
