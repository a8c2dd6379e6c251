"""A table of trained candidates, which is asked in the place of training them. Needs no torch."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from recnas.bench.columns import FORMAT, KEY, SCORE
from recnas.bench.space import TableSpace
from recnas.candidates.candidate import Candidate
from recnas.candidates.evaluation import Quality
from recnas.util import bench_forms
from recnas.util.documents import check_form
from recnas.util.errors import InputError, first_line
from recnas.util.files import parse_line

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Outcome:
    """What a training came to.

    Attributes:
        fidelity: The share of it after which it was measured, at or above the one that was asked for; that of its end
            where it lost patience before.
        rows: Training rows seen.
        seconds: Processor time, by one thread.
        validation: The best so far.
        test: Of the weights that were best on validation.
        finished: Whether it came to its end.
        diverged: Whether it was given up; there are no figures then.
    """

    fidelity: float
    rows: int
    seconds: float
    validation: Quality | None
    test: Quality | None
    finished: bool
    diverged: bool = False


class Table:
    """Candidates of one space that were trained on one data set, each with several seeds.

    Args:
        frame: A line for each training; see `docs/bench.md` for its columns.
        about: What the file says of itself: data set, space, settings, machine.

    Attributes:
        frame: As given.
        about: As given.

    Example:
        >>> table = recnas.bench.load("runs/table/table.parquet")
        >>> candidate = next(iter(table))
        >>> table.query(candidate, fidelity=0.2, seed=0).validation.log_loss
    """

    def __init__(self, frame: pd.DataFrame, about: Mapping[str, Any]) -> None:
        self.frame, self.about = frame.reset_index(drop=True), dict(about)

    @classmethod
    def read(cls, path: Path | str) -> Self:
        """A table from its Parquet file.

        Raises:
            InputError: It cannot be read, is no table, or is of another format.
        """
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            read = pq.read_table(path)
        except (OSError, pa.ArrowException) as error:
            raise InputError(f"{path}: cannot be read as a table ({first_line(error)})") from None
        metadata = read.schema.metadata or {}
        if KEY not in metadata:
            raise InputError(f"{path}: no table of trained candidates; `recnas bench build` makes one")
        try:
            about = parse_line(metadata[KEY])
            check_form(about, bench_forms.About)
        except ValueError as error:
            raise InputError(f"{path}: what it says of itself is damaged ({error})") from None
        if about["format"] != FORMAT:
            raise InputError(f"{path}: a table of format {about['format']}; this recnas reads format {FORMAT}")
        return cls(read.to_pandas(), about)

    def __len__(self) -> int:
        """How many candidates."""
        return len(self._places)

    def __iter__(self) -> Iterator[Candidate]:
        """The candidates, in the order in which they were drawn."""
        return iter(self.candidates.values())

    def __contains__(self, candidate: Candidate | str) -> bool:
        return _id_of(candidate) in self._places

    @cached_property
    def candidates(self) -> dict[str, Candidate]:
        """The candidates by their ids."""
        texts = self.frame.drop_duplicates("id").set_index("id")["candidate"]
        return {name: Candidate.from_json(json.loads(text)) for name, text in texts.items()}

    @cached_property
    def space(self) -> TableSpace:
        """What the candidates were drawn from."""
        return TableSpace.from_json(self.about["space"])

    @property
    def proxies(self) -> list[str]:
        """The columns of proxies, each `proxy:WARM-UP:NAME`."""
        return [name for name in self.frame.columns if name.startswith(f"{SCORE}:")]

    @property
    def pass_rows(self) -> int:
        """Training rows of a pass."""
        return self.about["rows"]["train"]

    def seeds(self, candidate: Candidate | str) -> tuple[int, ...]:
        """Those with which a candidate was trained.

        Raises:
            InputError: It was not.
        """
        return tuple(self._of(candidate))

    def query(self, candidate: Candidate | str, fidelity: float = 1.0, seed: int = 0) -> Outcome:
        """What a training of a candidate came to.

        Args:
            candidate: One of the table, or its id.
            fidelity: Share of its whole training; it was measured at some shares alone, and the next one above counts.
            seed: Which of its trainings.

        Raises:
            InputError: It was not trained, or not with this seed, or there is no such fidelity.
        """
        if not 0 < fidelity <= 1:
            raise InputError(f"a fidelity of {fidelity}; of a training it is above 0, and 1 for the whole")
        of_candidate = self._of(candidate)
        if seed not in of_candidate:
            raise InputError(
                f"{_id_of(candidate)} was trained with the seeds {', '.join(map(str, of_candidate))}, not with {seed}"
            )
        return self._outcome(self.frame.iloc[of_candidate[seed]], fidelity)

    def to_pandas(self) -> pd.DataFrame:
        """All trainings, a line each; a copy."""
        return self.frame.copy()

    def _outcome(self, line: pd.Series, fidelity: float) -> Outcome:
        fidelities = line["stop_fidelity"]
        # Fidelities are single-precision numbers there.
        stop = int(np.searchsorted(fidelities, fidelity - 1e-6))
        diverged = isinstance(line["diverged"], str)
        if stop >= len(fidelities) - (0 if diverged else 1):
            # It is at its end, or lost patience or diverged before it came so far.
            last = float(fidelities[-1]) if len(fidelities) else 0.0
            rows = int(line["stop_rows"][-1]) if len(fidelities) else 0
            qualities = (
                (None, None)
                if diverged
                else tuple(
                    Quality(float(line[f"{split}_log_loss"]), float(line[f"{split}_auc"]))
                    for split in ("validation", "test")
                )
            )
            return Outcome(last, rows, float(line["seconds"]), *qualities, not diverged, diverged)
        best = int(np.argmin(line["stop_validation_log_loss"][: stop + 1]))
        validation, test = (
            Quality(float(line[f"stop_{split}_log_loss"][best]), float(line[f"stop_{split}_auc"][best]))
            for split in ("validation", "test")
        )
        seconds = float(line["stop_seconds"][stop])
        return Outcome(float(fidelities[stop]), int(line["stop_rows"][stop]), seconds, validation, test, False)

    @cached_property
    def _places(self) -> dict[str, dict[int, int]]:
        """Of each candidate the lines of its trainings by their seeds."""
        places: dict[str, dict[int, int]] = {}
        for place, (name, seed) in enumerate(zip(self.frame["id"], self.frame["seed"], strict=True)):
            places.setdefault(name, {})[int(seed)] = place
        return places

    def _of(self, candidate: Candidate | str) -> dict[int, int]:
        name = _id_of(candidate)
        if name not in self._places:
            raise InputError(
                f"{name} is not in the table; a surrogate, `recnas.bench.fit(table)`, guesses what it comes to"
            )
        return self._places[name]


def _id_of(candidate: Candidate | str) -> str:
    return candidate if isinstance(candidate, str) else candidate.id
