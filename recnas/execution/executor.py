"""Where work runs: in this process, in several, or on a cluster; results always come back in the order of the work."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, ThreadPoolExecutor, wait
from concurrent.futures import Executor as Pool
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Self

import torch

from recnas.nn.processes import leave_torchrun
from recnas.util.cores import available_cores
from recnas.util.errors import RunError

LAST = 8
"""For each of those side by side, how many of the last items begin with the longest."""


class Executor(ABC):
    """Applies functions to items, with the worker that `start(*arguments)` makes once in each process.

    What runs work is a kind of this: `ThisProcess`, `LocalProcesses`, and `ray_workers.RayWorkers`. The loops that give
    the work out know this interface alone; `opening.open_executor` chooses the kind that is asked for. It is used in a
    `with` block, whose end ends the workers.

    Attributes:
        workers: How many work side by side.
        in_this_process: Whether work is done in the process that asks for it, and shares its state.
    """

    workers: int
    in_this_process: bool = False

    @abstractmethod
    def map(
        self,
        function: Callable[[Any, Any], Any],
        items: Sequence[Any],
        effort: Callable[[Any], float],
        single_threaded: bool = False,
        apart: bool = False,
    ) -> Iterator[Any]:
        """`function(worker, item)` for each item, in order.

        Args:
            function: What to apply; a method of the worker's class is one.
            items: To what.
            effort: How long an item takes, in any unit: of the last ones done side by side the longest begin first, so
                that all end at one time.
            single_threaded: Whether to compute each item with one thread, so that its bits do not depend on cores and
                workers; where there are no other processes, as many run side by side in this one as torch has threads.
            apart: Whether items share nothing that a worker keeps from one to the next, as trainings do: on a cluster
                each may then go wherever there is room.

        Raises:
            RunError: A worker died, and its work could not be done by another.
        """

    @abstractmethod
    def as_done(
        self, function: Callable[[Any, Any], Any], more: Callable[[], Sequence[Any]]
    ) -> Iterator[tuple[Any, Any]]:
        """`function(worker, item)` for items that come while others are under way, which share nothing (`apart`).

        Args:
            function: As in `map`.
            more: Gives further items, at first and after each result. When it has none and none are under way, this
                is over.

        Yields:
            Each item with its result, as soon as it is known.

        Raises:
            RunError: As in `map`.
        """

    @property
    def side_by_side(self) -> int:
        """How many single-threaded items are under way at once."""
        return self.workers

    @abstractmethod
    def wait_for_start(self) -> None:
        """Returns when all workers are up, and idle.

        Raises:
            RunError: A worker died.
        """

    @abstractmethod
    def check(self) -> None:
        """Says early if workers could not be started; returns at once.

        Raises:
            RunError: A worker died.
        """

    @abstractmethod
    def check_files(self, files: Sequence[Path]) -> None:
        """Says early if workers elsewhere do not see files as they are here; asked before the first work.

        Raises:
            InputError: One does not.
        """

    @abstractmethod
    def close(self, failed: bool) -> None:
        """Ends the workers; after a failure, work under way is given up."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close(failed=error[0] is not None)


class ThisProcess(Executor):
    """Does the work in this process: single-threaded items side by side, others one after the other.

    Args:
        start: Makes the worker.
        arguments: What `start` is given.

    Attributes:
        worker: What `start` made.
    """

    workers, in_this_process = 1, True

    def __init__(self, start: Callable[..., Any], arguments: tuple[Any, ...] = ()) -> None:
        self.worker = start(*arguments)

    def map(
        self,
        function: Callable[[Any, Any], Any],
        items: Sequence[Any],
        effort: Callable[[Any], float],
        single_threaded: bool = False,
        apart: bool = False,
    ) -> Iterator[Any]:
        function = partial(function, self.worker)
        if not single_threaded:
            yield from map(function, items)
            return
        with _threads() as pool:
            yield from _in_order(pool, function, items, beginning_order(items, effort, self.side_by_side))

    def as_done(
        self, function: Callable[[Any, Any], Any], more: Callable[[], Sequence[Any]]
    ) -> Iterator[tuple[Any, Any]]:
        yield from one_by_one(partial(function, self.worker), more)

    @property
    def side_by_side(self) -> int:
        return torch.get_num_threads()

    def wait_for_start(self) -> None:
        """It is up."""

    def check(self) -> None:
        """It could be started."""

    def check_files(self, files: Sequence[Path]) -> None:
        """It sees what it sees."""

    def close(self, failed: bool) -> None:
        """It goes on."""


class LocalProcesses(Executor):
    """Does the work in several processes of this machine.

    Args:
        workers: How many, started at once.
        start: Makes each one's worker.
        arguments: What `start` is given.
    """

    def __init__(self, workers: int, start: Callable[..., Any], arguments: tuple[Any, ...] = ()) -> None:
        self.workers = workers
        self._pool = ProcessPoolExecutor(
            workers, multiprocessing.get_context("spawn"), _start_worker, (workers, start, arguments)
        )
        # A pool makes a process when work comes in and none is free; these come up while this one goes on.
        self._started: list[Future[None]] = [self._pool.submit(_nothing) for _ in range(workers)]

    def map(
        self,
        function: Callable[[Any, Any], Any],
        items: Sequence[Any],
        effort: Callable[[Any], float],
        single_threaded: bool = False,
        apart: bool = False,
    ) -> Iterator[Any]:
        function = partial(_apply_with_one_thread if single_threaded else _apply, function)
        with _dead_workers_as_run_error():
            yield from _in_order(self._pool, function, items, beginning_order(items, effort, self.side_by_side))

    def as_done(
        self, function: Callable[[Any, Any], Any], more: Callable[[], Sequence[Any]]
    ) -> Iterator[tuple[Any, Any]]:
        under_way: dict[Future[Any], Any] = {}
        with _dead_workers_as_run_error():
            try:
                while True:
                    under_way |= {self._pool.submit(_apply, function, item): item for item in more()}
                    if not under_way:
                        return
                    # Those that were begun first, of several that are done.
                    done, _ = wait(under_way, return_when=FIRST_COMPLETED)
                    first = next(future for future in under_way if future in done)
                    yield under_way.pop(first), first.result()
            finally:
                for future in under_way:
                    future.cancel()

    def wait_for_start(self) -> None:
        with _dead_workers_as_run_error():
            for future in self._started:
                future.result()

    def check(self) -> None:
        with _dead_workers_as_run_error():
            for future in self._started:
                if future.done():
                    future.result()

    def check_files(self, files: Sequence[Path]) -> None:
        """They see what this process sees."""

    def close(self, failed: bool) -> None:
        if failed:
            for process in list(self._pool._processes.values()):
                process.terminate()
        self._pool.shutdown(cancel_futures=True)


def one_by_one(function: Callable[[Any], Any], more: Callable[[], Sequence[Any]]) -> Iterator[tuple[Any, Any]]:
    """`Executor.as_done` where one item after the other is done, in the order in which they come."""
    waiting: deque[Any] = deque()
    while True:
        waiting.extend(more())
        if not waiting:
            return
        item = waiting.popleft()
        yield item, function(item)


def beginning_order(items: Sequence[Any], effort: Callable[[Any], float], side_by_side: int) -> list[int]:
    """The places of items in the order in which to begin with them: as they come, the longest of the last first."""
    first = max(0, len(items) - LAST * side_by_side)
    return [*range(first), *sorted(range(first, len(items)), key=lambda place: -effort(items[place]))]


def _in_order(pool: Pool, function: Callable[[Any], Any], items: Sequence[Any], order: Sequence[int]) -> Iterator[Any]:
    """Results in the order of the items, of work that is begun in another order."""
    results = {place: pool.submit(function, items[place]) for place in order}
    for place in range(len(items)):
        yield results[place].result()


_worker: Any = None
"""The worker of a process of `LocalProcesses`, which sets it when it begins."""


def _apply(function: Callable[[Any, Any], Any], item: Any) -> Any:
    return function(_worker, item)


def _apply_with_one_thread(function: Callable[[Any, Any], Any], item: Any) -> Any:
    with computing_with(threads=1):
        return function(_worker, item)


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
def _dead_workers_as_run_error() -> Iterator[None]:
    try:
        yield
    except BrokenProcessPool:
        raise RunError(
            "a worker process died: out of memory (--resume with fewer --workers resumes it), or started from a script "
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


def _start_worker(workers: int, start: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    global _worker
    # Ctrl-C reaches every process of the terminal; the one that waits for the workers ends them.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    leave_torchrun()
    _take_share(workers)
    _worker = start(*arguments)


def _take_share(workers: int) -> None:
    """Sets this process's threads, but never to more than it was given, as with `OMP_NUM_THREADS`."""
    torch.set_num_threads(max(1, min(torch.get_num_threads(), available_cores() // workers)))
