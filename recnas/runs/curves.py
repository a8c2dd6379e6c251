"""The points of a run's curves, read from what it writes down, while it goes on."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recnas.candidates.recipe import ID_DIGITS
from recnas.runs.folder import RE_RANKING, SEARCH
from recnas.runs.trained import TrainedFiles, trained_files
from recnas.util import forms
from recnas.util.files import parse_line, read_json


@dataclass(frozen=True)
class Point:
    """One point of a curve.

    Attributes:
        series: `SEARCH` for everything up to the final training, or a final training.
        name: What was measured.
        value: What it was.
        step: Rows learned from, or the number of trees, or of the candidate.
    """

    series: str
    name: str
    value: float
    step: int


def final_training(model: str, learning_rate: float, candidate: str | None) -> str:
    """The series of a model's final training.

    Args:
        model: The network's id.
        learning_rate: Its recipe's.
        candidate: The candidate's id, whose last digits tell recipes apart; None in a run of recnas 0.1.
    """
    digits = "" if candidate is None else f" ({candidate[-ID_DIGITS:]})"
    return f"{model} at {learning_rate:g}{digits}"


class RunPoints:
    """Reads a run's files as they grow; a file that another took the place of is read from its start."""

    def __init__(self, run: Path) -> None:
        self._run = run
        self._tails: dict[Path, _Tail] = {}
        self._last: dict[tuple[str, str], int] = {}
        self._candidates, self._best, self._reranked = 0, -float("inf"), 0

    def new(self) -> list[Point]:
        """What the run has written down since, each point to the right of all before it on its curve."""
        points = []
        for point in self._read():
            curve = point.series, point.name
            if point.step > self._last.get(curve, -1):
                self._last[curve] = point.step
                points.append(point)
        return points

    def _read(self) -> Iterator[Point]:
        for line in self._new(self._run / "supernet" / "metrics.jsonl"):
            for name in ("loss", "rows_per_second", "learning_rate"):
                yield Point(SEARCH, f"warm-up/{name}", line[name], line["rows"])
        for level in self._levels():
            for name in ("p10", "median", "p90"):
                yield Point(SEARCH, f"inherited log loss/{name}", level[name], level["rows"])
        for line in self._new(self._run / "history.jsonl"):
            yield from self._evaluation(line)
        for files in trained_files(self._run):
            yield from self._training(files)

    def _evaluation(self, line: dict[str, Any]) -> Iterator[Point]:
        if line["stage"] == RE_RANKING:
            self._reranked += 1
            for name, value in line["proxies"].items():
                yield Point(SEARCH, f"re-ranking/{name}", value, self._reranked)
        elif line["stage"] == SEARCH:
            self._candidates, self._best = self._candidates + 1, max(self._best, line["score"])
            values = {"score/score": line["score"], "score/best so far": self._best}
            values |= {f"proxy/{name}": value for name, value in line.get("proxies", {}).items()}
            for name, value in values.items():
                yield Point(SEARCH, name, value, self._candidates)

    def _training(self, files: TrainedFiles) -> Iterator[Point]:
        for rate, file in files.progress.items():
            series = final_training(files.network_id, rate, files.candidate)
            for line in self._new(file):
                yield Point(
                    series, "final training/train_loss", line["loss"], line["step" if files.are_trees else "rows"]
                )
        for line in self._new(files.metrics):
            series = final_training(files.network_id, line["learning_rate"], files.candidate)
            for name, value in line["validation"].items():
                step = line["epoch" if files.are_trees else "rows"]
                yield Point(series, f"final training/validation_{name}", value, int(step))

    def _levels(self) -> list[dict[str, Any]]:
        summary = self._run / "supernet" / "warmup.json"
        return read_json(summary, form=forms.Warmup).get("levels", []) if summary.exists() else []

    def _new(self, file: Path) -> Iterator[dict[str, Any]]:
        return self._tails.setdefault(file, _Tail(file)).new()


class _Tail:
    """The lines that are appended to a file of JSON lines."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._inode, self._read = -1, 0

    def new(self) -> Iterator[dict[str, Any]]:
        """The whole lines since the last call; all of them when another file has taken its place."""
        try:
            with self._file.open("rb") as file:
                status = os.fstat(file.fileno())
                if status.st_ino != self._inode or status.st_size < self._read:
                    self._inode, self._read = status.st_ino, 0
                file.seek(self._read)
                data = file.read()
        except FileNotFoundError:
            return
        whole = data[: data.rfind(b"\n") + 1]
        self._read += len(whole)
        for line in whole.splitlines():
            yield parse_line(line)
