"""How far each ranking can be trusted on a data set: random architectures trained from scratch, and what proxies said.

The package itself can be called: `recnas.study(data=…, run=…)` runs a whole study.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from recnas.runs.presets import resolve
from recnas.study.settings import StudySettings
from recnas.util.callable_package import make_callable
from recnas.util.errors import InputError

__all__ = ["StudySettings", "run_study"]


def run_study(
    data: str | Path | None = None,
    run: str | Path | None = None,
    *,
    preset: str | None = None,
    overwrite: bool = False,
    resume: bool = False,
    progress: bool = True,
    **settings: Any,
) -> dict[str, Any]:
    """Finds out how far each ranking can be trusted on a data set.

    Args:
        data: The data set's folder.
        run: The folder for everything the study measures.
        preset: Settings to begin with: a name from `configs/`, or a YAML file.
        overwrite: Replace an earlier study in that folder.
        resume: Go on with the study in that folder, if there is one, with the settings it was begun with.
        progress: Show progress on standard error.
        **settings: Settings in the place of the preset's, nested as in `config.yaml`: see `StudySettings`.

    Returns:
        What the run's `results.json` holds.

    Raises:
        InputError: The data set or the settings do not fit, or the folder is taken.
        RunError: A warm-up diverged, or nearly all trainings did.

    A script calls this under `if __name__ == "__main__":`, as every worker process imports the script.

    Example:
        >>> recnas.study("data/criteo", "runs/criteo-study", candidates=60, warmups=[0, 0.01, 0.1, 1], seeds=3)
    """
    if overwrite and resume:
        raise InputError("--overwrite makes a study anew, --resume resumes it; take one of them")
    resolved = resolve(StudySettings, data, run, preset, resume, settings)
    from recnas.study.run import study

    return study(resolved, overwrite=overwrite, resume=resume, progress=progress)


make_callable(__name__, run_study)
