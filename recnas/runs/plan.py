"""What a run has to do, stage by stage, kept in its folder; needs no torch.

Whoever begins a run writes its plan, as some of it hangs on what the ranking's proxies declare, which may be code of
the user's own; whoever looks at the run reads it, and runs none of that.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from recnas.util import forms
from recnas.util.files import read_json, write_json

PLAN = "plan.json"


@dataclass(frozen=True)
class PlannedStage:
    """What a stage has to do.

    Attributes:
        name: The stage's.
        total: How much there is to do.
        unit: What is counted, in the plural.
        rows: Training rows that one of these takes as long as, as far as can be said beforehand.
        trains: Whether most of the stage is training, so that its rate says how fast training is.
        gradient_cost: Where it only takes gradients of rows, what a row costs as a share of one that is learned from:
            its rate stands for training's until something was trained. 0 where it says nothing of training.
    """

    name: str
    total: float
    unit: str
    rows: float = 1.0
    trains: bool = True
    gradient_cost: float = 0.0


@dataclass(frozen=True)
class Plan:
    """The stages of a run, one after the other.

    Attributes:
        stages: They.
        pass_rows: Training rows of a pass; None in plans of before 0.3, where they were all of the data set.
    """

    stages: tuple[PlannedStage, ...]
    pass_rows: int | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """The stages' names."""
        return tuple(stage.name for stage in self.stages)

    def __contains__(self, name: str) -> bool:
        return name in self.names

    def __getitem__(self, name: str) -> PlannedStage:
        return self.stages[self.names.index(name)]

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {"stages": [asdict(stage) for stage in self.stages], "pass_rows": self.pass_rows}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """Reads what `to_json` gave; a newer recnas may have written more."""
        stages = tuple(PlannedStage(**{key: stage[key] for key in _FIELDS}) for stage in value["stages"])
        return cls(stages, value.get("pass_rows"))


_FIELDS = tuple(PlannedStage.__dataclass_fields__)


def write_plan(run: Path, plan: Plan) -> None:
    """Writes a run's plan into its folder."""
    write_json(run / PLAN, plan.to_json())


def read_plan(run: Path) -> Plan | None:
    """The plan in a run's folder; None where an older recnas began the run, or a process that was killed at once.

    Raises:
        InputError: It is damaged.
    """
    file = run / PLAN
    return Plan.from_json(read_json(file, form=forms.Plan)) if file.exists() else None
