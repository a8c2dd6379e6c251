"""The tables that recnas comes with, by name."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import resources
from pathlib import Path

from recnas.bench.table import Table
from recnas.util.errors import InputError

SUFFIX = ".parquet"
_FOLDER = resources.files("recnas.bench") / "tables"


def shipped_tables() -> list[str]:
    """Their names."""
    return sorted(file.name.removesuffix(SUFFIX) for file in _FOLDER.iterdir() if file.name.endswith(SUFFIX))


def open_table(name: str | Path) -> Table:
    """A table that recnas comes with, or any other.

    Args:
        name: One of `shipped_tables()`, or the path of a Parquet file.

    Raises:
        InputError: There is none.

    Example:
        >>> table = recnas.bench.load("runs/table/table.parquet")
    """
    with path_of(name) as file:
        return Table.read(file)


@contextmanager
def path_of(name: str | Path) -> Iterator[Path]:
    """The file of a table, while the `with` block lasts; arguments and errors as in `open_table`."""
    if str(name) in (known := shipped_tables()):
        with resources.as_file(_FOLDER / f"{name}{SUFFIX}") as file:
            yield file
        return
    if not Path(name).exists():
        named = f"{', '.join(known)}, and " if known else ""
        raise InputError(f"no table is named {str(name)!r}; known are {named}Parquet files by their paths")
    yield Path(name)
