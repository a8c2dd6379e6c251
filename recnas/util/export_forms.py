"""The forms of an exported model's `training.json`; see `forms`."""

from __future__ import annotations

from typing import Annotated, Any, Literal, NotRequired

from annotated_types import Len

# The standard library's has no forms of its own before Python 3.12.
from typing_extensions import TypedDict

from recnas.util.forms import CLOSED, Count, Finite, Quality, Share


class Stage(TypedDict):
    """A stretch of training in `training.json`."""

    __pydantic_config__ = CLOSED

    data: str
    epochs: Finite | None
    learning_rate: Finite | None
    validation: Quality | None
    test: Quality | None
    origin: NotRequired[str | None]


class Quantization(TypedDict):
    """The effect of rounding, in `training.json`."""

    __pydantic_config__ = CLOSED

    data: str | None
    split: Literal["train", "validation", "test"]
    before: Quality | None
    after: Quality | None


class EnsembleMember(TypedDict):
    """A member in `ensemble.json`."""

    __pydantic_config__ = CLOSED

    folder: str
    weight: Share
    inputs: Count


class Ensemble(TypedDict):
    """`ensemble.json` of an exported ensemble."""

    __pydantic_config__ = CLOSED

    version: Count
    members: Annotated[list[EnsembleMember], Len(2, 1000)]


class TrainedBy(TypedDict):
    """The part of `training.json` that checks itself."""

    recipe: dict[str, Any] | None


class TrainedBy1(TypedDict):
    """The same in version 1."""

    optimization: dict[str, Any]


class TrainingRecord(TypedDict):
    """The rest of `training.json`."""

    stages: Annotated[list[Stage], Len(1)]
    quantization: NotRequired[Quantization | None]
