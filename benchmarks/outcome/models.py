"""Trains candidates of recnas one by one, predicts with what came of it, and puts predictions together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from benchmarks.outcome.results import ENSEMBLE, PREDICTED, SINGLE, Predictions, Task, row_losses
from recnas.candidates.candidate import Candidate
from recnas.candidates.evaluation import Evaluation, Training
from recnas.data import Dataset
from recnas.execution.executor import computing_with
from recnas.runs.models import ModelFolder
from recnas.runs.settings import Settings
from recnas.search.ensemble_selection import Mixture, select
from recnas.search.feeding import open_data
from recnas.search.training import restore, restore_trees, train_candidate
from recnas.train.loop import largest_table
from recnas.trees.model import TreeModel

BATCH = 4096
MOST_MEMBERS = 8
"""Of an ensemble, as in a search's run."""


def settings_of(task: Task, name: str, seed: int) -> Settings:
    """Settings of trainings in a folder of a task's own.

    Args:
        task: The task.
        name: The folder's.
        seed: Of weights and of the rows' order.
    """
    return Settings(data=str(task.data), run=str(task.folder / name), seed=seed, workers=1)


def train(settings: Settings, candidate: Candidate, share: float = 1.0) -> Training:
    """Trains a candidate, or a share of its training, from where it paused."""
    with computing_with(threads=1):
        return train_candidate(settings, Evaluation(candidate, share)).training


def predict(settings: Settings, candidate: Candidate) -> Predictions:
    """What a trained candidate predicts; see `drop`."""
    dataset, run = open_data(settings, candidate.inputs), Path(settings.run)
    restored = restore_trees if candidate.recipe is None else restore
    model = restored(run, dataset.schema, candidate)
    with computing_with(threads=1):
        return Predictions(*(_logits(model, dataset, split) for split in PREDICTED))


def drop(settings: Settings, candidate: Candidate) -> None:
    """Removes the weights of a candidate that is predicted with no more: all that are tried would fill a disk."""
    ModelFolder(Path(settings.run), candidate).drop_weights()


def labels_of(data: Path) -> dict[str, np.ndarray]:
    """The labels of a data set's rows, `[N]`, by split, in the order in which they are predicted."""
    dataset = Dataset(data)
    return {split: dataset.labels(split) for split in PREDICTED}


def mixed(members: Sequence[tuple[Predictions, float]]) -> Predictions:
    """The weighted mean of probabilities; the sum of the weights is 1."""
    splits = []
    for split in PREDICTED:
        mixture = Mixture()
        for predictions, weight in members:
            mixture.add(weight, getattr(predictions, split))
        splits.append(mixture.logits)
    return Predictions(*splits)


@dataclass(frozen=True)
class Trained:
    """A model that may be chosen.

    Attributes:
        validation: Logits of the validation rows, `[N]`.
        of_test: Gives those of the test rows, which few models are asked for.
    """

    validation: np.ndarray
    of_test: Callable[[], np.ndarray]


def best_and_ensemble(found: Sequence[Trained], labels: np.ndarray, seed: int) -> dict[str, Predictions]:
    """The model that is best on validation, and the ensemble that a search would select of them all.

    Args:
        found: All of them.
        labels: Of the validation rows.
        seed: Of the selection.
    """
    best = min(range(len(found)), key=lambda place: row_losses(found[place].validation, labels).mean())
    selected = select(np.stack([item.validation for item in found]), labels, most=MOST_MEMBERS, seed=seed)
    wanted = {best, *selected.weights}
    predictions = {place: Predictions(found[place].validation, found[place].of_test()) for place in wanted}
    ensemble = mixed([(predictions[place], weight) for place, weight in selected.weights.items()])
    return {SINGLE: predictions[best], ENSEMBLE: ensemble}


@torch.no_grad()
def _logits(model: torch.nn.Module | TreeModel, dataset: Dataset, split: str) -> np.ndarray:
    most = {} if isinstance(model, TreeModel) else {"max_rows_per_table": largest_table(model)}
    return np.concatenate([model(batch).numpy() for batch in dataset.batches(split, BATCH, **most)]).astype(np.float32)
