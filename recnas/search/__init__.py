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
from recnas.search.settings import Settings, load_preset, merge
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
    values = merge(load_preset(preset), settings) if preset else dict(settings)
    # A run's own `config.yaml` is a preset too; these two say which program wrote it and when.
    for key in ("version", "created"):
        values.pop(key, None)
    values |= {name: str(path) for name, path in (("data", data), ("run", run)) if path is not None}
    if resume and run is not None:
        from recnas.search.folder import begun_with

        values = merge(begun_with(Path(run)) or {}, values)
    resolved = Settings.from_mapping(values, preset or "settings")
    if not resolved.data or not resolved.run:
        raise InputError("a search needs --data, the data set's folder, and --run, a folder for what it makes")
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
