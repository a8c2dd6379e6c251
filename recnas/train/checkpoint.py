"""Weights on disk, as safetensors: nothing that is read can run code."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from recnas.errors import InputError
from recnas.nn.model import CTRModel
from recnas.train.warmup import PathLearner

NETWORK, TABLES = "network.", "tables."


def save_tensors(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Writes tensors so that the file appears under its name only when it is whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    save_file({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}, partial)
    os.replace(partial, path)


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
    """A model's weights by name: `network.…` for the dense part, `tables.<feature>` for embedding tables."""
    network = {NETWORK + name: tensor for name, tensor in model.network.state_dict().items()}
    return network | {TABLES + name: table for name, table in model.embeddings.tables().items()}


def load_model_tensors(model: CTRModel, tensors: Mapping[str, Tensor], source: Path) -> None:
    """Copies weights into a model of the same shape.

    Raises:
        InputError: A weight is missing, is there in excess, or has another shape; the model is then as it was.
    """
    _copy(model_tensors(model), tensors, source)


def save_supernet(folder: Path, learner: PathLearner) -> None:
    """Writes a supernet and its optimiser's state: `weights.safetensors`, `optimizer.safetensors`."""
    save_tensors(folder / "weights.safetensors", model_tensors(learner.supernet))
    save_tensors(folder / "optimizer.safetensors", _optimizer_tensors(learner))


def load_supernet(folder: Path, learner: PathLearner) -> None:
    """Reads what `save_supernet` wrote into a learner of the same space and schema.

    Raises:
        InputError: A file is missing, damaged, or of another supernet.
    """
    weights, sums = folder / "weights.safetensors", folder / "optimizer.safetensors"
    load_model_tensors(learner.supernet, load_tensors(weights), weights)
    _copy(_optimizer_tensors(learner), load_tensors(sums), sums)


def _optimizer_tensors(learner: PathLearner) -> dict[str, Tensor]:
    sums = {NETWORK + name: tensor for name, tensor in learner.optimizer.sums.items()}
    return sums | {TABLES + name: tensor for name, tensor in learner.supernet.embeddings.optimizer_state().items()}


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
