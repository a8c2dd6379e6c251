"""How an exported model was trained, so that training can go on: `training.json`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from recnas.candidates.evaluation import Quality
from recnas.candidates.recipe import Recipe
from recnas.util import export_forms
from recnas.util.documents import check_form
from recnas.util.errors import InputError
from recnas.util.files import read_json

VERSION = 2
READABLE = (1, 2)
"""Versions that can be read; the first has the optimiser's settings alone."""
FILE_NAME = "training.json"


@dataclass(frozen=True)
class Stage:
    """One stretch of training, and how good the model was after it.

    Attributes:
        data: The name of the data set.
        epochs: Passes over its training rows up to the epoch whose weights were kept; None if nobody wrote them down.
        learning_rate: The peak of the schedule; None of an ensemble, each of whose members has its own.
        validation: The quality on the validation split.
        test: Quality on the test split; None if it was not measured.
        origin: A digest of what the stretch began with: model, rows and settings; None if nobody wrote it down.
    """

    data: str
    epochs: int | None
    learning_rate: float | None
    validation: Quality | None = None
    test: Quality | None = None
    origin: str | None = None


@dataclass(frozen=True)
class Quantization:
    """What rounding the tables to 8 bits did to the model's quality.

    Attributes:
        data: Name of the data set that it was measured on; None if it was not.
        split: The split that was measured on.
        before: Quality with the tables as they were learned.
        after: The quality with the rounded tables.
    """

    data: str | None = None
    split: str = "test"
    before: Quality | None = None
    after: Quality | None = None

    def __str__(self) -> str:
        if self.before is None or self.after is None:
            return "tables rounded to 8 bits; no data set to measure that on, `recnas evaluate` measures the new model"
        losses = f"log loss {self.before.log_loss:.6f} -> {self.after.log_loss:.6f}"
        aucs = f"AUC {self.before.auc:.6f} -> {self.after.auc:.6f}"
        change = f"{self.after.log_loss - self.before.log_loss:+.6f}, {self.after.auc - self.before.auc:+.6f}"
        return f"tables rounded to 8 bits; {self.split} {losses}, {aucs} ({change})"


@dataclass(frozen=True)
class TrainingRecord:
    """How weights were learned, in stages from fresh weights to the present ones; and how they were rounded, if so.

    Trees have no recipe, and no passes that could be counted; nor has an ensemble: each member has a record of its own.
    """

    recipe: Recipe | None
    stages: tuple[Stage, ...]
    quantization: Quantization | None = None

    def save(self, folder: Path) -> None:
        """Writes `training.json`."""
        record = {"version": VERSION, **asdict(self), "recipe": self.recipe and self.recipe.to_json()}
        if self.quantization is None:
            del record["quantization"]
        (folder / FILE_NAME).write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> TrainingRecord:
        """Reads what `save` wrote.

        Raises:
            InputError: The file is missing, is not JSON, or has other keys.
        """
        file = folder / FILE_NAME
        record = read_json(file, "`recnas export` writes it")
        version = record.get("version")
        if version not in READABLE:
            raise InputError(f"{file}: version {version!r} where {VERSION} is expected; export it again")
        try:
            if version == 1:
                check_form(record, export_forms.TrainedBy1)
                recipe = Recipe.from_json({"optimization": record["optimization"]})
            else:
                check_form(record, export_forms.TrainedBy)
                recipe = None if record["recipe"] is None else Recipe.from_json(record["recipe"])
            check_form(record, export_forms.TrainingRecord)
        except ValueError as error:
            raise InputError(f"{file}: damaged ({error}); export the model again") from None
        except InputError as error:
            raise InputError(f"{file}: {error}") from None
        stages = tuple(
            Stage(**stage | {split: quality(stage[split]) for split in ("validation", "test")})
            for stage in record["stages"]
        )
        return cls(recipe, stages, _quantization(record.get("quantization")))


def _quantization(values: Mapping[str, Any] | None) -> Quantization | None:
    if values is None:
        return None
    return Quantization(**{**values, "before": quality(values["before"]), "after": quality(values["after"])})


def quality(figures: Mapping[str, float] | None) -> Quality | None:
    """Figures as `Quality.to_json` gives them."""
    return None if figures is None else Quality(float(figures["log_loss"]), float(figures["auc"]))
