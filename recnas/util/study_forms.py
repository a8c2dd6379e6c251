"""The forms of JSON files of studies; see `forms`."""

from __future__ import annotations

from typing import Annotated, Literal, NotRequired

from annotated_types import Interval, Len

# The standard library's has no forms of its own before Python 3.12.
from typing_extensions import TypedDict

from recnas.util.forms import CLOSED, Count, Figure, Finite, Quality, Seconds, SplitCounts


class StudyScores(TypedDict):
    """A line of a study's `scores.jsonl`."""

    id: str
    warmup: Finite
    values: dict[str, Figure]
    seconds: dict[str, Seconds]


class StudyTraining(TypedDict):
    """`result.json` of one of a study's trainings."""

    __pydantic_config__ = CLOSED

    id: str
    seed: Count
    validation: Quality | None
    test: Quality | None
    early: list[Finite]
    shares: list[Finite]
    early_seconds: list[Seconds]
    seconds: Seconds
    parameters: Count
    diverged: NotRequired[str | None]
    threads: NotRequired[Count | None]
    beside: NotRequired[Count | None]


class StudyData(TypedDict):
    """The data, in a study's `results.json`."""

    name: str
    rows: SplitCounts


class StudyLoss(TypedDict):
    """The true losses, in a study's `results.json`."""

    best: Finite
    median: Finite
    worst: Finite
    deviation: Finite
    noise: Finite | None


class Ceiling(TypedDict):
    """How far two trainings agree."""

    value: Figure
    low: Figure
    high: Figure


class Agreement(TypedDict):
    """How a ranking agrees with the truth."""

    ranking: str
    warmup: Finite | None
    tau: Figure
    tau_low: Figure
    tau_high: Figure
    rho: Figure
    regret_1: Figure
    regret_5: Figure
    regret_15: Figure
    ranked: Count
    seconds: Seconds


class StudyCandidate(TypedDict):
    """An architecture of a study."""

    id: str
    parameters: Count
    loss: Finite
    test: Annotated[list[Finite], Len(1)]
    values: Annotated[dict[str, dict[str, Figure]], Len(1)]


class TrainingTimes(TypedDict):
    """How long the trainings of a study took that were done alike."""

    threads: Count | None
    beside: Count | None
    trainings: Count
    seconds: Seconds


class ProxyDeclaration(TypedDict):
    """What a proxy says of itself; see `recnas.proxies.declaration`."""

    __pydantic_config__ = CLOSED

    direction: Literal["higher", "lower"]
    weights: Literal["none", "fresh", "warm"]
    reads: Literal["arch", "supernet", "losses", "gradients", "rows", "batches", "tuning", "training"]


class Study(TypedDict):
    """`results.json` of a study."""

    run: str
    data: StudyData
    space: str
    seeds: Annotated[int, Interval(ge=1, le=2**31)]
    diverged: list[str]
    noise_ceiling: Ceiling | None
    loss: StudyLoss
    random_regret: Annotated[list[Figure], Len(3, 3)]
    training_seconds: Seconds
    training_times: NotRequired[Annotated[list[TrainingTimes], Len(1)]]
    proxies: NotRequired[dict[str, ProxyDeclaration]]
    agreement: list[Agreement]
    candidates: Annotated[list[StudyCandidate], Len(1)]
