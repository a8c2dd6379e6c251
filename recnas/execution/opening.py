"""The executor that is asked for: this process, several, or the workers of a Ray cluster."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from recnas.execution.executor import Executor, LocalProcesses, ThisProcess, sharing_cores
from recnas.execution.ray_workers import RayWorkers
from recnas.nn.processes import num_started
from recnas.util.errors import InputError


@contextmanager
def open_executor(
    workers: int | None,
    ray: str | None,
    start: Callable[..., Any],
    arguments: tuple[Any, ...],
    say: Callable[[str], None],
) -> Iterator[Executor]:
    """What does work side by side; this process has its share of the cores meanwhile.

    Args:
        workers: How many do it. None: this process or, with `ray`, one worker for each CPU or GPU of the cluster.
        ray: The address of a Ray cluster that does the work; None: processes of this machine.
        start: Makes each worker.
        arguments: What `start` is given. On a cluster the working directory may be another one: paths are absolute.
        say: Told, in a line, of what keeps workers waiting.

    Raises:
        InputError: There is no such cluster, or Ray is not installed.
    """
    with sharing_cores(workers or 1), _executor(workers, ray, start, arguments, say) as executor:
        yield executor


def _executor(
    workers: int | None,
    ray: str | None,
    start: Callable[..., Any],
    arguments: tuple[Any, ...],
    say: Callable[[str], None],
) -> Executor:
    if ray is not None:
        if num_started() > 1:
            raise InputError("torchrun and --ray both say which processes do the work; take one of them")
        return RayWorkers(ray, workers, say, start, arguments)
    if workers is None or workers == 1:
        return ThisProcess(start, arguments)
    return LocalProcesses(workers, start, arguments)
