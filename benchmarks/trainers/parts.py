"""Where a step of recnas spends its time, by torch's profiler; and the rate of this machine's matrix products."""

from __future__ import annotations

import contextlib
import statistics
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any, TypeVar

import torch
from torch.profiler import ProfilerActivity, profile, record_function

from recnas.data import Batch
from recnas.train.loop import ModelLearner, train
from trainers.case import Case, Clock, Finished, Log
from trainers.ours import STEPS, make

T = TypeVar("T")
STEP, LOADER, LOOKUP, FORWARD, OPTIMIZER = "a step", "loader", "lookup", "dense forward", "optimiser"
BACKWARD, UPDATE, PYTHON = "backward", "table update", "Python and other"
PARTS = (LOADER, LOOKUP, FORWARD, BACKWARD, UPDATE, OPTIMIZER, PYTHON)
PRODUCTS = "matrix products"
_PRODUCTS = ("aten::mm", "aten::addmm", "aten::bmm", "aten::baddbmm")
_SIZE = 1024
PROFILED = 20
"""Steps under the profiler."""


class Watched(ModelLearner):
    """A learner whose phases the profiler can tell apart."""

    def loss(self, batch: Batch) -> torch.Tensor:
        with record_function(FORWARD):
            return super().loss(batch)

    def step(self) -> None:
        with record_function(OPTIMIZER):
            super().step()


def watch_lookup(embeddings: torch.nn.Module) -> None:
    """Lets the profiler tell lookups apart."""
    look_up = embeddings.forward

    def watched(sparse: Any) -> torch.Tensor:
        with record_function(LOOKUP):
            return look_up(sparse)

    embeddings.forward = watched


def watched_batches(batches: Iterable[T]) -> Iterator[T]:
    """The same batches, while the profiler knows when they are waited for."""
    iterator = iter(batches)
    while True:
        with record_function(LOADER):
            batch = next(iterator, None)
        if batch is None:
            return
        yield batch


def shares(run: Callable[[], None]) -> dict[str, float]:
    """The share of each of `PARTS`, and of all matrix products together, in what a training takes under the profiler.

    Args:
        run: The training, of a few steps.
    """
    with profile(activities=[ProfilerActivity.CPU]) as profiler, record_function(STEP):
        run()
    spent: Counter[str] = Counter()
    for event in profiler.events():
        spent[_part(event)] += event.self_cpu_time_total
        if event.name in _PRODUCTS:
            spent[PRODUCTS] += event.self_cpu_time_total
    total = sum(spent[part] for part in PARTS)
    return {part: spent[part] / total for part in (*PARTS, PRODUCTS)}


def _part(event: Any) -> str:
    """The part that an operator belongs to: the innermost that it runs in."""
    place = event
    while place is not None:
        if place.name in PARTS:
            # What runs between a part's operators is Python.
            return PYTHON if place is event and place.name != LOADER else place.name
        if place.name.startswith("autograd::engine::evaluate_function"):
            return UPDATE if "Lookup" in place.name else BACKWARD
        place = place.cpu_parent
    return PYTHON


def matrix_rate(seconds: float = 1.0) -> float:
    """Multiply–accumulates a second of a core in products of matrices of 1,024 rows and columns."""
    one, other = torch.randn(2, _SIZE, _SIZE)
    torch.mm(one, other)
    products, start = 0, time.process_time()
    while (spent := time.process_time() - start) < seconds * torch.get_num_threads():
        torch.mm(one, other)
        products += 1
    return products * _SIZE**3 / spent


def measure(case: Case, log: Log, clock: Clock) -> dict[str, float]:
    """The clock's result of a training, with the shares of its parts and its share of the matrix rate."""
    rates = [matrix_rate()]
    learner, batches = make(case, log, clock, Watched)
    watch_lookup(learner.model.embeddings)
    with contextlib.suppress(Finished):
        train(learner, clock.over(batches, case.batch_size), steps=STEPS)
    found = shares(lambda: train(learner, watched_batches(islice(batches, PROFILED)), steps=STEPS))
    rates.append(matrix_rate())
    result = clock.result()
    # A backward pass has two products for each of the forward pass.
    products = 3 * clock.macs * result["rows_per_processor_second"]
    return result | found | {"matrix_rate": statistics.mean(rates), "of_matrix_rate": products / statistics.mean(rates)}
