"""The truth that rankings are held against: architectures trained from scratch, with several seeds."""

from __future__ import annotations

import gc
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

from recnas.candidates.definition import FOUND
from recnas.data import Dataset
from recnas.nn.model import default_device
from recnas.search.finalists import Entrant, Job, keep_weights, restore, train_entrant
from recnas.search.scoring import stage_seed
from recnas.space import Architecture
from recnas.strategies.halving import rows_after
from recnas.study.folder import training_folder
from recnas.study.scores import stop_scorings
from recnas.study.settings import StudySettings
from recnas.train.loop import evaluate
from recnas.train.metrics import Quality
from recnas.util import forms
from recnas.util.files import read_json, write_json

RESULT = "result.json"


@dataclass(frozen=True)
class Training:
    """One training that a study needs."""

    arch: Architecture
    seed: int
    """Its number, from 0."""


@dataclass(frozen=True)
class Trained:
    """What came of one.

    Attributes:
        id: The architecture's.
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
    def from_json(cls, value: Mapping[str, Any]) -> Trained:
        qualities = {name: None if value[name] is None else Quality(**value[name]) for name in ("validation", "test")}
        lists = {name: tuple(value[name]) for name in ("early", "shares", "early_seconds")}
        return cls(**{**value, **qualities, **lists})


_settings: StudySettings | None = None


def start_trainings(settings: StudySettings) -> None:
    """Prepares this process to `train`."""
    global _settings
    _settings = settings


def train(training: Training) -> Trained:
    """Trains one architecture from scratch and measures it; what was done before is read.

    Weights are not kept: those of a study would fill a disk.
    """
    settings = _settings
    assert settings is not None, "start_trainings has not run in this process"
    own = settings_of(settings, training.seed)
    run, entrant = Path(own.run), Entrant(training.arch.id, FOUND, training.arch)
    file = _result_file(settings, training)
    if file.exists():
        _forget_all_but(file)
        return Trained.from_json(read_json(file, form=forms.StudyTraining))
    stop_scorings()
    dataset = Dataset(settings.data)
    try:
        for rows in stops(settings, dataset.rows("train")):
            result = train_entrant(own, dataset, Job(entrant, settings.final.optimization.learning_rate, rows))
        test = None
        if result.finished:
            keep_weights(run, result)
            device = default_device()
            test = evaluate(restore(run, dataset.schema, entrant).to(device), dataset, "test", device=device)
    finally:
        gc.collect()
    total = settings.final.epochs * dataset.rows("train")
    early = [item for item in result.epochs if item.rows < total]
    trained = Trained(
        entrant.id,
        training.seed,
        result.validation if result.finished else None,
        test,
        tuple(item.validation.log_loss for item in early),
        tuple(item.rows / total for item in early),
        tuple(item.seconds for item in early),
        result.seconds,
        result.parameters,
        result.diverged,
        torch.get_num_threads(),
        settings.processes,
    )
    write_json(file, asdict(trained))
    _forget_all_but(file)
    return trained


def _forget_all_but(file: Path) -> None:
    """Removes what else is in a file's folder: a process killed after it wrote the file may have left it."""
    for path in file.parent.iterdir():
        if path != file:
            path.unlink()


def is_done(settings: StudySettings, training: Training) -> bool:
    """Whether an earlier process has finished it."""
    return _result_file(settings, training).exists()


def settings_of(settings: StudySettings, seed: int) -> StudySettings:
    """The settings of the trainings with one of a study's seeds, in a folder of their own."""
    return replace(settings, run=str(training_folder(settings.run, seed)), seed=stage_seed(settings, f"study/{seed}"))


def _result_file(settings: StudySettings, training: Training) -> Path:
    entrant = Entrant(training.arch.id, FOUND, training.arch)
    return entrant.folder(Path(settings_of(settings, training.seed).run)) / RESULT


def stops(settings: StudySettings, rows: int) -> list[int]:
    """Training rows after which a training is measured; the whole of it is last.

    Args:
        settings: The study's.
        rows: Training rows in a pass.
    """
    total = settings.final.epochs * rows
    early = {rows_after(share, settings.final, rows) for share in settings.shares}
    return [*sorted(stop for stop in early if stop < total), total]
