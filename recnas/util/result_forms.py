"""The form of `results.json`, and of what it takes over from other files of a run; see `recnas.util.forms`."""

from __future__ import annotations

from typing import Annotated, Literal, NotRequired, Required

from annotated_types import Interval, Len

# The standard library's has no forms of its own before Python 3.12.
from typing_extensions import TypedDict

from recnas.util.forms import Count, Figure, Finite, MeasuredQuality, Quality, Seconds, Share

Part = Annotated[float, Interval(ge=0, le=1)]


class Tried(TypedDict):
    """One of a model's learning rates."""

    learning_rate: Finite
    log_loss: Figure


class CalibrationBin(TypedDict):
    """Rows with alike predictions, in `results.json`."""

    predicted: Part
    clicked: Part
    rows: Annotated[int, Interval(ge=1, le=2**63 - 1)]


class ModelEntry(TypedDict, total=False):
    """A model of `results.json`."""

    id: Required[str]
    kind: Required[Literal["searched", "baseline", "found"]]
    candidate: str
    title: str
    status: Literal["trained", "diverged", "dropped"]
    validation: MeasuredQuality | None
    test: MeasuredQuality | None
    calibration: list[CalibrationBin] | None
    parameters: Count | None
    macs: Count | None
    flops: Count | None
    latency_ms: Finite | None
    over_limits: list[str] | None
    learning_rate: Finite | None
    learning_rates: list[Tried]
    epoch: Finite | None
    seconds: Seconds | None
    share: Finite | None
    trees: Count
    of_rows: Count
    reason: str


class DataEntry(TypedDict, total=False):
    """The data, in `results.json`."""

    path: str
    name: str | None
    rows: dict[str, Count | None]
    of_rows: dict[str, Count | None]
    positive_rate: Figure


class SearchEntry(TypedDict, total=False):
    """The search, in `results.json`."""

    candidates: Count
    reranked: dict[str, Figure]
    shortlist: dict[str, Figure]
    seconds: Seconds
    warmup_rows: Count


class EnsembleMember(TypedDict):
    """A member of an ensemble, in `results.json`."""

    id: str
    candidate: str
    weight: Share
    kind: Literal["searched", "baseline"]
    learning_rate: Finite
    epoch: Finite
    validation: Quality


class HeldOut(TypedDict):
    """Log losses of validation rows: by ensembles that were selected without them, and by the best model alone."""

    log_loss: float
    single: float
    error: NotRequired[float | None]


class EnsembleEntry(TypedDict):
    """The ensemble, in `results.json`."""

    members: Annotated[list[EnsembleMember], Len(2)]
    among: Count
    validation: Quality
    held_out: HeldOut
    test: Quality
    calibration: NotRequired[list[CalibrationBin] | None]
    parameters: Count
    macs: Count
    latency_ms: Finite | None
    over_limits: list[str]


class Standing(TypedDict):
    """Where a model stands beside the best one."""

    low: Finite
    high: Finite
    first: Part


class Comparison(TypedDict):
    """How sure it is which model is best: `comparison.json` in a run's folder of models, and in `results.json`."""

    log_loss: Finite | None
    models: Annotated[dict[str, Standing], Len(1)]


class Results(TypedDict, total=False):
    """`results.json` of a search or of baselines."""

    run: str
    best: str | None
    best_searched: str | None
    front: list[str] | None
    data: DataEntry | None
    space: str | None
    models: Required[list[ModelEntry]]
    ensemble: EnsembleEntry | None
    comparison: Comparison | None
    search: SearchEntry | None
    seconds: Seconds
