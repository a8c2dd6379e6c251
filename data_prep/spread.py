"""Reading many files on a Ray cluster, a task a file: each sets its rows down; here they are read in order."""

import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from recnas.errors import InputError

if TYPE_CHECKING:
    from recnas.search.executor import Executor

Misfit = tuple[int, str, str]
"""Line number, reason and text of a line that does not fit."""
Read = tuple[Path, pl.DataFrame | None, list[Misfit]]
"""A piece of a file: the file, its good rows, and the lines that do not fit."""

_spread: ContextVar["tuple[Executor, Path] | None"] = ContextVar("spread", default=None)


@contextmanager
def spread_over(ray: str | None, folder: Path) -> Iterator[None]:
    """Files that are read while the `with` block lasts are read on a cluster.

    Args:
        ray: Its address, see `recnas.search.cluster.connect`; None: they are read here.
        folder: Where tasks set rows down; all machines share it.

    Raises:
        InputError: Ray is not installed, or the cluster cannot be reached.
    """
    if ray is None:
        yield
        return
    # Ray is an extra, and this brings torch.
    from recnas.search.cluster import RayWorkers

    with RayWorkers(ray, None, _nothing) as executor, tempfile.TemporaryDirectory(dir=folder) as place:
        token = _spread.set((executor, Path(place).absolute()))
        try:
            yield
        finally:
            _spread.reset(token)


def read_spread(read: Callable[[Path], Iterator[Read]], paths: Sequence[Path]) -> Iterator[Read] | None:
    """What `read` gives of one file after the other, each read by a task; None where there is no cluster."""
    if (spread := _spread.get()) is None:
        return None
    executor, folder = spread
    return _gather(executor, Path(tempfile.mkdtemp(dir=folder)), read, paths)


def _gather(
    executor: "Executor", folder: Path, read: Callable[[Path], Iterator[Read]], paths: Sequence[Path]
) -> Iterator[Read]:
    work = [(path.absolute(), folder / f"{number:06d}") for number, path in enumerate(paths)]
    done = executor.map(partial(_set_down, read), work, lambda item: item[0].stat().st_size, apart=True)
    for path, (_, place), pieces in zip(paths, work, done, strict=True):
        for rows, misfits in pieces:
            yield path, None if rows is None else pl.read_ipc((place / rows).read_bytes()), misfits
        shutil.rmtree(place)


def _set_down(read: Callable[[Path], Iterator[Read]], item: tuple[Path, Path]) -> list[tuple[str | None, list[Misfit]]]:
    """Reads a file, and writes its rows where the process that asked will find them."""
    path, place = item
    if not place.parent.is_dir():
        raise InputError(
            f"a Ray worker does not see {place.parent}; input and output must be on a file system that all machines "
            "share"
        )
    # A worker that died may have been here.
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    pieces: list[tuple[str | None, list[Misfit]]] = []
    for number, (_, rows, misfits) in enumerate(read(path)):
        name = None if rows is None else f"{number:08d}.arrow"
        if rows is not None:
            rows.write_ipc(place / name)
        pieces.append((name, misfits))
    return pieces


def _nothing() -> None:
    """A task needs no preparation."""
