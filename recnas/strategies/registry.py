"""Every strategy by its name. One of your own needs no registration: `module:Class` names it wherever a name stands."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import TypeVar

import recnas.strategies
from recnas.strategies.base import Strategy
from recnas.util.errors import InputError, RunError, first_line
from recnas.util.user_code import import_user_code, is_user_code

EXPLORING, RE_RANKING, TRAINING = "exploring", "re-ranking", "training"
"""What a strategy is for: to propose candidates, to choose those that are ranked once more, to train finalists."""

Class = TypeVar("Class", bound=type[Strategy])
_named: dict[str, dict[str, type[Strategy]]] = {EXPLORING: {}, RE_RANKING: {}, TRAINING: {}}


def strategy(name: str, purpose: str = EXPLORING) -> Callable[[Class], Class]:
    """Makes a class a strategy that settings can name; a file of this package that has one is found by itself.

    Args:
        name: As settings have it.
        purpose: What it is for.
    """

    def register(cls: Class) -> Class:
        _named[purpose][name] = cls
        return cls

    return register


@cache
def strategies(purpose: str = EXPLORING) -> dict[str, type[Strategy]]:
    """The strategies of this package for a purpose, by name."""
    for module in pkgutil.iter_modules(recnas.strategies.__path__, "recnas.strategies."):
        importlib.import_module(module.name)
    return {name: _named[purpose][name] for name in sorted(_named[purpose])}


def strategy_name(cls: type[Strategy]) -> str:
    """What settings call a strategy: one of this package by its name, another `module:Class`."""
    registered = [name for name, known in strategies().items() if known is cls]
    return registered[0] if registered else f"{cls.__module__}:{cls.__name__}"


@contextmanager
def named_failures(cls: type[Strategy], what: str) -> Iterator[None]:
    """Tells in one line what goes wrong in the `with` block in a strategy of the user's own.

    Args:
        cls: The strategy's.
        what: What it does then, such as "failed when asked".

    Raises:
        InputError: It raised an exception.
    """
    try:
        yield
    except (InputError, RunError):
        raise
    except Exception as error:
        # A fault of this package's own is told by its stack trace.
        if not is_user_code(name := strategy_name(cls)):
            raise
        raise InputError(f"strategy {name}: {what} ({type(error).__name__}: {first_line(error)})") from error


def check_strategy_name(name: str) -> None:
    """Checks beforehand what would be refused by `find_strategy`, and imports nothing of the user's.

    Raises:
        InputError: It is none of `strategies()`, nor written as `module:Class`.
    """
    if name not in strategies() and not is_user_code(name):
        raise InputError(
            f"strategy is {name!r}; --strategy takes {' or '.join(strategies())}, or module:Class for one of your own"
        )


def find_strategy(name: str) -> type[Strategy]:
    """A strategy's class by its name: one of `strategies()`, or `module:Class`, in a module of yours.

    The module may be a file in the working directory, as with `python -m`. A class of yours is called without
    arguments, and has the methods of `Strategy`.

    Raises:
        InputError: There is none.
    """
    if name in strategies():
        return strategies()[name]
    check_strategy_name(name)
    cls = import_user_code(name, "strategy")
    if not inspect.isclass(cls) or not issubclass(cls, Strategy):
        raise InputError(f"strategy {name}: {name.partition(':')[2]} is not a class derived from Strategy")
    return cls
