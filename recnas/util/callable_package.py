"""Packages that can be called like the function that they are there for: `recnas.search(…)`."""

from __future__ import annotations

import sys
import types
from collections.abc import Callable
from typing import Any


def make_callable(name: str, function: Callable[..., Any]) -> None:
    """Makes a call of an imported package a call of a function of it."""

    class Package(types.ModuleType):
        def __call__(self, *arguments: Any, **settings: Any) -> Any:
            return function(*arguments, **settings)

    sys.modules[name].__class__ = Package
