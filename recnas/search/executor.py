"""Where work runs: in this process, or in several; results always come back in the order of the work."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor as Pool
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, nullcontext
from functools import partial
from typing import Any, Self

import torch

from recnas.cores import available_cores
from recnas.errors import RunError
from recnas.nn.processes import leave_torchrun

LAST = 8
"""For each of those side by side, how many of the last items begin with the longest."""


class Executor:
    """Applies functions to items, after each process has called `start(*arguments)` once.

    Args:
        workers: Processes, started at once; with 1, work is done in this one.
        start: Prepares a process: sets what the functions need as module state.
        arguments: What `start` is given.
    """

    def __init__(self, workers: int, start: Callable[..., None], arguments: tuple[Any, ...]) -> None:
        self.workers = workers
        self._pool = None
        self._started: list[Future[None]] = []
        if workers == 1:
            start(*arguments)
        else:
            self._pool = ProcessPoolExecutor(
                workers, multiprocessing.get_context("spawn"), _start_worker, (workers, start, arguments)
            )
            # A pool makes a process when work comes in and none is free; these come up while this one goes on.
            self._started = [self._pool.submit(_nothing) for _ in range(workers)]

    def map(
        self,
        function: Callable[[Any], Any],
        items: Sequence[Any],
        effort: Callable[[Any], float],
        single_threaded: bool = False,
    ) -> Iterator[Any]:
        """`function(item)` for each item, in order.

        Args:
            function: What to apply.
            items: To what.
            effort: How long an item takes, in any unit: of the last ones done side by side the longest begin first, so
                that all end at one time.
            single_threaded: Whether to compute each item with one thread, so that its bits do not depend on cores and
                workers; where there are no other processes, as many run side by side in this one as torch has threads.

        Raises:
            RunError: A worker process died.
        """
        if self._pool is None and not single_threaded:
            yield from map(function, items)
            return
        if self._pool is not None and single_threaded:
            function = partial(_with_one_thread, function)
        with _telling_of_dead_workers(), _threads() if self._pool is None else nullcontext(self._pool) as pool:
            in_order = range(max(0, len(items) - LAST * self.side_by_side))
            longest_first = sorted(range(len(in_order), len(items)), key=lambda index: -effort(items[index]))
            results = {index: pool.submit(function, items[index]) for index in (*in_order, *longest_first)}
            for index in range(len(items)):
                yield results[index].result()

    @property
    def side_by_side(self) -> int:
        """How many single-threaded items are under way at once."""
        return torch.get_num_threads() if self._pool is None else self.workers

    def wait_for_start(self) -> None:
        """Returns when all processes are up, and idle.

        Raises:
            RunError: A worker process died.
        """
        with _telling_of_dead_workers():
            for future in self._started:
                future.result()

    def check(self) -> None:
        """Says early if processes could not be started.

        Raises:
            RunError: A worker process died.
        """
        with _telling_of_dead_workers():
            for future in self._started:
                if future.done():
                    future.result()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        if self._pool is None:
            return
        if error[0] is not None:
            # Work under way is of no use any more.
            for process in list(self._pool._processes.values()):
                process.terminate()
        self._pool.shutdown(cancel_futures=True)


def _with_one_thread(function: Callable[[Any], Any], item: Any) -> Any:
    with computing_with(threads=1):
        return function(item)


@contextmanager
def _threads() -> Iterator[Pool]:
    """As many threads as torch would use, each with one of torch's."""
    with ThreadPoolExecutor(torch.get_num_threads(), "recnas", torch.set_num_threads, (1,)) as pool:
        try:
            yield pool
        except BaseException:
            # Work that has not begun is of no use any more.
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _nothing() -> None:
    """The first work of every process."""


@contextmanager
def _telling_of_dead_workers() -> Iterator[None]:
    try:
        yield
    except BrokenProcessPool:
        raise RunError(
            "a worker process died: out of memory (go on with --resume and fewer --workers), or started from a script "
            "without `if __name__ == '__main__':`"
        ) from None


@contextmanager
def sharing_cores(workers: int) -> Iterator[None]:
    """Gives this process its share of the cores while several work side by side.

    On a busy machine two processes of one thread are faster than one of two: no thread waits for another. What this
    process does alone is rounded as in a worker.
    """
    before = torch.get_num_threads()
    _take_share(workers)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def computing_with(threads: int) -> Iterator[None]:
    """Computes with so many threads: the bits of what is done meanwhile do not depend on cores and workers.

    A training carries rounding on and makes it large, so that what comes of it is another one with other threads.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _end_with_parent() -> None:
    """Ends this process when the one that started it is gone, even if it was killed: nobody else would."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _start_worker(workers: int, start: Callable[..., None], arguments: tuple[Any, ...]) -> None:
    # Ctrl-C reaches every process of the terminal; the one that waits for the workers ends them.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    leave_torchrun()
    _take_share(workers)
    start(*arguments)


def _take_share(workers: int) -> None:
    """Sets this process's threads, but never to more than it was given, as with `OMP_NUM_THREADS`."""
    torch.set_num_threads(max(1, min(torch.get_num_threads(), available_cores() // workers)))
