"""An exported model in MLflow: added by `recnas export --log-to mlflow`, and loaded by `mlflow.pyfunc.load_model`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from recnas.candidates.network import load_network
from recnas.export.ensemble_model import EnsembleModel
from recnas.export.folder import ARCHITECTURE
from recnas.export.loading import load
from recnas.export.record import TrainingRecord
from recnas.features.encoding import column_of
from recnas.features.ensemble_file import is_ensemble
from recnas.features.feature import parts_of
from recnas.features.schema import Schema
from recnas.nn.model import CTRModel
from recnas.tracking.mlflow import log_model
from recnas.trees.model import TreeModel


def log_export(source: str | Path, folder: str | Path) -> str:
    """Adds an exported model to MLflow; gives its address there.

    Args:
        source: The run that it was exported from, which MLflow may know.
        folder: The exported model.

    Raises:
        RunError: MLflow does not take it.
    """
    source, folder = Path(source), Path(folder)
    schema, latest = Schema.load(folder), TrainingRecord.load(folder).stages[-1]
    qualities = {
        split: None if quality is None else quality.to_json()
        for split, quality in (("validation", latest.validation), ("test", latest.test))
    }
    columns = dict.fromkeys(column_of(feature) for feature in (*schema.dense, *parts_of(schema.sparse)))
    id = None if is_ensemble(folder) else load_network(folder / ARCHITECTURE).id
    return log_model(source, folder, __name__, list(columns), qualities, id, latest.learning_rate)


class RawRowsModel:
    """A model that takes raw rows, as MLflow calls it."""

    def __init__(self, model: CTRModel | TreeModel | EnsembleModel) -> None:
        self._model = model

    def predict(self, rows: Any, params: Mapping[str, Any] | None = None) -> np.ndarray:
        """Click probabilities `[B]` of raw rows.

        Args:
            rows: Raw rows, as `Schema.encode` takes them.
            params: MLflow's parameters, of which there are none.

        Raises:
            InputError: A value cannot be read.
        """
        return self._model.predict(rows)


def _load_pyfunc(path: str) -> RawRowsModel:
    """Loads the model of an exported folder; MLflow calls this by its name."""
    return RawRowsModel(load(path))
