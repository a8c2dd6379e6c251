"""A run of several processes that `torchrun` started: the first one leads, the others join in where models train.

The leading process is a run like any other: it proposes, scores, chooses and writes. What trains a model it does
together with the others, which wait meanwhile to be told what is next.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from recnas.execution.executor import one_by_one
from recnas.nn.model import default_device
from recnas.nn.processes import Processes, all_processes, all_raised, num_started, shared
from recnas.util.errors import InputError, RunError

T = TypeVar("T")


@dataclass(frozen=True)
class _Call:
    """What a following process is to do."""

    function: Callable[..., Any]
    arguments: tuple[Any, ...]


@dataclass(frozen=True)
class _End:
    """How the run has ended."""

    result: Any = None
    error: Exception | None = None


def led(lead: Callable[[], T], start: Callable[[], Any]) -> T:
    """Does something in the first of the processes that `torchrun` started, and joins in in the others.

    Args:
        lead: What to do; without `torchrun`, this is all.
        start: Makes the worker of each of the others, with which they do what they are told.

    Returns:
        What `lead` gives in the first process, in all of them.

    Raises:
        Exception: What `lead` raises in the first process, in all of them.
    """
    if num_started() == 1:
        return lead()
    processes = all_processes(default_device())
    if not processes.leads:
        return _follow(processes, start())
    try:
        result = lead()
    except Exception as error:
        # In the middle of what all do together nobody listens: the others see that this process is gone.
        if not _left_alone(error):
            word = _End(error=error)
            # Others that are gone cannot be told.
            with suppress(RuntimeError):
                processes.first(lambda: word)
        raise
    processes.first(lambda: _End(result))
    return result


def _follow(processes: Processes, worker: Any) -> Any:
    while isinstance(word := processes.first(_nothing), _Call):
        try:
            word.function(worker, *word.arguments)
        except (InputError, RunError) as error:
            if not all_raised(error):
                raise
            # The first process has it too, and says how it ends.
    if word.error is not None:
        raise shared(word.error)
    return word.result


@contextmanager
def joined(function: Callable[..., Any], *arguments: Any) -> Iterator[None]:
    """The other processes do something while this one does its part of it in the `with` block; without any, nothing.

    Args:
        function: What they do, each with its worker; to be found by its name.
        arguments: What it is given besides.
    """
    if num_started() == 1:
        yield
        return
    all_processes(default_device()).first(partial(_Call, function, arguments))
    try:
        yield
    except Exception as error:
        if not all_raised(error):
            error.left_alone = True
        raise


def _left_alone(error: Exception) -> bool:
    """Whether this process alone has left what all were doing together."""
    return getattr(error, "left_alone", False)


def map_joined(function: Callable[[Any, Any], T], worker: Any, items: Sequence[Any]) -> Iterator[T]:
    """`function(worker, item)` for each item, in order, each done by all processes together."""
    for item in items:
        yield _done_joined(function, worker, item)


def as_done_joined(
    function: Callable[[Any, Any], T], worker: Any, more: Callable[[], Sequence[Any]]
) -> Iterator[tuple[Any, T]]:
    """As `Executor.as_done`, each item done by all processes together."""
    return one_by_one(partial(_done_joined, function, worker), more)


def _done_joined(function: Callable[[Any, Any], T], worker: Any, item: Any) -> T:
    with joined(function, item):
        return function(worker, item)


def _nothing() -> None:
    """What is asked of the first process; the others only listen."""
