"""A training's progress in a file, to be read while it goes on, and later."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from recnas.train.loop import Progress
from recnas.util import forms
from recnas.util.files import read_json_lines, write_text, writing


class ProgressLog:
    """A line for each report of a training. One that goes on after a kill writes each step down once.

    Args:
        path: The file, of JSON lines; made if it is not there.

    Attributes:
        rows_before: How many rows the process before had trained on when it kept the state that this one began with,
            but for half a second's; known from the first `add` on.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.rows_before: int | None = None
        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()

    def add(self, now: Progress) -> None:
        """Writes a report down.

        Raises:
            RunError: The file cannot be written.
        """
        if self.rows_before is None:
            kept = self._forget_from(now.step)
            self.rows_before = kept[-1]["rows"] if kept else 0
        with writing(self.path), self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(now.to_json()) + "\n")

    def _forget_from(self, step: int) -> list[dict[str, Any]]:
        """Drops the lines from a step on, as a killed process had come further than what it kept; gives the others."""
        kept = [line for line in read_json_lines(self.path, forms.StepLine) if line["step"] < step]
        write_text(self.path, "".join(json.dumps(line) + "\n" for line in kept))
        return kept
