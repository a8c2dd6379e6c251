"""Tensors on disk, as safetensors: nothing that is read can run code."""

from __future__ import annotations

import errno
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from recnas.util.errors import InputError
from recnas.util.files import not_written, replacing


def save_tensors(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Writes tensors so that the file appears under its name only when it is whole.

    Raises:
        RunError: It cannot be written.
    """
    with replacing(path) as new:
        try:
            save_file({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}, new)
        except SafetensorError as error:
            raise not_written(path, f"os error {errno.ENOSPC}" in str(error), str(error)) from error


def load_tensors(path: Path) -> dict[str, Tensor]:
    """Reads a safetensors file.

    Raises:
        InputError: The file is missing or damaged.
    """
    with _damaged_file_as_input_error(path):
        return load_file(path)


@contextmanager
def tensors_in(path: Path) -> Iterator[dict[str, LazyTensor]]:
    """The tensors of a safetensors file, of which only those parts are read that are asked for.

    Raises:
        InputError: The file is missing or damaged.
    """
    with _damaged_file_as_input_error(path):
        file = safe_open(path, "pt")
    with file:
        with _damaged_file_as_input_error(path):
            tensors = {name: LazyTensor(name, file.get_slice(name), path) for name in file.keys()}  # noqa: SIM118
        yield tensors


class LazyTensor:
    """A tensor in a file: `tensor[0:2, :]` reads a part of it, and refuses what is no weight."""

    def __init__(self, name: str, source: Any, path: Path) -> None:
        self.name, self.source, self.path = name, source, path
        self.shape = tuple(source.get_shape())

    def __getitem__(self, place: tuple[slice, ...]) -> Tensor:
        with _damaged_file_as_input_error(self.path):
            part = self.source[place]
        check_weight(self.name, part, self.path)
        return part


def check_weight(name: str, tensor: Tensor, source: Path) -> None:
    """Raises InputError for what no training gives: numbers of another type than float32, or that are not finite."""
    if tensor.dtype != torch.float32:
        kind = str(tensor.dtype).removeprefix("torch.")
        raise InputError(f"{source}: the weight {name} is {kind} where float32 is expected; the file is damaged")
    # A sum needs no memory, and is finite where all terms are, unless they are huge.
    if not torch.isfinite(tensor.sum()) and not torch.isfinite(tensor).all():
        raise InputError(f"{source}: the weight {name} has numbers that are not finite; the file is damaged")


@contextmanager
def _damaged_file_as_input_error(path: Path) -> Iterator[None]:
    try:
        # safetensors says of every file that it cannot open that there is none.
        with path.open("rb"):
            pass
        yield
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error})") from None
    except SafetensorError as error:
        raise InputError(f"{path}: not a whole safetensors file ({error})") from None
