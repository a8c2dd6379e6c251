"""What there is to say when memory does not suffice: who says so, what takes it, and what to do."""

from __future__ import annotations

import errno
from pathlib import Path

from recnas.console import size
from recnas.errors import InputError, suggested
from recnas.schema import FILE_NAME, Schema

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
WIDTH = 16
"""Columns of an embedding, of which `recnas plan` counts, too."""
BYTES = 4
"""Of a weight."""
NAMED = 3
"""Tables that are named."""


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


def memory_remedy(folder: Path | None, flag: str | None) -> str:
    """The largest embedding tables of a data set, run or model, and what to do where they take too much.

    Args:
        folder: The data set's, run's or model's; None, or one without a schema: there are no tables.
        flag: The command's flag that bounds tables while candidates are ranked; None: it has none.
    """
    schema = None if folder is None else _schema(folder)
    if folder is None or schema is None or not schema.sparse:
        return "free some, or work on fewer rows at a time"
    features = sorted(schema.sparse, key=lambda feature: -feature.rows)
    tables = [f"{feature.name} {feature.rows:,} × {WIDTH} = {_bytes(feature.rows)}" for feature in features[:NAMED]]
    ranking = f"{flag} N bounds them while candidates are ranked, " if flag else ""
    plan = suggested("recnas", "plan", folder, "--world-size", 2)
    return (
        f"the largest tables are {', '.join(tables)}, all together {_bytes(sum(item.rows for item in features))}, and "
        f"training takes more than twice that; {ranking}`recnas prepare tabular … --max-rows N` makes smaller ones, "
        f"`{plan}` shows what they take on several processes"
    )


def _schema(folder: Path) -> Schema | None:
    try:
        return Schema.load(folder) if (folder / FILE_NAME).is_file() else None
    except (InputError, OSError, MemoryError):
        # What is wrong with it is another matter.
        return None


def _bytes(rows: int) -> str:
    return size(rows * WIDTH * BYTES)
