"""Whether an error says that there is not enough memory."""

from __future__ import annotations

import errno

WORDS = (
    "out of memory",
    "can't allocate memory",
    "cannot allocate memory",
    "not enough memory",
    "failed to allocate",
    "can't start new thread",
    "std::bad_alloc",
)
"""Words of torch, Polars, Arrow, the system's loader and Python where there is not enough memory."""
NO_THREAD = "resource temporarily unavailable"
"""What gloo says where there is not enough memory for its thread; of an `OSError` it may mean a pipe that is full."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that there is not enough memory, the host's or a device's."""
    if isinstance(error, MemoryError):
        # NumPy's and Arrow's are of this kind.
        return True
    if isinstance(error, OSError) and error.errno == errno.ENOMEM:
        return True
    # torch has no type of its own for the host's; Polars' panics are no `Exception` of a public type.
    text = str(error).lower()
    if isinstance(error, RuntimeError) and NO_THREAD in text:
        return True
    return isinstance(error, RuntimeError | OSError | ImportError) and any(word in text for word in WORDS)
