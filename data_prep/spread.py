"""Reading many files on a Ray cluster, a task a file: each sets its rows down; here they are read in order."""

import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from recnas.util.console import Bar
from recnas.util.errors import InputError

if TYPE_CHECKING:
    from recnas.execution.executor import Executor

Misfit = tuple[int, str, str]
"""Line number, reason and text of a line that does not fit."""
Read = tuple[Path, pl.DataFrame | None, list[Misfit]]
"""A piece of a file: the file, its good rows, and the lines that do not fit."""

LOOK_EVERY = 0.5
"""Seconds from one look at how much the tasks have read to the next."""

_spread: ContextVar["tuple[Executor, Path] | None"] = ContextVar("spread", default=None)


@contextmanager
def spread_over(ray: str | None, folder: Path, say: Callable[[str], None]) -> Iterator[None]:
    """Files that are read while the `with` block lasts are read on a cluster.

    Args:
        ray: Its address, see `recnas.execution.ray_workers.connect`; None: they are read here.
        folder: Where tasks set rows down; all machines share it.
        say: Told, in a line, of what keeps tasks waiting.

    Raises:
        InputError: Ray is not installed, or the cluster cannot be reached.
    """
    if ray is None:
        yield
        return
    # Ray is an extra, and this brings torch.
    from recnas.execution.ray_workers import RayWorkers

    with (
        # Tasks end before their folder goes; one on a machine that was lost may write on, and hides no error.
        tempfile.TemporaryDirectory(dir=folder, ignore_cleanup_errors=True) as place,
        RayWorkers(ray, None, say, _nothing) as executor,
    ):
        token = _spread.set((executor, Path(place).absolute()))
        try:
            yield
        finally:
            _spread.reset(token)


def read_spread(read: Callable[[Path, Bar], Iterator[Read]], paths: Sequence[Path], bar: Bar) -> Iterator[Read] | None:
    """What `read` gives of one file after the other, each read by a task; None where there is no cluster.

    Args:
        read: Reads a file, and tells the bar of its bytes.
        paths: The files.
        bar: Told of the bytes that all tasks have read.
    """
    if (spread := _spread.get()) is None:
        return None
    executor, folder = spread
    return _gather(executor, Path(tempfile.mkdtemp(dir=folder)), read, paths, bar)


def _gather(
    executor: "Executor",
    folder: Path,
    read: Callable[[Path, Bar], Iterator[Read]],
    paths: Sequence[Path],
    bar: Bar,
) -> Iterator[Read]:
    work = [(path.absolute(), folder / f"{number:06d}") for number, path in enumerate(paths)]
    done = executor.map(partial(_set_down, read), work, lambda item: item[0].stat().st_size, apart=True)
    with _watching([place for _, place in work], bar):
        for path, (_, place), pieces in zip(paths, work, done, strict=True):
            for rows, misfits in pieces:
                yield path, None if rows is None else pl.read_ipc((place / rows).read_bytes()), misfits
            shutil.rmtree(place)


class _ToldElsewhere(Bar):
    """Counts the bytes that a task reads where `_watching` looks for them.

    Args:
        place: The task's.
    """

    def __init__(self, place: Path) -> None:
        super().__init__()
        self._file, self._told = _count_of(place), -LOOK_EVERY

    def update(self, count: float = 1, note: str = "") -> None:
        super().update(count)
        if time.monotonic() - self._told >= LOOK_EVERY:
            self.finish()

    def finish(self) -> None:
        self._file.write_text(f"{self.done:.0f}", encoding="ascii")
        self._told = time.monotonic()


@contextmanager
def _watching(places: Sequence[Path], bar: Bar) -> Iterator[None]:
    """Tells the bar, while the `with` block lasts, how much the tasks of these places have read."""

    def look() -> None:
        count = sum(map(_bytes_read, places))
        # What a task had read that died is read again.
        if count > bar.done:
            bar.update(count - bar.done)

    def keep_looking() -> None:
        while not ended.wait(LOOK_EVERY):
            look()

    ended, thread = threading.Event(), threading.Thread(target=keep_looking, name="recnas-reading", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        look()


def _count_of(place: Path) -> Path:
    return place.with_suffix(".bytes")


def _bytes_read(place: Path) -> int:
    try:
        return int(_count_of(place).read_text(encoding="ascii"))
    except (OSError, ValueError):
        # The task has not begun, or writes just now.
        return 0


def _set_down(
    read: Callable[[Path, Bar], Iterator[Read]], worker: None, item: tuple[Path, Path]
) -> list[tuple[str | None, list[Misfit]]]:
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
    bar = _ToldElsewhere(place)
    for number, (_, rows, misfits) in enumerate(read(path, bar)):
        name = None if rows is None else f"{number:08d}.arrow"
        if rows is not None:
            with (place / name).open("wb") as file:
                rows.write_ipc(file)
        pieces.append((name, misfits))
    bar.finish()
    return pieces


def _nothing() -> None:
    """A task needs no preparation."""
