"""Every operator that blocks may have, and every branch beside them, one file each.

A new one is a file here and one in `recnas.nn.operators`, and its name in the choices of a space. One of a user's own
is declared alike, in a module of theirs; see docs/extend.md.
"""

from __future__ import annotations

from collections.abc import Iterable
from importlib import import_module
from pkgutil import iter_modules
from typing import Any

from recnas.space.operators.base import (
    DENSE,
    DENSE_INPUTS,
    OPERANDS,
    SPARSE,
    SPARSE_INPUTS,
    Branch,
    BranchCode,
    Layer,
    Operator,
    OperatorCode,
    Sizes,
    linear,
    norm,
)

__all__ = [
    "BRANCHES",
    "DENSE",
    "DENSE_INPUTS",
    "OPERANDS",
    "OPERATORS",
    "SPARSE",
    "SPARSE_INPUTS",
    "Branch",
    "BranchCode",
    "Layer",
    "Operator",
    "OperatorCode",
    "Sizes",
    "branch",
    "linear",
    "needed_by",
    "norm",
    "operator",
    "read_by",
]

OPERATORS: dict[str, Operator] = {}
"""Every operator by its name."""
BRANCHES: dict[str, Branch] = {}
"""Every branch by its name."""


def operator(kind: type[Operator]) -> type[Operator]:
    """Registers an operator: a decorator for its class.

    Outside of this package it gives the class its name, `module:Class`, which is what files and spaces call it.

    Raises:
        ValueError: Another operator has its name.

    Example:
        @operator
        class FullyConnected(Operator):
            name = "fc"
            …
    """
    return _register(OPERATORS, kind)


def branch(kind: type[Branch]) -> type[Branch]:
    """Registers a branch: a decorator for its class. Names are as with `operator`.

    Raises:
        ValueError: Another branch has its name.
    """
    return _register(BRANCHES, kind)


def read_by(names: Iterable[str]) -> frozenset[str]:
    """All that some operators read."""
    return frozenset().union(*(OPERATORS[name].reads for name in names))


def needed_by(names: Iterable[str]) -> frozenset[str]:
    """All that some operators cannot do without."""
    return read_by(name for name in names if not OPERATORS[name].optional)


def _register(registry: dict[str, Any], kind: type[Any]) -> type[Any]:
    if kind.__module__.rpartition(".")[0] != __name__:
        kind.name = f"{kind.__module__}:{kind.__qualname__}"
    known = registry.get(kind.name)
    # A module that is imported anew replaces what it registered.
    if known is not None and type(known).__qualname__ != kind.__qualname__:
        raise ValueError(f"{kind.name!r} is there already: {type(known).__module__}.{type(known).__qualname__}")
    registry[kind.name] = kind()
    return kind


for _module in iter_modules(__path__):
    import_module(f"{__name__}.{_module.name}")
