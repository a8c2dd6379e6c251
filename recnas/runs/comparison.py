"""How sure a run is of which of its models is best, kept in `models/comparison.json`. No torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from recnas.runs.models import MODELS
from recnas.util import result_forms
from recnas.util.files import read_json, write_json

COMPARISON_FILE = "comparison.json"
"""In the folder of models; there before the predictions that it was made from are dropped."""


@dataclass(frozen=True)
class Standing:
    """Where a model stands beside the best one.

    Attributes:
        low: Its log loss less that of the best is, by the rows that there are, above this in 97.5 % of cases.
        high: And below this in 97.5 %.
        first: In which share of cases it is the best itself.
    """

    low: float
    high: float
    first: float


@dataclass(frozen=True)
class Comparison:
    """Models that were compared by the validation rows.

    Attributes:
        log_loss: What the best of so many has on rows that it was not chosen by: on those that it was chosen by, the
            best is also the luckiest. None where the best was chosen among more, whose predictions are gone.
        models: By the id of each candidate.
    """

    log_loss: float | None
    models: Mapping[str, Standing]

    def to_json(self) -> dict[str, Any]:
        """As `results.json` says it."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Comparison:
        """What `to_json` gave."""
        models = values["models"].items()
        return cls(values["log_loss"], {id_: Standing(of["low"], of["high"], of["first"]) for id_, of in models})


def write_comparison(run: Path, comparison: Comparison) -> None:
    """Writes it into a run's folder.

    Raises:
        RunError: It cannot be written.
    """
    write_json(run / MODELS / COMPARISON_FILE, comparison.to_json())


def read_comparison(run: Path) -> Comparison | None:
    """That of a run's folder; None where there is none: of runs before 0.3, or not yet.

    Raises:
        InputError: It is damaged.
    """
    file = run / MODELS / COMPARISON_FILE
    return Comparison.from_json(read_json(file, form=result_forms.Comparison)) if file.exists() else None
