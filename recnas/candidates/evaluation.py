"""Evaluations, which are candidates at a fidelity, and their results. Needs no torch."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from recnas.candidates.candidate import Candidate
from recnas.candidates.network import Baseline


@dataclass(frozen=True)
class Evaluation:
    """What is asked about a candidate.

    Attributes:
        candidate: Of which.
        fidelity: 0 for proxies; above 0 the share of its recipe's training after which it is measured, 1 for the whole.
        parents: Ids of the candidates that it was made from.
        iteration: The round of the strategy that asked, from 0.
        source: What proposed the candidate, where a strategy has several sources of proposals.

    Raises:
        ValueError: There is no such fidelity.
    """

    candidate: Candidate
    fidelity: float = 0.0
    parents: tuple[str, ...] = ()
    iteration: int = 0
    source: str | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.fidelity <= 1:
            raise ValueError(f"a fidelity of {self.fidelity}; it is 0 for proxies, and up to 1 for the whole training")

    def rows(self, pass_rows: int) -> int:
        """Training rows that it is to have seen; of trees as many as `TREES_A_PASS` says.

        Args:
            pass_rows: Training rows in a pass.
        """
        return round(self.fidelity * self.candidate.passes * pass_rows)


@dataclass(frozen=True)
class Quality:
    """How well a model predicts: mean log loss (lower is better) and area under the ROC curve (higher is better)."""

    log_loss: float
    auc: float

    def to_json(self) -> dict[str, float]:
        """Plain values."""
        return asdict(self)


@dataclass(frozen=True)
class CalibrationBin:
    """Rows with alike predictions.

    Attributes:
        predicted: The mean predicted probability.
        clicked: The share that was clicked.
        rows: Their number.
    """

    predicted: float
    clicked: float
    rows: int

    def to_json(self) -> dict[str, float]:
        """Plain values."""
        return asdict(self)


@dataclass(frozen=True)
class Epoch:
    """A measurement where the recipe asks for one, or where a training paused.

    Attributes:
        learning_rate: The schedule's peak.
        epoch: Passes so far: a whole number after one. Of trees their number.
        rows: Training rows seen so far. Of trees as many as `TREES_A_PASS` says.
        train_loss: Mean training loss of this pass.
        validation: Log loss and AUC.
        seconds: Wall-clock time so far.
        planned: Whether the recipe asks for it; only then may its weights be kept.
    """

    learning_rate: float
    epoch: float
    rows: int
    train_loss: float
    validation: Quality
    seconds: float
    planned: bool = True

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Epoch:
        """Reads what `to_json` wrote; before recnas 0.3 the end of a pass was all that could be planned."""
        planned = value.get("planned", value["epoch"] == int(value["epoch"]))
        return cls(**{**value, "planned": planned, "validation": Quality(**value["validation"])})


@dataclass(frozen=True)
class Training:
    """How far a candidate's training has come.

    Attributes:
        epochs: What was measured where the recipe asks for it, and where the training paused.
        finished: Whether it came to its end, or to where its patience was at an end; if not, it paused or diverged.
        diverged: Why the training was given up, if it was.
        seconds: Wall-clock time.
        parameters: Of the dense part; of trees their leaves.
        of_rows: How many of the training rows it is of, drawn at random, where they were too many for a library of
            trees; None: all.
        found: Choices that were left to a library of trees, by their names, as it found them out.
    """

    epochs: tuple[Epoch, ...]
    finished: bool
    diverged: str | None
    seconds: float
    parameters: int
    of_rows: int | None = None
    found: Mapping[str, Any] = field(default_factory=dict)

    @property
    def paused(self) -> bool:
        """Whether it can be resumed."""
        return not self.finished and self.diverged is None

    @property
    def best(self) -> Epoch | None:
        """The measurement that was best on validation, whose weights are kept; None when there was none."""
        return min(self.planned, key=_log_loss, default=None)

    @property
    def planned(self) -> list[Epoch]:
        """The measurements that the recipe asks for."""
        return [item for item in self.epochs if item.planned]

    @property
    def epoch(self) -> float:
        """Passes over the training rows up to the best measurement; 0 when there is none."""
        return 0 if self.best is None else self.best.epoch

    @property
    def validation(self) -> Quality | None:
        """The best measurement's figures."""
        return None if self.best is None else self.best.validation

    @property
    def lowest(self) -> Epoch | None:
        """Where it was best on validation so far, in the middle of a pass too: how a paused training is judged."""
        return min(self.epochs, key=_log_loss, default=None)

    @property
    def rows(self) -> int:
        """Training rows seen when it was last measured."""
        return self.epochs[-1].rows if self.epochs else 0

    def paused_at(self, rows: int) -> Training:
        """What it had come to when it paused after so many training rows."""
        epochs = tuple(item for item in self.epochs if item.rows <= rows)
        return replace(self, epochs=epochs, finished=False, diverged=None, seconds=epochs[-1].seconds)

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        values = {**vars(self), "epochs": [item.to_json() for item in self.epochs], "found": dict(self.found)}
        for name in ("of_rows", "found"):
            if not values[name]:
                del values[name]
        return values

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Training:
        """Reads what `to_json` wrote."""
        return cls(**{**value, "epochs": tuple(Epoch.from_json(item) for item in value["epochs"])})


@dataclass(frozen=True)
class Result:
    """The outcome of an evaluation.

    Attributes:
        evaluation: Of which.
        score: Higher is better: what proxies make, or the validation log loss with its sign turned; -inf where a proxy
            is not a finite number or a training diverged. None while it depends on other candidates' results.
        seconds: The time it took.
        proxies: What each gave, by name, at fidelity 0.
        training: How far the training has come, at a fidelity above 0.
        clock: Seconds from the beginning of a search with a budget in time to when this was known, without the time
            between two processes of a run that was resumed; None in others.
    """

    evaluation: Evaluation
    score: float | None
    seconds: float
    proxies: Mapping[str, float] = field(default_factory=dict)
    training: Training | None = None
    clock: float | None = None

    @classmethod
    def of_training(cls, evaluation: Evaluation, training: Training) -> Result:
        """The result of a training that has come as far as was asked, or diverged before."""
        # One that has ended is what is kept of it, wherever it paused on its way.
        judged = training.lowest if training.paused else training.best
        diverged = training.diverged is not None or judged is None
        score = -math.inf if diverged else -judged.validation.log_loss
        return cls(evaluation, score, training.seconds, training=training)

    @property
    def candidate(self) -> Candidate:
        """The evaluation's."""
        return self.evaluation.candidate

    @property
    def settled(self) -> Candidate:
        """The candidate with what its training found out in the place of what was left to be found out."""
        candidate = self.candidate
        if self.training is None or not self.training.found:
            return candidate
        network = candidate.network
        return replace(candidate, network=Baseline(network.name, network.all_choices | dict(self.training.found)))

    def to_json(self) -> dict[str, Any]:
        """Plain values, as `history.jsonl` has them."""
        asked = self.evaluation
        values = {
            "id": asked.candidate.id,
            "candidate": asked.candidate.to_json(),
            "fidelity": asked.fidelity,
            "parents": list(asked.parents),
            "iteration": asked.iteration,
            "score": self.score,
            "seconds": self.seconds,
            **({} if asked.source is None else {"source": asked.source}),
            **({} if self.clock is None else {"clock": self.clock}),
        }
        if self.training is None:
            return values | {"proxies": dict(self.proxies)}
        return values | {"training": self.training.to_json()}


def _log_loss(epoch: Epoch) -> float:
    return epoch.validation.log_loss
