"""What is measured, the rows that it is measured on, and the clock that measures it."""

from __future__ import annotations

import json
import resource
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np

T = TypeVar("T")

DIM = 16
"""Columns of an embedding."""
DEEPFM_HIDDEN = (400, 400, 400)
CROSS_LAYERS = 3
DCN_HIDDEN = (768, 768)
DLRM_BOTTOM = (512, 256, 64)
DLRM_TOP = (512, 256)
LEARNING_RATE = 1e-3
CLIP = 10.0
"""The bound on the gradient's norm that FuxiCTR always has."""


@dataclass(frozen=True)
class Case:
    """One measurement.

    Attributes:
        library: recnas, deepctr-torch, fuxictr, plain (dense gradients of the tables) or plain-sparse.
        model: deepfm, dcnv2 or dlrm.
        numbers: How the network reads numbers: `columns`, or `fields` of a vector × value each; DLRM has its own way.
        optimizer: adam or adagrad, of all weights.
        rows: Training rows.
        threads: Threads, each with a core of its own.
        batch_size: Rows a step.
        clipped: Whether the gradient's norm is bounded.
        penalty: Of the embeddings.
        dropout: Share of what a hidden layer gives.
    """

    library: str
    model: str
    numbers: str
    optimizer: str
    rows: int
    threads: int
    batch_size: int
    clipped: bool = False
    penalty: float = 0.0
    dropout: float = 0.0


@dataclass(frozen=True)
class Log:
    """The training rows, as arrays in files.

    Attributes:
        folder: Its folder; `data` in it is the data set that recnas reads.
        tables: Rows of each feature's table.
    """

    folder: Path
    tables: tuple[int, ...]

    @classmethod
    def open(cls, folder: Path) -> Log:
        return cls(folder, tuple(json.loads((folder / "tables.json").read_text(encoding="utf-8"))))

    @property
    def dense(self) -> np.ndarray:
        """Numbers, `[rows, 13]` float32."""
        return np.load(self.folder / "dense.npy")

    @property
    def ids(self) -> np.ndarray:
        """Table rows, `[rows, 26]` int32."""
        return np.load(self.folder / "ids.npy")

    @property
    def label(self) -> np.ndarray:
        """Labels, `[rows]` float32."""
        return np.load(self.folder / "label.npy")


class Finished(Exception):
    """The clock has measured what it was to measure; not an error."""


class Clock:
    """Times the steps of a training by the batches that it takes.

    The first steps, and those of the first seconds, are not counted.

    Args:
        seconds: How long it measures, at least.
        steps: How many steps it measures, at least.
    """

    WARM_UP_STEPS, WARM_UP_SECONDS = 5, 2.0

    def __init__(self, seconds: float, steps: int = 5) -> None:
        self.seconds, self.least = seconds, steps
        self.macs = 0
        self._begun = time.perf_counter()
        self._taken = 0
        self._start: float | None = None
        self._zero()

    def _zero(self) -> None:
        self.rows = self.steps = 0
        self.waited = 0.0

    def over(self, batches: Iterable[T], batch_size: int) -> Iterator[T]:
        """The same batches.

        Raises:
            Finished: It has measured enough.
        """
        iterator = iter(batches)
        while True:
            now = time.perf_counter()
            if self._start is None and self._taken >= self.WARM_UP_STEPS and now - self._begun >= self.WARM_UP_SECONDS:
                self._zero()
                self._start, self._processor = now, _processor_seconds()
            elif self._start is not None and now - self._start >= self.seconds and self.steps >= self.least:
                self.elapsed, self.processor = now - self._start, _processor_seconds() - self._processor
                raise Finished
            batch = next(iterator, None)
            if batch is None:
                return
            self.waited += time.perf_counter() - now
            self._taken += 1
            yield batch
            self.steps += 1
            self.rows += batch_size

    def result(self) -> dict[str, float]:
        """Rows a second, and a second of processor time of each thread, milliseconds a step, the share of waiting for
        batches, steps, and multiply–accumulates a row."""
        return {
            "rows_per_second": self.rows / self.elapsed,
            "ms_per_step": 1000 * self.elapsed / self.steps,
            "waiting": self.waited / self.elapsed,
            "rows_per_processor_second": self.rows / self.processor,
            "steps": self.steps,
            "macs": self.macs,
        }


def _processor_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def count_macs(forward: Callable[[], object], rows: int) -> int:
    """Multiply–accumulates a row of the matrix products of a forward pass over so many rows."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        forward()
    return counter.get_total_flops() // 2 // rows
