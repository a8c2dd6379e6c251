"""Whether a data set's rows mean to a model what its training rows meant."""

from __future__ import annotations

import math
from pathlib import Path

from recnas.candidates.evaluation import Quality
from recnas.data import Dataset
from recnas.features.fed import difference
from recnas.features.schema import Schema
from recnas.util.errors import InputError, suggested


def check_finite(quality: Quality, model: Path, split: str) -> None:
    """Raises InputError if a model's figures on a split are no numbers: weights may be finite, and their sums not."""
    if not math.isfinite(quality.log_loss):
        raise InputError(
            f"{model}: predictions for the {split} rows are not finite numbers; its weights are damaged or too large"
        )


def check_fits(schema: Schema, dataset: Dataset, model: Path) -> None:
    """Compares a model's features with a data set's: names, order, and everything that turns a value into an input.

    Labels, row counts and sources may differ, and tables, as far as a cap explains it; see
    `recnas.features.fed.difference`.

    Args:
        schema: The model's schema.
        dataset: The data set to be predicted or learned from.
        model: The model's folder, for the message.

    Raises:
        InputError: The first difference.
    """
    if (found := difference(dataset.own_schema, schema)) is None:
        return
    remedy = found.remedy or f"prepare that log with: recnas prepare … {suggested('--like', model)}"
    raise InputError(f"{dataset.path}: does not fit the model {model}: {found.what}; {remedy}")
