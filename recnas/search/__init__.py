"""What chooses: a strategy that proposes and learns, one loop that scores and records, executors that run the work.

The package itself can be called: `recnas.search(data=…, run=…)` runs a whole search.
"""

from __future__ import annotations

import sys
import types
from pathlib import Path
from typing import Any

from recnas.errors import InputError
from recnas.search.evolution import EvolutionSettings, RegularizedEvolution
from recnas.search.settings import Settings, resolve
from recnas.search.tensorboard import check_tensorboard

__all__ = ["EvolutionSettings", "RegularizedEvolution", "Settings", "run_search"]


def run_search(
    data: str | Path | None = None,
    run: str | Path | None = None,
    *,
    preset: str | None = None,
    overwrite: bool = False,
    resume: bool = False,
    progress: bool = True,
    tensorboard: bool = False,
    **settings: Any,
) -> dict[str, Any]:
    """Finds a model for a data set: warm-up, evolution, final training.

    Args:
        data: The data set's folder.
        run: The folder for everything the search decides, measures and makes.
        preset: Settings to begin with: a name from `configs/`, or a YAML file such as a run's `config.yaml`.
        overwrite: Replace an earlier run in that folder.
        resume: Go on with the run in that folder, if there is one, with the settings it was begun with.
        progress: Show progress on standard error.
        tensorboard: Write event files for TensorBoard into the run's folder.
        **settings: Settings in the place of the preset's, nested as in `config.yaml`: see `Settings`.

    Returns:
        What the run's `results.json` holds.

    Raises:
        InputError: The data set or the settings do not fit, the run's folder is taken, or TensorBoard is missing.
        RunError: The training diverged.

    With several workers a script calls this under `if __name__ == "__main__":`, as every worker imports the script.

    Example:
        >>> recnas.search("data/criteo", "runs/criteo", space="nasrec-small", warmup={"amount": 0.01})
    """
    if overwrite and resume:
        raise InputError("--overwrite makes a run anew, --resume goes on with it; take one of them")
    resolved = resolve(Settings, data, run, preset, resume, settings)
    if tensorboard:
        check_tensorboard()
    # Imported only now: settings can be read and shown without loading torch.
    from recnas.search.run import search

    return search(resolved, overwrite=overwrite, resume=resume, progress=progress, tensorboard=tensorboard)


class _Callable(types.ModuleType):
    """The package's name is the function's name too."""

    def __call__(self, *arguments: Any, **settings: Any) -> dict[str, Any]:
        return run_search(*arguments, **settings)


sys.modules[__name__].__class__ = _Callable
