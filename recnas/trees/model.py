"""A model of trees: what it takes of a data set's rows, and the trees; on disk, and measured."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from recnas.candidates.evaluation import Quality
from recnas.data import Batch, Dataset, batch_of
from recnas.features.schema import Schema
from recnas.train.metrics import Measured, Metrics
from recnas.trees.columns import TreeColumns
from recnas.trees.files import ENSEMBLES, TREES
from recnas.trees.library import Ensemble, library
from recnas.trees.rows import CHUNK
from recnas.util import forms
from recnas.util.errors import InputError
from recnas.util.files import read_json, replacing, write_json

VERSION = 1
REMEDY = "it must be made anew"


@dataclass
class TreeModel:
    """Predicts clicks with trees.

    Attributes:
        family: `lightgbm` or `catboost`.
        schema: The features it takes.
        columns: What becomes of them.
        ensemble: The trees.
    """

    family: str
    schema: Schema
    columns: TreeColumns
    ensemble: Ensemble

    def __call__(self, batch: Batch) -> torch.Tensor:
        """Logits `[B]` of a batch on whatever device; computed on the CPU, with as many threads as torch has."""
        logits = self.ensemble.logits(self.columns.matrix(batch.to("cpu"), self.schema), torch.get_num_threads())
        return torch.from_numpy(np.asarray(logits, dtype=np.float64))

    @property
    def schemas(self) -> list[Schema]:
        """What it is called with a batch of each of; see `CTRModel.schemas`."""
        return [self.schema]

    def predict(self, rows: Any) -> np.ndarray:
        """Click probabilities `[B]` float64 of raw rows, as `Schema.encode` takes them.

        Raises:
            InputError: A value cannot be read.
        """
        return torch.sigmoid(self(batch_of(self.schema.encode(rows), self.schema))).numpy()

    def evaluate(self, dataset: Dataset, split: str) -> Quality:
        """Log loss and AUC over a whole split."""
        return self.measure(dataset, split).quality

    def measure(self, dataset: Dataset, split: str) -> Measured:
        """Log loss, AUC and logits over a whole split."""
        metrics = Metrics()
        for batch in dataset.batches(split, CHUNK):
            metrics.update(self(batch), batch.label)
        return metrics.of_all()

    def save(self, folder: Path) -> None:
        """Writes it as text files; `trees.json` is there when all is.

        Raises:
            RunError: The disk is full.
        """
        file = folder / ENSEMBLES[self.family]
        with replacing(file) as partial:
            self.ensemble.save(partial)
        values = {"version": VERSION, "family": self.family, "sha256": _digest(file), "columns": self.columns.to_json()}
        write_json(folder / TREES, values)


def load_trees(folder: Path, family: str, schema: Schema) -> TreeModel:
    """Reads what `TreeModel.save` wrote.

    The libraries do not look at a file as closely as recnas does: a damaged one may end the process. So it is given to
    them only if it is, byte for byte, what was written.

    Args:
        folder: Where it is.
        family: `lightgbm` or `catboost`.
        schema: The features it takes.

    Raises:
        InputError: A file is missing or damaged, they belong to different models, or the library is not installed.
    """
    columns = read_columns(folder, family, schema)
    return TreeModel(family, schema, columns, library(family).load(folder / ENSEMBLES[family], columns))


def read_columns(folder: Path, family: str, schema: Schema) -> TreeColumns:
    """The columns that trees take, after a look at whether their file is what was written; without the library.

    Args and errors are those of `load_trees`.
    """
    about, file = folder / TREES, folder / ENSEMBLES[family]
    values = read_json(about, REMEDY, forms.Trees)
    if (values["version"], values["family"]) != (VERSION, family):
        raise InputError(
            f"{about}: of {values['family']}, version {values['version']}; {family}, {VERSION} is expected"
        )
    columns = TreeColumns.from_json(values["columns"], schema, about)
    if not file.is_file():
        raise InputError(f"{file}: no such file; {REMEDY}")
    if _digest(file) != values["sha256"]:
        raise InputError(f"{file}: damaged, or of another model than {about.name}; {REMEDY}")
    return columns


def _digest(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
