"""The truth that rankings are held against: candidates trained from scratch, with several seeds."""

from __future__ import annotations

import gc
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

from recnas.candidates.evaluation import Epoch, Evaluation, Quality, Training
from recnas.runs.models import ModelFolder
from recnas.runs.rungs import rows_after
from recnas.search.feeding import open_data
from recnas.search.scoring import stage_seed
from recnas.search.training import measure_kept, train_candidate
from recnas.study.folder import RESULT, training_folder
from recnas.study.settings import StudySettings
from recnas.util import study_forms
from recnas.util.files import read_json, write_json


@dataclass(frozen=True)
class Repetition:
    """One of several whole trainings of a candidate.

    Attributes:
        evaluation: At fidelity 1.
        seed: Its number, from 0.
    """

    evaluation: Evaluation
    seed: int


@dataclass(frozen=True)
class RepetitionResult:
    """What came of one.

    Attributes:
        id: The network's.
        seed: Which of its trainings.
        validation: After the training; None when it diverged.
        test: The same.
        early: Validation log loss after each of `shares`.
        shares: What part of the training was done then: whole batches, so not quite what was asked for.
        seconds: Of the whole training, with its measurements.
        early_seconds: From the start until each of these measurements.
        parameters: Of the dense part.
        diverged: Why the training was given up, if it was.
        threads: Of the process that ended it.
        beside: How many trainings went on side by side then: seconds compare only where both numbers are the same.
    """

    id: str
    seed: int
    validation: Quality | None
    test: Quality | None
    early: tuple[float, ...]
    shares: tuple[float, ...]
    early_seconds: tuple[float, ...]
    seconds: float
    parameters: int
    diverged: str | None = None
    threads: int | None = None
    beside: int | None = None

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> RepetitionResult:
        qualities = {name: None if value[name] is None else Quality(**value[name]) for name in ("validation", "test")}
        lists = {name: tuple(value[name]) for name in ("early", "shares", "early_seconds")}
        return cls(**{**value, **qualities, **lists})


def train(settings: StudySettings, repetition: Repetition) -> RepetitionResult:
    """Trains one candidate from scratch and measures it; what was done before is read.

    Weights are not kept: those of a study would fill a disk.
    """
    own = settings_of(settings, repetition.seed)
    candidate = repetition.evaluation.candidate
    file = _result_file(settings, repetition)
    if file.exists():
        _forget_all_but(file)
        return RepetitionResult.from_json(read_json(file, form=study_forms.StudyTraining))
    dataset = open_data(settings, candidate.inputs)
    pass_rows = dataset.rows("train")
    total = candidate.recipe.epochs * pass_rows
    try:
        for rows in stops(settings, pass_rows):
            training = train_candidate(own, replace(repetition.evaluation, fidelity=rows / total), dataset).training
        test = measure_kept(own, candidate, "test", dataset).quality if training.finished else None
    finally:
        gc.collect()
    # A training whose patience was at an end before stays as it was; one that diverged was not measured so late.
    asked = [rows for rows in stops(settings, pass_rows)[:-1] if training.finished or rows <= training.rows]
    early = {rows: _last_by(rows, training) for rows in asked}
    result = RepetitionResult(
        candidate.network_id,
        repetition.seed,
        training.validation if training.finished else None,
        test,
        tuple(item.validation.log_loss for item in early.values()),
        tuple(rows / total for rows in early),
        tuple(item.seconds for item in early.values()),
        training.seconds,
        training.parameters,
        training.diverged,
        torch.get_num_threads(),
        settings.processes,
    )
    write_json(file, asdict(result))
    _forget_all_but(file)
    return result


def _last_by(rows: int, training: Training) -> Epoch:
    """The last measurement of a training by the time that so many rows were seen."""
    return [item for item in training.epochs if item.rows <= rows][-1]


def _forget_all_but(file: Path) -> None:
    """Removes what else is in a file's folder: a process killed after it wrote the file may have left it."""
    for path in file.parent.iterdir():
        if path != file:
            path.unlink()


def is_done(settings: StudySettings, repetition: Repetition) -> bool:
    """Whether an earlier process has finished it."""
    return _result_file(settings, repetition).exists()


def settings_of(settings: StudySettings, seed: int) -> StudySettings:
    """The settings of the trainings with one of a study's seeds, in a folder of their own."""
    return replace(settings, run=str(training_folder(settings.run, seed)), seed=stage_seed(settings, f"study/{seed}"))


def _result_file(settings: StudySettings, repetition: Repetition) -> Path:
    run = Path(settings_of(settings, repetition.seed).run)
    return ModelFolder(run, repetition.evaluation.candidate).path / RESULT


def stops(settings: StudySettings, rows: int) -> list[int]:
    """Training rows after which a training is measured; the whole of it is last.

    Args:
        settings: The study's.
        rows: Training rows in a pass.
    """
    total = settings.final.epochs * rows
    early = {rows_after(share, settings.final, rows) for share in settings.shares}
    return [*sorted(stop for stop in early if stop < total), total]
