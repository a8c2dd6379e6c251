"""Whether a data set's rows mean to a model what its training rows meant."""

from __future__ import annotations

import math
from pathlib import Path

from recnas.candidates.evaluation import Quality
from recnas.data import Dataset
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

    Labels, row counts and sources may differ. So may tables, as far as a cap explains it: the data set's tables, capped
    at the model's largest, must be the model's.

    Args:
        schema: The model's schema.
        dataset: The data set to be predicted or learned from.
        model: The model's folder, for the message.

    Raises:
        InputError: The first difference.
    """

    def fail(difference: str) -> None:
        raise InputError(
            f"{dataset.path}: does not fit the model {model}: {difference}; "
            f"prepare that log with: recnas prepare … {suggested('--like', model)}"
        )

    other = dataset.schema.capped(max(feature.rows for feature in schema.sparse))
    for kind, ours, theirs in (("dense", schema.dense, other.dense), ("sparse", schema.sparse, other.sparse)):
        names, other_names = [feature.name for feature in ours], [feature.name for feature in theirs]
        if names != other_names:
            fail(
                f"its {kind} features are {', '.join(other_names) or 'none'} where {', '.join(names) or 'none'} belong"
            )
    if (mine := schema.read_by_the_old_rule) != (theirs := other.read_by_the_old_rule):
        raise InputError(
            f"{dataset.path}: does not fit the model {model}: their schemas' versions, {other.version} and "
            f"{schema.version}, have different rules for the ids of {mine or theirs}; prepare the older's data again"
        )
    for mine, other_dense in zip(schema.dense, other.dense, strict=True):
        if dict(mine.transform) != dict(other_dense.transform):
            fail(
                f"{mine.name} was transformed by {dict(other_dense.transform)} where {dict(mine.transform)} is expected"
            )
    for mine, other_sparse in zip(schema.sparse, other.sparse, strict=True):
        for name in ("multi_valued", "pooling", "rows"):
            if (value := getattr(other_sparse, name)) != (wanted := getattr(mine, name)):
                fail(f"{mine.name} has {name} {value} where {wanted} is expected")
        if any(getattr(mine, name) != getattr(other_sparse, name) for name in ("vocabulary", "kept", "unseen")):
            fail(f"{mine.name} has another vocabulary, so the same ids stand for other values")
