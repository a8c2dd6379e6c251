"""Stands in for a kill at a moment that can be named: the call of a function."""

from __future__ import annotations

import pkgutil
from collections.abc import Callable
from itertools import count
from typing import Any

import pytest


class Stopped(BaseException):
    """Stands for the end of the process."""


def stop_at(patch: pytest.MonkeyPatch, place: str, call: int, after: bool = True) -> None:
    """Ends the process at a call of a function.

    Candidates are scored side by side in threads, and the end of a process is that of all its threads: those that come
    to the function later are stopped there, before it does anything.

    Args:
        patch: Undoes it.
        place: The function's full name, such as `recnas.train.loop.ModelLearner.step`.
        call: Which call of it, from 1, in the order in which they begin.
        after: Whether that call does its work first.
    """
    original: Callable[..., Any] = pkgutil.resolve_name(place)
    # Each call takes a number of its own: one counter that is read again after the work has moved on meanwhile.
    numbers = count(1)

    def stopping(*arguments: Any, **options: Any) -> Any:
        number = next(numbers)
        if number > call or (number == call and not after):
            raise Stopped(place)
        result = original(*arguments, **options)
        if number == call:
            raise Stopped(place)
        return result

    patch.setattr(place, stopping)
