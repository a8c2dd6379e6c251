"""AutoGluon Tabular as a yardstick, in an environment of its own, which is made where it is not there."""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from pathlib import Path

import numpy as np

from benchmarks.outcome.matrix import read_matrices
from benchmarks.outcome.results import PREDICTED, SINGLE, Outcome, Predictions, Task
from recnas.features.schema import SPLITS
from recnas.util.errors import RunError
from recnas.util.files import read_json

PACKAGE = "autogluon.tabular[catboost,lightgbm,xgboost]"
ENVIRONMENT = "autogluon-environment"
"""Its folder beside the data sets' outcomes."""
SCRIPT = Path(__file__).with_name("yardstick_script.py")
ROWS = "rows.npz"


def autogluon(task: Task) -> Outcome:
    """AutoGluon's weighted ensemble at medium quality, its choices made on the validation rows.

    Its time is of the clock on the wall, with one core.

    Raises:
        RunError: It cannot be installed, or fails.
    """
    # OUTPUT/DATA/SEED/MINUTES/METHOD
    python = _environment(task.folder.parents[3] / ENVIRONMENT)
    matrices = read_matrices(task.data)
    arrays = {f"{split}_rows": matrices.rows[split] for split in SPLITS}
    arrays |= {f"{split}_labels": matrices.labels[split] for split in SPLITS}
    np.savez(task.folder / ROWS, names=np.array(matrices.names), first_category=matrices.first_category, **arrays)
    _run([python, SCRIPT, task.folder, f"{task.seconds:g}", str(task.seed)])
    (task.folder / ROWS).unlink()
    logits = [np.load(task.folder / f"autogluon.{split}.npy", allow_pickle=False) for split in PREDICTED]
    about = read_json(task.folder / "autogluon.json")
    return Outcome({SINGLE: Predictions(*logits)}, about.pop("seconds"), about)


def _environment(folder: Path) -> Path:
    """The Python of AutoGluon's environment."""
    python = folder / "bin" / "python"
    if not (folder / "made").exists():
        venv.create(folder, with_pip=True, clear=True)
        print(f"installing {PACKAGE} in {folder}", file=sys.stderr, flush=True)
        _run([python, "-m", "pip", "install", "--quiet", PACKAGE])
        (folder / "made").touch()
    return python


def _run(command: list[str | Path]) -> None:
    threads = dict.fromkeys(("OMP_NUM_THREADS", "POLARS_MAX_THREADS"), "1")
    done = subprocess.run(command, env=os.environ | threads, capture_output=True, text=True, check=False)
    if done.returncode:
        last = done.stderr.strip().splitlines()[-1:] or ["it said nothing"]
        raise RunError(f"{Path(command[1]).name} failed: {last[0]}")
