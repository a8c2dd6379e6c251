"""Loops that are compiled by Numba when they are first called, and kept on the disk for later processes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba


def compiled(function: Callable[..., Any], **options: Any) -> Callable[..., Any]:
    """A loop over arrays, compiled for one CPU thread. It holds no lock while it runs.

    Args:
        function: What Numba can compile.
        options: Further ones of `numba.njit`.
    """
    options = {"nogil": True, "error_model": "numpy", **options}
    try:
        return numba.njit(cache=True, **options)(function)
    except RuntimeError:
        # No folder that can be written to.
        return numba.njit(**options)(function)
