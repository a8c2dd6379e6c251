"""A run's curves as TensorBoard's event files, in the run's folder."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from recnas.runs.curves import Point

if TYPE_CHECKING:
    from tensorboard.summary import Writer

FOLDER = "tensorboard"
PACKAGES = ("tensorboard",)


def check() -> None:
    """There is nothing that event files depend on but the run's folder."""


class Events:
    """The event files of a run, made anew: a folder for warm-up and search, and one for each final training.

    Args:
        run: The run's folder.
    """

    def __init__(self, run: Path) -> None:
        self.place = str(run / FOLDER)
        shutil.rmtree(self.place, ignore_errors=True)
        self._writers: dict[str, Writer] = {}

    def add(self, points: Iterable[Point]) -> None:
        """Adds points, each to the right of those before it on its curve."""
        from tensorboard.summary import Writer

        for point in points:
            if point.series not in self._writers:
                self._writers[point.series] = Writer(str(Path(self.place) / point.series))
            self._writers[point.series].add_scalar(point.name, point.value, point.step)
        for writer in self._writers.values():
            writer.flush()

    def end(self, status: str) -> None:
        """Event files do not say how a run ended."""

    def close(self) -> None:
        """Closes the files; what was added was flushed."""
        for writer in self._writers.values():
            with suppress(Exception):
                writer.close()
