"""The data set of a run as its candidates are fed it: fitted once a run, kept in the run's folder, read by workers."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np

from recnas.candidates.defaults import DEFAULT_INPUTS, TREE_INPUTS
from recnas.candidates.recipe_choices import NUMBERS
from recnas.data import Dataset, fit_inputs
from recnas.features.inputs import AS_PREPARED, Inputs
from recnas.features.schema import FILE_NAME, RAW_NUMBERS_SINCE, Schema
from recnas.runs.folder import inputs_folder
from recnas.runs.models import MODELS
from recnas.runs.settings import Settings
from recnas.util.errors import InputError, first_line

TRAIN_ROWS_A_VALIDATION, LEAST_VALIDATION = 4, 100_000
"""Where fewer rows are learned from, fewer are measured on, or measuring would take most of the time."""
KEPT = 8
"""Data sets that a process keeps open, by what is fed of them."""
_UNASKED = (AS_PREPARED.numbers, DEFAULT_INPUTS.numbers, TREE_INPUTS.numbers)
"""Ways to feed numbers that nobody needs to have asked for: a data set without any can be fed so, too."""


def open_data(settings: Settings, inputs: Inputs | None = None) -> Dataset:
    """A run's data set as candidates are fed it, with as many rows as the run learns from.

    Args:
        settings: The run's.
        inputs: What they are fed; None for the run's own.

    Raises:
        InputError: The data set cannot be read, or has nothing that they could be fed so.
    """
    file = Path(settings.data) / FILE_NAME
    about = file.stat() if file.exists() else None
    return _open_data(
        settings.data,
        settings.run,
        settings.inputs if inputs is None else inputs,
        settings.train_rows,
        settings.seed,
        # Of a data set that was prepared anew in its place nothing is known.
        None if about is None else (about.st_mtime_ns, about.st_size),
    )


@lru_cache(maxsize=KEPT)
def _open_data(
    data: str, run: str, inputs: Inputs, train_rows: int | None, seed: int, written: tuple[int, int] | None
) -> Dataset:
    dataset = Dataset(data)
    if train_rows is not None and train_rows < dataset.rows("train"):
        dataset = dataset.with_rows("train", train_rows, seed)
        dataset = dataset.with_rows("validation", max(train_rows // TRAIN_ROWS_A_VALIDATION, LEAST_VALIDATION), seed)
    if inputs.as_prepared:
        return dataset
    if not dataset.own_schema.dense and inputs.numbers not in _UNASKED:
        raise InputError(f"{data}: there are no numbers to be fed as {', '.join(inputs.numbers)}; leave --numbers out")
    folder = inputs_folder(Path(run), inputs)
    if (folder / FILE_NAME).exists():
        # A run that is to be replaced may have been of other data.
        begun_with = Path(run) / FILE_NAME
        if begun_with.exists() and Schema.load(Path(run)).to_json() == dataset.own_schema.to_json():
            return dataset.fed(Schema.load(folder))
    return dataset.fed(fit_inputs(dataset, inputs))


def teacher_file(run: Path) -> Path:
    """Where a run keeps what its ensemble predicts of the training rows, `[N]` float32, in file order."""
    return run / MODELS / "teacher.npy"


def taught(run: Path, dataset: Dataset, share: float) -> Dataset:
    """A data set whose training rows have labels mixed with what the run's ensemble predicts.

    Args:
        run: The run's folder.
        dataset: The data set.
        share: Of the predictions in the labels; with 0 the data set is as it was.

    Raises:
        InputError: The predictions are not there, or damaged.
    """
    if not share:
        return dataset
    file, rows = teacher_file(run), dataset.rows("train")
    try:
        predicted = np.load(file, allow_pickle=False)
    except (EOFError, OSError, ValueError) as error:
        raise InputError(
            f"{file}: cannot be read ({first_line(error)}); without it no network can learn from it"
        ) from None
    if predicted.shape != (rows,) or predicted.dtype != np.float32 or not ((predicted >= 0) & (predicted <= 1)).all():
        raise InputError(f"{file}: these are no probabilities of {rows:,} rows; begin the run anew with --overwrite")
    return dataset.with_labels("train", (1 - share) * dataset.labels("train") + share * predicted)


def no_choice_of(own: Schema) -> tuple[str, ...]:
    """The places of `RECIPE_CHOICES` of which a data set leaves no choice, by its own schema.

    They are how numbers are fed, where it has none, or has them not as they were given.
    """
    return () if own.dense and own.version >= RAW_NUMBERS_SINCE else (NUMBERS,)


def keep_inputs(run: Path, inputs: Inputs, dataset: Dataset) -> None:
    """Writes down what was fitted, so that workers, a resumed run and exports have the same.

    Args:
        run: The run's folder.
        inputs: What is fed.
        dataset: Of `open_data`.
    """
    folder = inputs_folder(run, inputs)
    if not inputs.as_prepared and not (folder / FILE_NAME).exists():
        folder.mkdir(parents=True, exist_ok=True)
        dataset.schema.save(folder)
