"""Models and trainings under way on disk: their weights, and what is needed to go on."""

from __future__ import annotations

import errno
import json
import math
import shutil
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.distributed.checkpoint as dcp
from safetensors import SafetensorError
from torch import Tensor
from torch.distributed.checkpoint import HuggingFaceStorageReader, HuggingFaceStorageWriter
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.planner import WriteItem

from recnas.candidates.embedding_optimizer import COUNTS, EXP_AVG_SQ, RATES_THEN, SUM
from recnas.nn.divided import Divided
from recnas.nn.embeddings import WEIGHT_COLUMNS
from recnas.nn.model import CTRModel
from recnas.nn.processes import Processes
from recnas.nn.row_decay import settle
from recnas.train.loop import Learner
from recnas.train.tensor_files import LazyTensor, check_weight, load_tensors, save_tensors
from recnas.util import forms
from recnas.util.errors import InputError
from recnas.util.files import not_written, read_json, write_text
from recnas.util.memory import is_out_of_memory

NETWORK, TABLES, FIRST_ORDER, OPTIMIZER = "network.", "tables.", "first_order.", "optimizer."
KINDS = {TABLES: False, FIRST_ORDER: True}
"""Of tables, and whether their weights are first-order ones."""
RATES, EPS, PENALTY = "rates", "eps", "penalty."
"""What decay needs; see `ShardedEmbeddings.decay_state`."""
NOTES, UNFINISHED = "notes.json", ".unfinished"
WRITE_SHARE = 0.05
"""Share of a training's time that writing its state may take."""
FILE_BYTES = 256 << 20
"""Of what a file of a state has, unless it is one tensor."""
LOOK_EVERY, LOOK_SHARE = 1.0, 0.1
"""Seconds between two looks at the clock of several processes, and the share of those between two writes, at most."""


def model_tensors(model: CTRModel) -> dict[str, Tensor]:
    """A model's weights by name: `network.…` for the dense part, `tables.<feature>` for embedding tables.

    First-order weights, where a model has them, are `first_order.<feature>`. Processes that hold the tables together
    call it at the same time; the first one is given all weights, the others none.
    """
    return _gathered(_model_parts(model))


def save_model(path: Path, model: CTRModel) -> None:
    """Writes a model's weights into one file; processes that hold it together call it at the same time.

    Raises:
        RunError: It cannot be written.
    """
    if tensors := model_tensors(model):
        save_tensors(path, tensors)


def load_model_tensors(model: CTRModel, tensors: Mapping[str, Tensor | LazyTensor], source: Path) -> None:
    """Copies weights into a model of the same shape, of which this process may hold a part.

    Raises:
        InputError: A weight is missing, is there in excess, has another shape, or is no float32 numbers that are
            finite; the model is then as it was, unless parts of a file are read.
    """
    for name, tensor in tensors.items():
        if isinstance(tensor, Tensor):
            check_weight(name, tensor, source)
    _copy(_model_parts(model), tensors, source)


def _model_parts(model: CTRModel) -> dict[str, Divided]:
    return _network_parts(model) | _by_kind(model.embeddings.divided_tables)


def _network_parts(model: CTRModel) -> dict[str, Divided]:
    return {NETWORK + name: Divided(tensor) for name, tensor in model.network.state_dict().items()}


def _by_kind(tables: Callable[[bool], dict[str, Divided]]) -> dict[str, Divided]:
    """Tables of embeddings and of first-order weights, under names that tell them apart."""
    return {
        prefix + name: table for prefix, first_order in KINDS.items() for name, table in tables(first_order).items()
    }


def _gathered(parts: Mapping[str, Divided]) -> dict[str, Tensor]:
    whole = {name: tensor.gather() for name, tensor in parts.items()}
    return {name: tensor for name, tensor in whole.items() if tensor is not None} if None not in whole.values() else {}


class Checkpoint:
    """A training's state in a folder, written now and then, to go on from when a process was killed.

    Each process writes the parts that it holds, as safetensors files by `torch.distributed.checkpoint`, into a folder
    that takes its name when all of it is written; the state before is removed only then. Another number of processes
    can go on from it.

    Args:
        folder: The folder of the states, which all processes must see.
        seconds: The time between two writes, at least; more where writing would take more than a twentieth of it.
        processes: The processes that train together; all of them call these methods at the same time.
    """

    def __init__(self, folder: Path, seconds: float, processes: Processes) -> None:
        self.folder, self.seconds, self.processes = folder, seconds, processes
        # What is spent is measured by the clock of the search, writes by one that goes on whatever is counted.
        self._start = time.perf_counter()
        self._written = self._looked = time.monotonic()
        self._steps, self._next_look, self._took = 0, 1, 0.0

    @property
    def spent(self) -> float:
        """Seconds since `restore`, and those up to the state that the training went on from."""
        return time.perf_counter() - self._start

    def due(self) -> bool:
        """Asked after each step: whether the last write, or the start, was long enough ago, by the first process's
        clock. The others learn it now and then, not at each step."""
        self._steps += 1
        if self._steps < self._next_look:
            return False
        is_due, self._next_look = self.processes.first(self._look)
        self._steps = 0
        return is_due

    def _look(self) -> tuple[bool, int]:
        """Whether it is time to write, and the steps to the next look."""
        now = time.monotonic()
        rate, self._looked = self._steps / max(now - self._looked, 1e-9), now
        steps = 1 if self.processes.alone else max(1, round(min(LOOK_EVERY, LOOK_SHARE * self.seconds) * rate))
        # Large tables take long to write; with 0 seconds nobody asks how long.
        pause = max(self.seconds, self._took / WRITE_SHARE) if self.seconds else 0.0
        return now - self._written >= pause, steps

    def save(self, learner: Learner, notes: Mapping[str, Any]) -> None:
        """Writes all that the training needs to go on, and notes of plain JSON values, in place of what was there.

        Raises:
            RunError: A file cannot be written.
        """
        start = time.monotonic()
        state = _held(_training_parts(learner))
        new = self.processes.first(self._make_room)
        writer = _StateWriter(str(new), save_distributed=True)
        with _failure_as_run_error(self.folder), _quiet():
            dcp.save(state, storage_writer=writer, **self._among)
        if self.processes.leads:
            notes = {**notes, "learner": learner.state_dict(), "seconds": self.spent}
            write_text(new / NOTES, json.dumps(notes))
            new.rename(new.with_suffix(""))
            self._remove_all_but(new.with_suffix(""))
        self._written = time.monotonic()
        self._took = self._written - start

    def restore(self, learner: Learner) -> dict[str, Any] | None:
        """Makes a learner what it was at the last `save`; gives the notes, or None when nothing was saved.

        Raises:
            InputError: The state is damaged, or of another training.
        """
        self._start = time.perf_counter()
        state = self.processes.first(partial(newest_state, self.folder))
        if state is None:
            return None
        notes = self.processes.first(partial(read_notes, state))
        parts = _training_parts(learner)
        reader = HuggingFaceStorageReader(str(state))
        with _damage_as_input_error(state):
            stored = reader.read_metadata().state_dict_metadata
        check_same(
            {name: part.shape for name, part in parts.items()},
            {name: tuple(item.size) for name, item in stored.items()},
            state,
        )
        with _damage_as_input_error(state), _quiet():
            dcp.load(_held(parts), storage_reader=reader, **self._among)
            for name, part in parts.items():
                for tensor, _ in () if name.startswith(OPTIMIZER) else part.parts:
                    check_weight(name, tensor, state)
            learner.load_state_dict(notes.pop("learner"))
        self._start -= notes.pop("seconds")
        return notes

    def remove(self) -> None:
        """Removes all states, as the training is over."""
        if self.processes.leads:
            shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def _among(self) -> dict[str, Any]:
        return {"no_dist": True} if self.processes.alone else {"process_group": self.processes.control}

    def _make_room(self) -> Path:
        last = newest_state(self.folder)
        self._remove_all_but(last)
        new = self.folder / f"{0 if last is None else int(last.name) + 1}{UNFINISHED}"
        new.mkdir(parents=True)
        return new

    def _remove_all_but(self, kept: Path | None) -> None:
        for path in self.folder.iterdir() if self.folder.is_dir() else ():
            # A file beside the states is none of them: the weights of a best epoch.
            if path != kept and path.is_dir():
                shutil.rmtree(path, ignore_errors=True)


class _StateWriter(HuggingFaceStorageWriter):
    """torch's writer of safetensors, but for this: what is written goes into several files.

    Parts of one tensor that one process holds, as when a table is split by columns, are in different ones: a file has
    one tensor of a name, and torch's would keep the last of them. And torch copies all that is in a file, more than
    once, before it writes it, so that a file has only so much.
    """

    def _split_by_storage_plan(
        self, storage_plan: dict[str, int] | None, items: list[WriteItem]
    ) -> dict[int, list[WriteItem]]:
        files: dict[int, list[WriteItem]] = {}
        last, size, names = 1, 0, set[str]()
        for item in items:
            data = item.tensor_data
            own = math.prod(data.chunk.sizes) * data.properties.dtype.itemsize
            if files and (item.index.fqn in names or size + own > FILE_BYTES):
                last, size, names = last + 1, 0, set()
            files.setdefault(last, []).append(item)
            size += own
            names.add(item.index.fqn)
        return files


def newest_state(folder: Path) -> Path | None:
    """The last state of a training that was wholly written to a checkpoint's folder."""
    states = [path for path in folder.iterdir() if path.name.isdecimal()] if folder.is_dir() else []
    return max(states, key=lambda path: int(path.name), default=None)


def read_notes(state: Path) -> dict[str, Any]:
    """The notes that lie beside a state.

    Raises:
        InputError: It cannot be read.
    """
    with _damage_as_input_error(state):
        return read_json(state / NOTES, "without this folder its training starts anew", forms.StateNotes)


def state_tensors(state: Path) -> dict[str, Tensor]:
    """The weights of a state, whole, by the names of `model_tensors`, whatever number of processes wrote it.

    Raises:
        InputError: It is damaged.
    """
    reader = HuggingFaceStorageReader(str(state))
    with _damage_as_input_error(state), _quiet():
        stored = reader.read_metadata().state_dict_metadata
        claimed = sum(math.prod(item.size) * item.properties.dtype.itemsize for item in stored.values())
        if claimed > (there := sum(path.stat().st_size for path in state.iterdir())):
            raise ValueError(f"its tensors claim {claimed:,} bytes, its files have {there:,}")
        decays = OPTIMIZER + RATES in stored
        tensors = {
            name: torch.empty(item.size, dtype=item.properties.dtype)
            for name, item in stored.items()
            if decays or not name.startswith(OPTIMIZER)
        }
        dcp.load(tensors, storage_reader=reader, no_dist=True)
        if decays:
            _settle(tensors)
    return {name: tensor for name, tensor in tensors.items() if not name.startswith(OPTIMIZER)}


def _settle(tensors: Mapping[str, Tensor]) -> None:
    """Applies decay to the tables of a state, which are kept as a training that goes on needs them."""
    rates, eps = (tensors[OPTIMIZER + name].item() for name in (RATES, EPS))
    for name, table in tensors.items():
        kind = next((kind for kind in KINDS if name.startswith(kind)), None)
        if kind is None:
            continue
        penalty = tensors[OPTIMIZER + PENALTY + name.removeprefix(kind)].item()
        of_table = {
            state: tensors[place]
            for state in (SUM, EXP_AVG_SQ, COUNTS, RATES_THEN)
            if (place := OPTIMIZER + state_prefix(state) + name) in tensors
        }
        settle(table, of_table, penalty / (WEIGHT_COLUMNS if KINDS[kind] else 1), rates, eps)


@contextmanager
def _damage_as_input_error(state: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError, LookupError, TypeError, AttributeError, SafetensorError, CheckpointException) as error:
        cause = _cause(error)
        raise InputError(f"{state}: damaged ({cause}); without this folder its training starts anew") from None


@contextmanager
def _failure_as_run_error(folder: Path) -> Iterator[None]:
    try:
        yield
    except CheckpointException as error:
        cause = _cause(error)
        full = isinstance(cause, OSError) and cause.errno == errno.ENOSPC
        raise not_written(folder, full, str(cause)) from error


def _cause(error: BaseException) -> BaseException:
    """What torch wraps up of what happened to some process, or the error itself.

    What is no fault of the files is raised: a process was interrupted or asked to end, or there is not enough memory.
    """
    wrapped = isinstance(error, CheckpointException)
    causes = [failure for failure, _ in error.failures.values()] if wrapped else [error]
    for cause in causes:
        if not isinstance(cause, Exception | CheckpointException) or is_out_of_memory(cause):
            raise cause from None
    return causes[0]


@contextmanager
def _quiet() -> Iterator[None]:
    """Without torch's remarks on its own ways; errors still come as exceptions."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _held(parts: Mapping[str, Divided]) -> dict[str, Any]:
    """The tensors of which this process has a part, as `torch.distributed.checkpoint` takes it."""
    return {name: part.source for name, part in parts.items() if part.source is not None}


def _training_parts(learner: Learner) -> dict[str, Divided]:
    optimizer = {OPTIMIZER + name: tensor for name, tensor in _optimizer_parts(learner).items()}
    # A state is written at any time, and is not to change what the training goes on to compute.
    tables = _by_kind(learner.model.embeddings.unsettled_tables)
    return _network_parts(learner.model) | tables | optimizer


def save_supernet(folder: Path, learner: Learner) -> None:
    """Writes a supernet and its optimiser's state: `weights.safetensors`, `optimizer.safetensors`."""
    save_model(folder / "weights.safetensors", learner.model)
    if state := _gathered(_optimizer_parts(learner)):
        save_tensors(folder / "optimizer.safetensors", state)


def load_supernet(folder: Path, learner: Learner) -> None:
    """Reads what `save_supernet` wrote into a learner of the same space and schema.

    Raises:
        InputError: A file is missing, damaged, or of another supernet.
    """
    weights, optimizer = folder / "weights.safetensors", folder / "optimizer.safetensors"
    load_model_tensors(learner.model, load_tensors(weights), weights)
    _copy(_optimizer_parts(learner), load_tensors(optimizer), optimizer)


def _optimizer_parts(learner: Learner) -> dict[str, Divided]:
    embeddings = learner.model.embeddings
    parts = {NETWORK + name: Divided(tensor) for name, tensor in learner.optimizer_state().items()}
    for kind, first_order in KINDS.items():
        for state, tensors in embeddings.divided_optimizer_state(first_order).items():
            parts |= {state_prefix(state) + kind + name: tensor for name, tensor in tensors.items()}
    return parts | {name: Divided(tensor) for name, tensor in embeddings.decay_state().items()}


def state_prefix(state: str) -> str:
    """What comes before a parameter's name in the name of its optimizer state; nothing for Adagrad's sums."""
    return "" if state == SUM else f"{state}."


def _copy(own: Mapping[str, Divided], tensors: Mapping[str, Tensor | LazyTensor], source: Path) -> None:
    check_same(
        {name: part.shape for name, part in own.items()},
        {name: tuple(tensor.shape) for name, tensor in tensors.items()},
        source,
    )
    for name, part in own.items():
        part.copy_from(tensors[name])


def check_same(own: Mapping[str, tuple[int, ...]], found: Mapping[str, tuple[int, ...]], source: Path) -> None:
    """Raises InputError for the first weight that is missing, in excess, or of another shape."""
    for name in sorted(own.keys() | found.keys()):
        if name not in found:
            raise InputError(f"{source}: the weight {name} is missing; this file belongs to another model")
        if name not in own:
            raise InputError(f"{source}: the weight {name} is not this model's")
        if own[name] != found[name]:
            raise InputError(f"{source}: the weight {name} is {list(found[name])} where {list(own[name])} is expected")
