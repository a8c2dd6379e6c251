"""The forms of JSON files of runs, as types that `recnas.util.files.read_json` holds them against.

`schema.json`, `architecture.json` and `config.yaml` are read by `Schema`, `Architecture` and `Settings`, which check
themselves. Keys that are not listed are let through, but for forms that say otherwise: a newer recnas may write more.
"""

from __future__ import annotations

from typing import Annotated, Any, NotRequired, Required

from annotated_types import Interval, Len

# The standard library's has no forms of its own before Python 3.12.
from typing_extensions import TypedDict

Count = Annotated[int, Interval(ge=0, le=2**63 - 1)]
Finite = Annotated[float, Interval(ge=-1e18, le=1e18)]
Share = Annotated[float, Interval(gt=0, le=1)]
Seconds = Annotated[float, Interval(ge=0, le=1e12)]
Figure = float | None
"""A figure that a training which diverged writes as NaN or null."""
OwnObjectives = dict[str, Finite]
"""`objectives.json` of a trained candidate: what a user's own objectives say of it, by their names."""
CLOSED: Any = {"extra": "forbid"}
"""The configuration of a form without other keys."""


class Quality(TypedDict):
    """How well a model predicts."""

    log_loss: float
    auc: float


class MeasuredQuality(TypedDict):
    """Log loss and AUC of a training that may have diverged."""

    log_loss: Figure
    auc: Figure


class PlannedStage(TypedDict):
    """A stage in `plan.json`."""

    name: str
    total: Finite
    unit: str
    rows: Finite
    trains: bool
    gradient_cost: Finite


class Plan(TypedDict):
    """`plan.json`."""

    stages: Annotated[list[PlannedStage], Len(1)]
    pass_rows: NotRequired[Count | None]


class CandidateLine(TypedDict, total=False):
    """A line of `history.jsonl`, as a report reads it: of this version, or of one that had a file for each stage."""

    id: Required[str]
    iteration: Required[Count]
    stage: str
    fidelity: Finite
    candidate: dict[str, Any]
    architecture: dict[str, Any] | None
    parents: list[str]
    proxies: dict[str, Figure]
    proxy: dict[str, Figure] | None
    score: Figure
    seconds: Seconds | None


class LatencyLine(TypedDict):
    """A line of `latency.jsonl`."""

    of: str
    id: str
    ms: Finite


class ProxiesOfCandidate(TypedDict):
    """A line of `proxies.jsonl`: proxies of a candidate, null where unknown."""

    id: str
    values: dict[str, Figure]
    seconds: Seconds


class ProxiesInUse(TypedDict):
    """Another line of it: those that are used from a candidate on."""

    used: list[str]
    since: Count


ProxyLine = ProxiesOfCandidate | ProxiesInUse


class ProgressLine(TypedDict):
    """A line of a training's progress, as a report reads it."""

    rows: Count
    loss: Figure
    rows_per_second: NotRequired[Figure]


class SpeedLine(TypedDict):
    """A report of a training's progress, as a status reads it."""

    rows: Count
    rows_per_second: Seconds


class StepLine(TypedDict):
    """A report of a training's progress, as a training that is resumed needs it."""

    rows: Count
    step: Count


class EpochLine(TypedDict, total=False):
    """A line of a model's `metrics.jsonl`, as a report reads it."""

    learning_rate: Figure
    epoch: Required[Finite]
    rows: Count
    train_loss: Figure
    validation: MeasuredQuality | None
    seconds: Seconds


class Epoch(TypedDict):
    """A measurement in a training that a run resumes."""

    __pydantic_config__ = CLOSED

    learning_rate: Finite
    epoch: Finite
    rows: Count
    train_loss: float
    validation: Quality
    seconds: Seconds
    planned: NotRequired[bool]


class Training(TypedDict):
    """What a training has come to."""

    __pydantic_config__ = CLOSED

    epochs: list[Epoch]
    finished: bool
    diverged: str | None
    seconds: Seconds
    parameters: Count
    of_rows: NotRequired[Count]
    found: NotRequired[dict[str, int | float | str]]


class RecordedTraining(Training):
    """`training.json`."""

    keeps_weights: bool


class SelectedEnsemble(TypedDict):
    """`ensemble.json` in a run's folder of models."""

    __pydantic_config__ = CLOSED

    weights: Annotated[dict[str, Share], Len(1)]
    validation: Quality
    held_out: float
    single: float
    error: NotRequired[float | None]
    among: list[str]


class EvaluationLine(TypedDict, total=False):
    """A line of `history.jsonl`, as a run that is resumed needs it."""

    id: Required[str]
    stage: Required[str]
    fidelity: Required[Finite]
    score: Required[Figure]
    seconds: Required[Seconds]
    proxies: dict[str, float]
    training: Training
    clock: Seconds


class TrainedLine(EvaluationLine):
    """A line of a training, as a portfolio is learned from it."""

    candidate: dict[str, Any]
    training: Training


class Beginning(TypedDict):
    """`beginning.json`."""

    joint_ids: list[str]
    gains: list[Finite]
    values: list[Count]
    helpful: Count
    of_trees: list[str]
    helpful_to_trees: Count
    at_once: Annotated[int, Interval(ge=1, le=10_000)]
    droppable: list[str]
    gains_of_droppable: list[Finite]


class Measured(TypedDict):
    """How far a training was when it was measured."""

    rows: Count


class TrainingEnd(TypedDict):
    """`training.json`, as a status reads it."""

    epochs: list[Measured]
    diverged: str | None
    finished: NotRequired[bool]


class Level(TypedDict):
    """The inherited quality of candidates after a part of a warm-up."""

    fraction: Finite
    rows: NotRequired[Count | None]
    median: Figure
    p10: Figure
    p90: Figure


class Warmup(TypedDict, total=False):
    """`warmup.json`."""

    rows: Count | None
    seconds: Seconds | None
    constant_log_loss: Figure
    candidates: Count | None
    levels: list[Level]


class StateNotes(TypedDict):
    """`notes.json` beside the state of a training under way."""

    learner: Any
    seconds: Seconds


class DenseDescription(TypedDict):
    """A dense feature in `data.json`."""

    name: str
    transform: str
    minimum: Figure
    mean: Figure
    maximum: Figure
    deviation: Figure
    missing: NotRequired[Figure]


class SparseDescription(TypedDict):
    """A sparse feature in `data.json`."""

    name: str
    distinct: Count
    missing: float
    table_rows: Count
    collisions: float
    most_frequent: list[Annotated[list[str | int | float], Len(2, 2)]]


class SplitCounts(TypedDict):
    """Rows of each split."""

    train: Count
    validation: Count
    test: Count


class SplitShares(TypedDict):
    """A share of each split; None of an empty one."""

    train: Figure
    validation: Figure
    test: Figure


class Description(TypedDict):
    """`data.json`."""

    rows: SplitCounts
    click_rate: SplitShares
    dense: list[DenseDescription]
    sparse: list[SparseDescription]


class TrackedRun(TypedDict):
    """`mlflow.json`."""

    run: str


class ListedValue(TypedDict):
    """A value of a multi-valued feature that has a column of its own."""

    __pydantic_config__ = CLOSED

    feature: str
    row: Count


class CategoryColumn(TypedDict):
    """A feature that is a column of categories."""

    __pydantic_config__ = CLOSED

    feature: str
    kept: NotRequired[list[Count]]


class TreeColumns(TypedDict):
    """The columns of a matrix that trees take."""

    __pydantic_config__ = CLOSED

    numbers: list[str]
    listed: list[ListedValue]
    categories: list[CategoryColumn]


class Trees(TypedDict):
    """`trees.json`, what a model of trees is."""

    version: Count
    family: str
    sha256: str
    columns: TreeColumns
