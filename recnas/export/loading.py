"""An exported model is read: a single one, or an ensemble."""

from __future__ import annotations

from pathlib import Path

import torch

from recnas.candidates.evaluation import Quality
from recnas.data import Dataset
from recnas.export.ensemble import load_ensemble
from recnas.export.ensemble_model import EnsembleModel
from recnas.export.fit import check_finite, check_fits
from recnas.export.folder import load_single
from recnas.features.ensemble_file import is_ensemble
from recnas.nn.model import CTRModel
from recnas.train.loop import evaluate
from recnas.trees.model import TreeModel


def load(directory: str | Path, device: torch.device | str = "cpu") -> CTRModel | TreeModel | EnsembleModel:
    """The model of an exported folder, for inference.

    It is read from JSON and safetensors files, so nothing in the folder can run code; trees are read by their library
    from its own text format.

    Args:
        directory: A folder that `recnas export` or `recnas train` wrote.
        device: The device that the model is moved to; trees stay on the CPU.

    Returns:
        The model, in evaluation mode with its tables held whole: `model.predict(rows)` takes raw rows; a single one
        takes a `Batch` and gives logits `[B]`, an ensemble a batch for each of its `schemas`.

    Raises:
        InputError: A file is missing or damaged, the files belong to different models, or the library of trees is not
            installed.

    Example:
        model = recnas.load("models/criteo")
        probabilities = model.predict(rows)
    """
    directory = Path(directory)
    return load_ensemble(directory, device) if is_ensemble(directory) else load_single(directory, device)


def evaluate_export(
    directory: str | Path,
    data: str | Path,
    split: str = "test",
    *,
    batch_size: int = 4096,
    device: torch.device | str = "cpu",
) -> Quality:
    """Log loss and AUC of an exported model on a data set's split.

    Args:
        directory: The exported model.
        data: A data set with the features that the model was trained on.
        split: "train", "validation" or "test".
        batch_size: Rows looked at at once; it does not change the figures.
        device: The device to compute on.

    Raises:
        InputError: The model or the data set cannot be read, or they do not fit each other.
    """
    directory = Path(directory)
    dataset = Dataset(data, needed=(split,))
    return evaluate_model(load(directory, device), dataset, split, directory, batch_size, device)


def evaluate_model(
    model: CTRModel | TreeModel | EnsembleModel,
    dataset: Dataset,
    split: str,
    directory: Path,
    batch_size: int = 4096,
    device: torch.device | str = "cpu",
) -> Quality:
    """Log loss and AUC of a model; `directory` is where it is from, for messages, all else as in `evaluate_export`."""
    for schema in model.schemas:
        check_fits(schema, dataset, directory)
    if isinstance(model, EnsembleModel):
        quality = model.measure(dataset, split, batch_size).quality
    elif isinstance(model, TreeModel):
        return model.evaluate(dataset.fed(model.schema), split)
    else:
        quality = evaluate(model, dataset.fed(model.schema), split, batch_size, device)
    check_finite(quality, directory, split)
    return quality
