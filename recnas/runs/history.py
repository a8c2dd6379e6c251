"""`history.jsonl`: a line for each evaluation of a run, by proxies or by training; a resumed run reads it again."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from recnas.candidates.evaluation import Evaluation, Result, Training
from recnas.util import forms
from recnas.util.errors import InputError
from recnas.util.files import FROM_HERE, checked_line, read_lines, write_text, writing

FILE_NAME = "history.jsonl"

Evaluate = Callable[[list[Evaluation]], Iterator[Result]]
"""Evaluates candidates; gives their results in order, as they come."""


def drop_after(run: Path, stage: str) -> None:
    """Drops the lines of a run's history that are of other stages than one, which is to go on."""
    lines, _ = read_lines(run / FILE_NAME)
    write_text(run / FILE_NAME, "".join(line.decode() + "\n" for line in lines if _is_of(line, stage)))


def _is_of(line: bytes, stage: str) -> bool:
    """Whether a line is of a stage, which is what `History.add` writes first."""
    return line.startswith(json.dumps({"stage": stage})[:-1].encode())


class History:
    """The evaluations of a run, in their order.

    Args:
        run: The run's folder. What its file holds already is given out again by `fill`, in order.

    Attributes:
        dropped: Whether the file's last line was cut short, and was dropped.

    Raises:
        InputError: A line before the last is damaged.
    """

    def __init__(self, run: Path) -> None:
        self._path = run / FILE_NAME
        self._place = 0
        self._held: dict[tuple[str, str, float], int] = {}
        self._lines, self.dropped = read_lines(self._path)
        with writing(self._path):
            if self.dropped:
                os.truncate(self._path, sum(len(line) + 1 for line in self._lines))
            self._file = self._path.open("ab", buffering=0)

    def num_of(self, stage: str) -> int:
        """How many evaluations of a stage the file held when it was opened."""
        return sum(_is_of(line, stage) for line in self._lines)

    @property
    def last_clock(self) -> float:
        """The last time of a search's clock that the file held when it was opened; 0 where it had none."""
        # What follows a search has no clock.
        clocks = (self._line(place).get("clock") for place in reversed(range(len(self._lines))))
        return next((clock for clock in clocks if clock is not None), 0.0)

    @property
    def num_left(self) -> int:
        """How many evaluations the file holds that have not been given out again."""
        return max(0, len(self._lines) - self._place)

    def disregard_order(self, stage: str | None = None) -> None:
        """What the file still holds is found by its name from now on, as different calls may have added to it.

        Args:
            stage: The stage that all of it is to be of; None for any.

        Raises:
            InputError: It is of another stage.
        """
        while self.num_left:
            line = self._line(self._place)
            if stage not in (None, line["stage"]):
                raise self._other(line, stage)
            self._held[line["stage"], line["id"], line["fidelity"]] = self._place
            self._place += 1

    def fill(self, stage: str, evaluations: Sequence[Evaluation], evaluate: Evaluate) -> Iterator[tuple[Result, bool]]:
        """The next evaluations: what the file holds of them is read, the others are made and recorded as they come.

        A training that the file holds is asked for again, as its weights are needed: what was done is not done again.

        Args:
            stage: That of the run in which they are made.
            evaluations: What is to be known.
            evaluate: Evaluates those that are new.

        Yields:
            What came of each, in order, and whether the file held it.

        Raises:
            InputError: The file has another evaluation in this place.
            RunError: It cannot be written.
        """
        new = list(evaluations)
        while new and not new[0].fidelity and (known := self._known(stage, new[0])) is not None:
            new.pop(0)
            yield known, True
        if not new:
            return
        with closing(evaluate(new)) as results:
            for result in results:
                yield self.settle(stage, result)

    def settle(self, stage: str, result: Result) -> tuple[Result, bool]:
        """Records a result, unless the file holds it already.

        Args:
            stage: As in `fill`.
            result: What came of an evaluation just now.

        Returns:
            What was recorded, on which decisions hang, as a training may have gone on since; and whether the file held
            it.

        Raises:
            InputError: The file has another evaluation in this place.
            RunError: It cannot be written.
        """
        if (known := self._known(stage, result.evaluation)) is not None:
            return known, True
        self.add(stage, result)
        return result, False

    def next_of(self, stage: str, under_way: Sequence[Evaluation]) -> Evaluation | None:
        """Which of some evaluations the file holds next; None when it holds no more.

        Args:
            stage: As in `fill`.
            under_way: Evaluations, whose results may become known in any order.

        Raises:
            InputError: The file has another one in this place.
        """
        if not self.num_left:
            return None
        line = self._line(self._place)
        for evaluation in under_way:
            if (line["stage"], line["id"], line["fidelity"]) == (stage, evaluation.candidate.id, evaluation.fidelity):
                return evaluation
        raise self._other(line, stage, under_way[0].candidate.id, under_way[0].fidelity)

    def close(self) -> None:
        """Nothing more is to be recorded."""
        self._file.close()

    def _line(self, place: int) -> dict[str, Any]:
        return checked_line(self._lines[place], forms.EvaluationLine, f"{self._path}:{place + 1}")

    def _known(self, stage: str, evaluation: Evaluation) -> Result | None:
        """What the file holds of an evaluation; None where it holds nothing of it."""
        asked = stage, evaluation.candidate.id, evaluation.fidelity
        if (place := self._held.get(asked)) is not None:
            line = self._line(place)
        elif not self.num_left:
            return None
        else:
            line = self._line(self._place)
            if (line["stage"], line["id"], line["fidelity"]) != asked:
                raise self._other(line, *asked)
            self._place += 1
        training = line.get("training")
        return Result(
            evaluation,
            line["score"],
            line["seconds"],
            line.get("proxies", {}),
            None if training is None else Training.from_json(training),
            line.get("clock"),
        )

    def _other(self, line: Mapping[str, Any], *asked: object) -> InputError:
        found = line["stage"], line["id"], line["fidelity"]
        return InputError(
            f"{self._path}:{self._place + 1}: {', '.join(map(str, found))} where this run asks for "
            f"{', '.join(map(str, asked))}; {FROM_HERE}"
        )

    def add(self, stage: str, result: Result) -> None:
        """Records the next result; from now on no killed process can lose it.

        Raises:
            RunError: The file cannot be written.
        """
        rest = memoryview(json.dumps({"stage": stage, **result.to_json()}).encode() + b"\n")
        with writing(self._path):
            while rest:
                rest = rest[self._file.write(rest) :]
