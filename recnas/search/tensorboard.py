"""A run in TensorBoard: event files made from what the run writes down, while it goes on."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recnas.console import Console
from recnas.errors import InputError
from recnas.files import read_json
from recnas.search.folder import SHORTLISTED

if TYPE_CHECKING:
    from tensorboard.summary import Writer

FOLDER = "tensorboard"
EVERY = 10.0
"""Seconds between two looks at what is new."""


def check_tensorboard() -> None:
    """Looks ahead to `followed`.

    Raises:
        InputError: TensorBoard is not installed.
    """
    if importlib.util.find_spec("tensorboard") is None:
        raise InputError("--tensorboard needs the package tensorboard; pip install 'recnas[tensorboard]' brings it")


@contextmanager
def followed(run: Path, console: Console) -> Iterator[None]:
    """Writes the event files of a run while the `with` block lasts; `tensorboard --logdir RUN/tensorboard` shows them.

    They are made from the run's own files and from nothing else, anew each time: so a run that goes on has each point
    once, and one that has ended can still be shown.

    Args:
        run: The run's folder.
        console: Told at the end what is missing, if they could not be written: that is no reason to give a search up.
    """
    events: _Events | None = None
    ended = threading.Event()

    def look() -> Exception | None:
        nonlocal events
        try:
            events = events or _Events(run)
            events.add_new()
        except Exception as error:
            # What is left of them, on a full disk say, is made anew at the next look.
            if events is not None:
                events.close()
            events = None
            return error
        return None

    def follow() -> None:
        while not ended.wait(EVERY):
            look()

    thread = threading.Thread(target=follow, name="recnas-tensorboard")
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        if (error := look()) is not None:
            console.say(f"{run / FOLDER}: not complete ({error}); the same command with --resume writes it anew")
        elif events is not None:
            events.close()


class _Events:
    """The event files of a run: a folder for warm-up and search, and one for each final training."""

    def __init__(self, run: Path) -> None:
        self.folder = run / FOLDER
        self._run = run
        shutil.rmtree(self.folder, ignore_errors=True)
        self._tails: dict[Path, _Tail] = {}
        self._writers: dict[str, Writer] = {}
        self._last: dict[tuple[str, str], int] = {}
        self._candidates, self._best, self._listed = 0, -float("inf"), 0

    def add_new(self) -> None:
        """Adds what the run has written down since."""
        for line in self._new(self._run / "supernet" / "metrics.jsonl"):
            for name in ("loss", "rows_per_second", "learning_rate"):
                self._add("search", f"warm-up/{name}", line[name], line["rows"])
        for level in self._levels():
            for name in ("p10", "median", "p90"):
                self._add("search", f"inherited log loss/{name}", level[name], level["rows"])
        for line in self._new(self._run / "history.jsonl"):
            self._candidates, self._best = self._candidates + 1, max(self._best, line["score"])
            values = {"score/score": line["score"], "score/best so far": self._best}
            values |= {f"proxy/{name}": value for name, value in line["proxy"].items()}
            for name, value in values.items():
                self._add("search", name, value, self._candidates)
        for line in self._new(self._run / SHORTLISTED):
            self._listed += 1
            for name, value in line["proxy"].items():
                self._add("search", f"shortlist/{name}", value, self._listed)
        for folder in (*self._run.glob("retrain/*"), *self._run.glob("baselines/*")):
            for file in folder.glob("progress-*.jsonl"):
                rate = float(file.stem.removeprefix("progress-"))
                for line in self._new(file):
                    self._add(_name(folder, rate), "final training/train_loss", line["loss"], line["rows"])
            for line in self._new(folder / "metrics.jsonl"):
                for name, value in line["validation"].items():
                    where = _name(folder, line["learning_rate"])
                    self._add(where, f"final training/validation_{name}", value, line["rows"])
        for writer in self._writers.values():
            writer.flush()

    def close(self) -> None:
        """Nothing more comes, and all that came was flushed."""
        for writer in self._writers.values():
            with suppress(Exception):
                writer.close()

    def _new(self, file: Path) -> Iterator[dict[str, Any]]:
        return self._tails.setdefault(file, _Tail(file)).new()

    def _levels(self) -> list[dict[str, Any]]:
        summary = self._run / "supernet" / "warmup.json"
        return read_json(summary)["levels"] if summary.exists() else []

    def _add(self, where: str, name: str, value: float, step: int) -> None:
        """Adds a point that lies to the right of all before it; others were added already."""
        from tensorboard.summary import Writer

        if step <= self._last.get((where, name), -1):
            return
        self._last[where, name] = step
        if where not in self._writers:
            self._writers[where] = Writer(str(self.folder / where))
        self._writers[where].add_scalar(name, value, step)


def _name(folder: Path, learning_rate: float) -> str:
    return f"{folder.name} at {learning_rate:g}"


class _Tail:
    """The lines that are appended to a file of JSON lines."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._inode, self._read = -1, 0

    def new(self) -> Iterator[dict[str, Any]]:
        """The whole lines since the last call; all of them when another file has taken its place."""
        try:
            with self._file.open("rb") as file:
                inode = os.fstat(file.fileno()).st_ino
                if inode != self._inode:
                    self._inode, self._read = inode, 0
                file.seek(self._read)
                data = file.read()
        except FileNotFoundError:
            return
        whole = data[: data.rfind(b"\n") + 1]
        self._read += len(whole)
        for line in whole.splitlines():
            yield json.loads(line)
