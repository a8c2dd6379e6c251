"""What a stage of a run is, and what stages find."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from recnas.candidates.evaluation import CalibrationBin, Quality, Result
from recnas.runs.ensemble import SelectedEnsemble
from recnas.runs.plan import PlannedStage
from recnas.runs.settings import Settings
from recnas.search.context import RunContext


@dataclass(frozen=True)
class Ensemble:
    """Trained candidates that predict together.

    Attributes:
        members: With their weights, the largest first.
        selected: How they were selected, and how well they predict the validation rows.
    """

    members: tuple[tuple[Result, float], ...]
    selected: SelectedEnsemble


@dataclass(frozen=True)
class Tested:
    """What a model came to on the test rows.

    Attributes:
        quality: How well it predicts them.
        calibration: Whether they were clicked as often as it predicts; none where its predictions are not numbers.
    """

    quality: Quality
    calibration: Sequence[CalibrationBin]


@dataclass
class Findings:
    """What the stages of a run have found so far.

    Attributes:
        explored: Every candidate in the order of scoring.
        reranked: The best of them with their scores of the second ranking; None where there was none.
        seconds: What both took.
        warmup_rows: Training rows of the warm-up.
        tuned: What was trained before the final training, by the tuning of families or by the search itself: by the
            network's id and the candidate's.
        trained: What the trainings of each network came to, by the network's id and the candidate's; finalists first.
        chosen: The best training of each network that has one, by the network's id.
        ensemble: Candidates that predict better together than the best of them alone; None where there are none.
        test: What each chosen one came to on the test rows.
        ensemble_test: What the ensemble did.
    """

    explored: list[Result] = field(default_factory=list)
    reranked: list[Result] | None = None
    seconds: float = 0.0
    warmup_rows: int = 0
    tuned: dict[str, dict[str, Result]] = field(default_factory=dict)
    trained: dict[str, dict[str, Result]] = field(default_factory=dict)
    chosen: dict[str, Result] = field(default_factory=dict)
    ensemble: Ensemble | None = None
    test: dict[str, Tested] = field(default_factory=dict)
    ensemble_test: Tested | None = None

    @property
    def trainings(self) -> list[Result]:
        """Every training, a strategy's own on its way too; of a candidate that paused there may be several."""
        last = [result for known in self.trained.values() for result in known.values()]
        return [result for result in self.explored if result.training is not None] + last

    @property
    def ranked(self) -> list[Result]:
        """The candidates that finalists are chosen from."""
        return self.explored if self.reranked is None else self.reranked


class Stage(ABC):
    """A part of a run. What was done of it in a process before is not done again.

    Attributes:
        name: As shown, and written into the history.
    """

    name: ClassVar[str]

    @abstractmethod
    def planned(self, settings: Settings, rows: Mapping[str, int]) -> PlannedStage:
        """What there is to do.

        Args:
            settings: The run's.
            rows: Of each split.
        """

    @abstractmethod
    def run(self, context: RunContext, findings: Findings) -> None:
        """Does it.

        Args:
            context: The run.
            findings: What the stages before have found, to which this one adds.
        """
