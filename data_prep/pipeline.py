"""Work on a stream of pieces, some at a time, in their order."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from recnas.util.cores import available_cores

Item = TypeVar("Item")
Result = TypeVar("Result")


def num_threads() -> int:
    """Cores that this process may use, at most 8: more would hold too many pieces in memory."""
    return min(8, available_cores())


def ahead(function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
    """`function(item)` of each item in order, the next ones computed in threads while the caller works on this one.

    Args:
        function: Leaves Python's lock most of the time, as Polars and NumPy do.
        items: WeightSlice as needed, by one thread at a time.
    """
    threads = num_threads()
    waiting: deque[Future[Result]] = deque()
    with ThreadPoolExecutor(threads, "recnas-prepare") as pool:
        try:
            for item in items:
                waiting.append(pool.submit(function, item))
                if len(waiting) > threads:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
