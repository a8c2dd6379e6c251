"""Where work runs: in this process, or in several; results always come back in the order of the work."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any, Self

import torch

from recnas.errors import RunError


class Executor:
    """Applies functions to items, after each process has called `start(*arguments)` once.

    Args:
        workers: Processes; with 1, work is done in this one.
        start: Prepares a process: loads what the functions need into module state.
        arguments: What `start` is given.
    """

    def __init__(self, workers: int, start: Callable[..., None], arguments: tuple[Any, ...]) -> None:
        self.workers = workers
        self._pool = None
        if workers == 1:
            start(*arguments)
        else:
            threads = max(1, (os.cpu_count() or 1) // workers)
            self._pool = ProcessPoolExecutor(
                workers, multiprocessing.get_context("spawn"), _start_worker, (threads, start, arguments)
            )

    def map(self, function: Callable[[Any], Any], items: Iterable[Any]) -> Iterator[Any]:
        """`function(item)` for each item, in order.

        Raises:
            RunError: A worker process died.
        """
        if self._pool is None:
            yield from map(function, items)
            return
        try:
            yield from self._pool.map(function, items)
        except BrokenProcessPool:
            raise RunError("a worker process died (out of memory?); try fewer --workers") from None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)


def _start_worker(threads: int, start: Callable[..., None], arguments: tuple[Any, ...]) -> None:
    torch.set_num_threads(threads)
    start(*arguments)
