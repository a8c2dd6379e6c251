"""Which run of MLflow is a run folder's own, as the folder remembers it."""

from __future__ import annotations

from pathlib import Path

from recnas.util import forms
from recnas.util.files import read_json, write_json

TRACKED = "mlflow.json"


def write_tracked(run: Path, id: str) -> None:
    """Notes the id of MLflow's run in a run's folder.

    Raises:
        RunError: It cannot be written.
    """
    write_json(run / TRACKED, {"run": id})


def read_tracked(run: Path) -> str | None:
    """The id of MLflow's run; None if the folder, or an exported model's, has none.

    Raises:
        InputError: What was noted is damaged.
    """
    if not (run / TRACKED).exists():
        return None
    return read_json(run / TRACKED, "without it MLflow gets a new run", forms.TrackedRun)["run"]
