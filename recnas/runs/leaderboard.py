"""What `results.json` says, as values that a report shows: every trained model, and the ensemble."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from recnas.candidates.evaluation import CalibrationBin
from recnas.candidates.families import family_title
from recnas.candidates.network import BASELINE
from recnas.runs.comparison import Comparison, Standing
from recnas.runs.results import current
from recnas.util.user_code import from_file_name

DIVERGED, DROPPED = "diverged", "dropped"


@dataclass(frozen=True)
class Quality:
    """How well a model predicts one split; a number that is not finite is None."""

    log_loss: float | None
    auc: float | None


@dataclass(frozen=True)
class Model:
    """A finally trained model: a finalist of the search or a baseline.

    Attributes:
        validation: Of one that was dropped: when it was.
        macs: Multiply-accumulates per row; None where nobody counted them.
        latency_ms: Median time to predict one batch; None where nobody measured it.
        over_limits: Which of the search's limits it does not keep.
        seconds: Training time of the learning rate that was kept.
        share: Of the whole training, what one that was dropped has done.
        title: What the code of a user's own baseline calls it.
        trees: Number of trees; None of a network.
        calibration: Whether test rows were clicked as often as it predicts.
        standing: Where it stands beside the best; None where nobody compared it.
    """

    id: str
    kind: str
    status: str
    validation: Quality | None
    test: Quality | None
    parameters: int | None
    macs: int | None
    learning_rate: float | None
    epoch: float | None
    seconds: float | None
    share: float | None = None
    latency_ms: float | None = None
    over_limits: tuple[str, ...] = ()
    title: str | None = None
    candidate: str | None = None
    trees: int | None = None
    calibration: tuple[CalibrationBin, ...] = ()
    standing: Standing | None = None

    @property
    def training(self) -> str | None:
        """Which of its trainings was kept, as `TrainedFiles.training` says; None: that is not known."""
        return self.candidate or (None if self.learning_rate is None else repr(self.learning_rate))

    @property
    def name(self) -> str:
        return self.title or (family_title(from_file_name(self.id)) if self.kind == BASELINE else self.id)

    @property
    def diverged(self) -> bool:
        return self.status == DIVERGED

    @property
    def dropped(self) -> bool:
        return self.status == DROPPED

    @property
    def validation_log_loss(self) -> float | None:
        return self.validation.log_loss if self.validation else None


@dataclass(frozen=True)
class Member:
    """A member of an ensemble; several may be of one family.

    Attributes:
        id: The network's.
        candidate: The candidate's id.
        weight: Its share of the ensemble's prediction.
    """

    id: str
    candidate: str
    weight: float
    validation: Quality


@dataclass(frozen=True)
class Ensemble:
    """Trained models that predict together.

    Attributes:
        members: The largest weight first.
        among: How many models they were selected from.
        validation: Figures on the validation rows, by which they were selected.
        held_out: Log loss of validation rows by ensembles that were selected without them.
        single: That of the best model alone on the same rows.
        error: Standard error of the difference of the two; None where nobody told it.
        calibration: As of a model.
        parameters: Of all members together, as `macs` and `latency_ms` are.
        over_limits: As of a model.
    """

    members: tuple[Member, ...]
    among: int
    validation: Quality
    held_out: float
    single: float
    test: Quality
    parameters: int
    macs: int
    latency_ms: float | None
    over_limits: tuple[str, ...]
    error: float | None = None
    calibration: tuple[CalibrationBin, ...] = ()


@dataclass(frozen=True)
class Results:
    """`results.json`: what was trained in the end, and on which data.

    Attributes:
        rows: Those of each split that the run has used.
        of_rows: Those that there are, where they are not the same.
        ensemble: None where the best model predicts best alone, or none was asked for.
        comparison: How sure it is which model is best; None in runs that did not tell.
        front: Found models that no other beats in validation log loss and in every cost that the search kept low.
    """

    best: str | None
    data_name: str | None
    rows: Mapping[str, int]
    positive_rate: float | None
    space: str | None
    models: tuple[Model, ...]
    search: Mapping[str, Any]
    front: tuple[str, ...] = ()
    ensemble: Ensemble | None = None
    comparison: Comparison | None = None
    of_rows: Mapping[str, int] = field(default_factory=dict)


def read_leaderboard(data: dict[str, Any]) -> Results:
    """Reads what `results.json` holds, of whatever version."""
    data, about = current(data), data.get("data") or {}
    comparison = None if data.get("comparison") is None else Comparison.from_json(data["comparison"])
    standings = {} if comparison is None else comparison.models
    return Results(
        best=data.get("best"),
        data_name=about.get("name"),
        rows={split: rows for split, rows in (about.get("rows") or {}).items() if rows is not None},
        positive_rate=finite(about.get("positive_rate")),
        space=data.get("space"),
        models=tuple(_model(model, standings.get(model.get("candidate"))) for model in data["models"]),
        search=data.get("search") or {},
        front=tuple(data.get("front") or ()),
        ensemble=None if data.get("ensemble") is None else _ensemble(data["ensemble"]),
        comparison=comparison,
        of_rows={
            split: rows
            for split, rows in (about.get("of_rows") or {}).items()
            if rows != (about.get("rows") or {}).get(split)
        },
    )


def _model(data: dict[str, Any], standing: Standing | None) -> Model:
    return Model(
        id=data["id"],
        kind=data["kind"],
        status=data.get("status", "trained"),
        validation=read_quality(data.get("validation")),
        test=read_quality(data.get("test")),
        parameters=data.get("parameters"),
        macs=data.get("macs"),
        learning_rate=finite(data.get("learning_rate")),
        epoch=finite(data.get("epoch")),
        seconds=finite(data.get("seconds")),
        share=finite(data.get("share")),
        latency_ms=finite(data.get("latency_ms")),
        over_limits=tuple(data.get("over_limits") or ()),
        title=data.get("title"),
        candidate=data.get("candidate"),
        trees=data.get("trees"),
        calibration=_calibration(data),
        standing=standing,
    )


def _ensemble(data: dict[str, Any]) -> Ensemble:
    return Ensemble(
        members=tuple(
            Member(item["id"], item["candidate"], item["weight"], read_quality(item["validation"]))
            for item in data["members"]
        ),
        among=data["among"],
        validation=read_quality(data["validation"]),
        held_out=data["held_out"]["log_loss"],
        single=data["held_out"]["single"],
        test=read_quality(data["test"]),
        parameters=data["parameters"],
        macs=data["macs"],
        latency_ms=data["latency_ms"],
        over_limits=tuple(data["over_limits"]),
        error=data["held_out"].get("error"),
        calibration=_calibration(data),
    )


def _calibration(data: dict[str, Any]) -> tuple[CalibrationBin, ...]:
    bins = data.get("calibration") or ()
    return tuple(CalibrationBin(item["predicted"], item["clicked"], item["rows"]) for item in bins)


def finite(value: float | None) -> float | None:
    """The number if it is finite: a diverged training writes NaN or null."""
    return float(value) if value is not None and math.isfinite(value) else None


def read_quality(data: Any) -> Quality | None:
    """Figures of a split; None where there are none."""
    return None if data is None else Quality(finite(data["log_loss"]), finite(data["auc"]))
