"""`history.jsonl` and `shortlist.jsonl`: a line for each scored candidate, for a run that was stopped to go on from."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recnas.search.scoring import Scored
from recnas.space import Architecture
from recnas.strategies.evolution import Proposal
from recnas.util import forms
from recnas.util.errors import InputError
from recnas.util.files import FROM_HERE, checked_line, read_lines, writing

FILE_NAME = "history.jsonl"


@dataclass(frozen=True)
class Recorded:
    """A line: a proposal and what it scored."""

    proposal: Proposal
    scored: Scored

    def to_json(self) -> dict[str, Any]:
        return {
            "id": self.proposal.id,
            "architecture": self.proposal.arch.to_json(),
            "parents": list(self.proposal.parents),
            "iteration": self.proposal.iteration,
            "proxy": self.scored.values,
            "score": self.scored.score,
            "seconds": self.scored.seconds,
        }


class History:
    """The candidates scored so far, in memory and in the file.

    Args:
        run: The run's folder.
        name: The file in it. What it holds already is given out again by `known`, in order.
        form: What its lines hold.

    Attributes:
        recorded: Every candidate, in order.
        dropped: Whether the file's last line was cut short, and was dropped.

    Raises:
        InputError: A line before the last is damaged.
    """

    def __init__(self, run: Path, name: str = FILE_NAME, form: Any = forms.ScoredLine) -> None:
        self._path, self._form = run / name, form
        self.recorded: list[Recorded] = []
        self._lines, self.dropped = read_lines(self._path)
        with writing(self._path):
            if self.dropped:
                os.truncate(self._path, sum(len(line) + 1 for line in self._lines))
            self._file = self._path.open("ab", buffering=0)

    @property
    def num_known(self) -> int:
        """How many candidates the file held."""
        return len(self._lines)

    def known(self, proposal: Proposal) -> Scored | None:
        """What the next candidate scored in the process before; None when it came not so far.

        Raises:
            InputError: The file has another candidate in this place.
        """
        place = len(self.recorded)
        if place >= len(self._lines):
            return None
        where = f"{self._path}:{place + 1}"
        line = checked_line(self._lines[place], self._form, where)
        scored = Scored(dict(line["proxy"]), line["score"], line["seconds"])
        if (found := line["id"]) != proposal.id:
            raise InputError(f"{where}: candidate {found}, where this search proposes {proposal.id}; {FROM_HERE}")
        self.recorded.append(Recorded(proposal, scored))
        return scored

    def add(self, proposal: Proposal, scored: Scored) -> None:
        """Records the next candidate; from now on no killed process can lose it.

        Raises:
            RunError: The file cannot be written.
        """
        self.recorded.append(Recorded(proposal, scored))
        rest = memoryview(json.dumps(self.recorded[-1].to_json()).encode() + b"\n")
        with writing(self._path):
            while rest:
                rest = rest[self._file.write(rest) :]

    def fill(
        self, proposals: Sequence[Proposal], score: Callable[[list[Architecture]], Generator[Scored, None, None]]
    ) -> Generator[tuple[Scored, bool], None, None]:
        """The next candidates: those that the file holds are read, the others scored and recorded as they come.

        Args:
            proposals: The candidates.
            score: Scores those that are new, in their order.

        Yields:
            What each scored, and whether the file held it.
        """
        new = list(proposals)
        while new and (scored := self.known(new[0])) is not None:
            del new[0]
            yield scored, True
        with closing(score([proposal.arch for proposal in new])) as results:
            for proposal, result in zip(new, results, strict=True):
                self.add(proposal, result)
                yield result, False

    @property
    def seconds_before(self) -> float:
        """What the candidates that the file held took, one after the other."""
        return sum(item.scored.seconds for item in self.recorded[: self.num_known])

    def close(self) -> None:
        """Nothing more is to be recorded."""
        self._file.close()
