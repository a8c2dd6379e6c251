"""What to say where memory does not suffice: what takes it, and what to do."""

from __future__ import annotations

import argparse
from pathlib import Path

from recnas.features.schema import FILE_NAME, Schema
from recnas.util.console import size
from recnas.util.errors import InputError, suggested

WIDTH = 16
"""Columns of an embedding, of which `recnas plan` counts, too."""
BYTES = 4
"""Of a weight."""
NAMED = 3
"""Tables that are named."""
TABLE_CAP = "--max-rows-per-table"
"""The flag that bounds tables while candidates are ranked."""


def tables_of_folder(arguments: argparse.Namespace, flag: str | None = None) -> str:
    """See `memory_remedy`, of the data set, run or model that a command was given."""
    folders = (getattr(arguments, name, None) for name in ("data", "run", "model"))
    return memory_remedy(next((Path(folder) for folder in folders if folder is not None), None), flag)


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
