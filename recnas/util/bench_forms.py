"""The forms of JSON files of tables of trained candidates; see `forms`."""

from __future__ import annotations

from typing import Any, NotRequired

# The standard library's has no forms of its own before Python 3.12.
from typing_extensions import TypedDict

from recnas.util.forms import CLOSED, Count, Figure, Finite, Quality, Seconds, Share, SplitCounts


class Space(TypedDict):
    """What a table's candidates are drawn from; see `recnas.bench.space.TableSpace`."""

    __pydantic_config__ = CLOSED

    families: list[str]
    space: str | None
    joint_ids: list[str]
    droppable: list[str]
    no_choice: list[str]
    recipe: dict[str, Any]
    inputs: dict[str, Any]


class Machine(TypedDict):
    """What a table was made on."""

    processor: str
    cores: Count | None
    python: NotRequired[str]


class About(TypedDict):
    """What a table says of itself; see `recnas.bench.pack`."""

    format: Count
    data: str
    source: NotRequired[dict[str, Any]]
    rows: SplitCounts
    positive_rate: Share
    varies: str
    space: Space
    settings: dict[str, Any]
    seeds: Count
    created: str
    machine: Machine
    recnas: str | None


class StopLine(TypedDict):
    """A measurement in a training; see `recnas.bench.trainings.Stop`."""

    __pydantic_config__ = CLOSED

    fidelity: Finite
    rows: Count
    seconds: Seconds
    train_loss: Figure
    validation: Quality
    test: Quality
    planned: bool


class TrainingLine(TypedDict):
    """A line of a table's `trainings.jsonl`; see `recnas.bench.trainings.TableTraining`."""

    __pydantic_config__ = CLOSED

    id: str
    candidate: dict[str, Any]
    place: Count
    seed: Count
    stops: list[StopLine]
    validation: Quality | None
    test: Quality | None
    seconds: Seconds
    macs: Count
    parameters: Count
    latency_ms: Seconds | None
    diverged: str | None
