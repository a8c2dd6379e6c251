"""Weights on disk, as safetensors: nothing that is read can run code."""

from __future__ import annotations

import errno
import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from recnas.errors import InputError
from recnas.files import not_written, replacing
from recnas.nn.model import CTRModel
from recnas.train.loop import Learner

NETWORK, TABLES, FIRST_ORDER, SUMS = "network.", "tables.", "first_order.", "sums."


def save_tensors(
    path: Path, tensors: Mapping[str, Tensor], notes: Mapping[str, Any] | None = None, durable: bool = True
) -> None:
    """Writes tensors so that the file appears under its name only when it is whole.

    Args:
        path: The file.
        tensors: What is written.
        notes: Plain JSON values, written too.
        durable: Whether to wait until it is on the disk, where not even a power cut can lose it.

    Raises:
        RunError: It cannot be written.
    """
    metadata = None if notes is None else {"notes": json.dumps(notes)}
    with replacing(path, durable) as partial:
        try:
            save_file({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}, partial, metadata)
        except SafetensorError as error:
            raise not_written(path, f"os error {errno.ENOSPC}" in str(error), str(error)) from error


def load_tensors(path: Path) -> dict[str, Tensor]:
    """Reads a safetensors file.

    Raises:
        InputError: The file is missing or damaged.
    """
    try:
        return load_file(path)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error})") from None
    except SafetensorError as error:
        raise InputError(f"{path}: not a whole safetensors file ({error})") from None


def model_tensors(model: CTRModel) -> dict[str, Tensor]:
    """A model's weights by name: `network.…` for the dense part, `tables.<feature>` for embedding tables.

    First-order weights, where a model has them, are `first_order.<feature>`.
    """
    network = {NETWORK + name: tensor for name, tensor in model.network.state_dict().items()}
    return network | _by_kind(model.embeddings.tables)


def _by_kind(tables: Callable[[bool], dict[str, Tensor]]) -> dict[str, Tensor]:
    """Tables of embeddings and of first-order weights, under names that tell them apart."""
    return {
        prefix + name: table
        for prefix, first_order in ((TABLES, False), (FIRST_ORDER, True))
        for name, table in tables(first_order).items()
    }


def load_model_tensors(model: CTRModel, tensors: Mapping[str, Tensor], source: Path) -> None:
    """Copies weights into a model of the same shape.

    Raises:
        InputError: A weight is missing, is there in excess, or has another shape; the model is then as it was.
    """
    _copy(model_tensors(model), tensors, source)


class Checkpoint:
    """A training's state in a file, written now and then, to go on from when the process was killed.

    Args:
        path: The file.
        seconds: Between two writes.
    """

    def __init__(self, path: Path, seconds: float) -> None:
        self.path, self.seconds = path, seconds
        self._written = time.monotonic()

    @property
    def due(self) -> bool:
        """Whether the last write, or the start, was long enough ago."""
        return time.monotonic() - self._written >= self.seconds

    def save(self, learner: Learner, notes: Mapping[str, Any]) -> None:
        """Writes everything that the training needs to go on, and notes of plain JSON values, over the file.

        The training does not wait for the disk: after a power cut the file may be damaged, and `restore` says so.

        Raises:
            RunError: The file cannot be written.
        """
        save_tensors(self.path, _training_tensors(learner), {**notes, "memory": learner.memory()}, durable=False)
        self._written = time.monotonic()

    def restore(self, learner: Learner) -> dict[str, Any] | None:
        """Makes a learner what it was at the last `save`; gives the notes, or None when there is no file.

        Raises:
            InputError: The file is damaged, or of another training.
        """
        if not self.path.exists():
            return None
        try:
            tensors = load_tensors(self.path)
        except InputError as error:
            raise InputError(f"{error}; without this file its training starts anew") from None
        with safe_open(self.path, "pt") as file:
            notes = json.loads((file.metadata() or {}).get("notes", "null"))
        if not isinstance(notes, dict) or "memory" not in notes:
            raise InputError(f"{self.path}: not the state of a training")
        _copy(_training_tensors(learner), tensors, self.path)
        learner.recall(notes.pop("memory"))
        return notes

    def remove(self) -> None:
        """The training is over."""
        self.path.unlink(missing_ok=True)


def _training_tensors(learner: Learner) -> dict[str, Tensor]:
    sums = {SUMS + name: tensor for name, tensor in _optimizer_tensors(learner).items()}
    return model_tensors(learner.model) | sums


def save_supernet(folder: Path, learner: Learner) -> None:
    """Writes a supernet and its optimiser's state: `weights.safetensors`, `optimizer.safetensors`."""
    save_tensors(folder / "weights.safetensors", model_tensors(learner.model))
    save_tensors(folder / "optimizer.safetensors", _optimizer_tensors(learner))


def load_supernet(folder: Path, learner: Learner) -> None:
    """Reads what `save_supernet` wrote into a learner of the same space and schema.

    Raises:
        InputError: A file is missing, damaged, or of another supernet.
    """
    weights, sums = folder / "weights.safetensors", folder / "optimizer.safetensors"
    load_model_tensors(learner.model, load_tensors(weights), weights)
    _copy(_optimizer_tensors(learner), load_tensors(sums), sums)


def _optimizer_tensors(learner: Learner) -> dict[str, Tensor]:
    sums = {NETWORK + name: tensor for name, tensor in learner.sums().items()}
    return sums | _by_kind(learner.model.embeddings.optimizer_state)


@torch.no_grad()
def _copy(own: Mapping[str, Tensor], tensors: Mapping[str, Tensor], source: Path) -> None:
    for name in sorted(own.keys() | tensors.keys()):
        if name not in tensors:
            raise InputError(f"{source}: the weight {name} is missing; this file belongs to another model")
        if name not in own:
            raise InputError(f"{source}: the weight {name} is not this model's")
        if own[name].shape != tensors[name].shape:
            raise InputError(
                f"{source}: the weight {name} is {list(tensors[name].shape)} where {list(own[name].shape)} is expected"
            )
    for name, tensor in own.items():
        tensor.copy_(tensors[name])
