"""A run's curves, followed while it goes on and written to trackers."""

from __future__ import annotations

import importlib.util
import threading
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from recnas.runs.curves import Point, RunPoints
from recnas.tracking import mlflow, tensorboard
from recnas.tracking.redact import redacted_message
from recnas.util.console import Console
from recnas.util.errors import InputError

EVERY = 10.0
"""Seconds between two looks at what is new."""


class Tracker(Protocol):
    """A place that a run's curves are written to; `place` names it in messages."""

    place: str

    def add(self, points: Iterable[Point]) -> None:
        """Writes new points; some of them may be there already."""

    def end(self, status: str) -> None:
        """Writes what is known at the end: the run is `FINISHED`, `FAILED` or `KILLED`."""

    def close(self) -> None:
        """Lets go of files; whatever was added is written."""


@dataclass(frozen=True)
class Kind:
    """A kind of tracker.

    Attributes:
        packages: The packages that it imports; an extra of the tracker's name brings them.
        check: Raises InputError if what is needed besides is not there.
        open: The tracker of a run's folder.
    """

    packages: tuple[str, ...]
    check: Callable[[], None]
    open: Callable[[Path], Tracker]


TRACKERS = {
    "mlflow": Kind(mlflow.PACKAGES, mlflow.check, mlflow.TrackedRun),
    "tensorboard": Kind(tensorboard.PACKAGES, tensorboard.check, tensorboard.Events),
}


def check_trackers(names: Collection[str]) -> None:
    """Checks beforehand what `tracked` would miss.

    Raises:
        InputError: There is no tracker of that name, its package is not installed, or its server is not reached.
    """
    for name in names:
        if name not in TRACKERS:
            raise InputError(f"log_to {name!r} is none of {', '.join(TRACKERS)}")
        for package in TRACKERS[name].packages:
            if importlib.util.find_spec(package) is None:
                raise InputError(f"--log-to {name} needs the package {package}; pip install 'recnas[{name}]' brings it")
        TRACKERS[name].check()


@contextmanager
def tracked(run: Path, names: Collection[str], console: Console) -> Iterator[None]:
    """Writes a run's curves to trackers while the `with` block lasts.

    They are made from the run's own files and from nothing else: so a run that goes on has each point once, and one
    that has ended can still be shown.

    Args:
        run: The run's folder.
        names: The names of trackers, which `check_trackers` has seen.
        console: Where it is said what the run is called there. What cannot be written is said on standard error in any
            case: that is no reason to give a search up.
    """
    with ExitStack() as stack:
        for name in dict.fromkeys(names):
            stack.enter_context(_followed(run, TRACKERS[name].open, name, console))
        yield


@contextmanager
def _followed(run: Path, start: Callable[[Path], Tracker], name: str, console: Console) -> Iterator[None]:
    opened: tuple[Tracker, RunPoints] | None = None
    ended = threading.Event()

    def look(status: str | None = None) -> Exception | None:
        nonlocal opened
        try:
            if opened is None:
                opened = start(run), RunPoints(run)
            tracker, points = opened
            tracker.add(points.new())
            if status is not None:
                tracker.end(status)
        except Exception as error:
            # What is left, on a full disk say, is begun anew at the next look.
            close()
            return error
        return None

    def close() -> None:
        nonlocal opened
        if opened is not None:
            with suppress(Exception):
                opened[0].close()
        opened = None

    def follow() -> None:
        while not ended.wait(EVERY):
            look()

    # What is not written is said though no progress is wanted.
    warn = Console(True).say
    if (error := look()) is not None:
        warn(f"{name}: {redacted_message(error)}; it is tried again every {EVERY:g} s")
    elif opened is not None:
        console.say(f"{name}: {opened[0].place}")
    thread = threading.Thread(target=follow, name=f"recnas-{name}")
    thread.start()
    status = "KILLED"
    try:
        yield
        status = "FINISHED"
    except Exception:
        status = "FAILED"
        raise
    finally:
        ended.set()
        thread.join()
        if (error := look(status)) is not None:
            remedy = f"the same command with --resume --log-to {name} tries again"
            warn(f"{name}: not complete ({redacted_message(error)}); {remedy}")
        close()
