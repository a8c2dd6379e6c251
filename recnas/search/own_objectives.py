"""Objectives of a user's own: functions of a trained candidate, measured once and kept beside it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path

from recnas.candidates.evaluation import Result
from recnas.runs.models import ModelFolder
from recnas.runs.settings import Settings
from recnas.util import forms
from recnas.util.errors import InputError, RunError, first_line
from recnas.util.files import read_json, write_json
from recnas.util.user_code import import_user_code

Objective = Callable[[Result, Settings], float]
"""What a training that has ended came to, and the run's settings → a number, smaller is better."""


def find_objective(name: str) -> Objective:
    """An objective by its name `module:function`.

    Raises:
        InputError: There is none.
    """
    found = import_user_code(name, "objective")
    if not callable(found):
        raise InputError(f"objective {name}: {name.partition(':')[2]} is no function")
    return found


def measure_objectives(settings: Settings, result: Result) -> None:
    """Measures what a run's own objectives say of a training that has ended, unless that was done before.

    It is written down before it is used, so that a run that is resumed decides as the one that was killed.

    Args:
        settings: The run's.
        result: The training's.

    Raises:
        InputError: An objective fails, or gives no finite number.
    """
    file = ModelFolder(Path(settings.run), result.candidate).objectives
    if not settings.evolution.own_objectives or not result.training.finished or file.exists():
        return
    values = {}
    for name in settings.evolution.own_objectives:
        try:
            value = find_objective(name)(result, settings)
        except (InputError, RunError):
            raise
        except Exception as error:  # The function is the user's: what goes wrong in it is anything.
            raise InputError(
                f"objective {name}: failed for {result.candidate.id} ({type(error).__name__}: {first_line(error)})"
            ) from error
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise InputError(f"objective {name}: it gave {value!r} for {result.candidate.id}; a number is expected")
        values[name] = float(value)
    write_json(file, values)


def read_objectives(settings: Settings, result: Result) -> Mapping[str, float]:
    """What a run's own objectives say of a training; nothing of one that has not ended, and where there are none.

    Raises:
        InputError: The file is damaged.
    """
    if not settings.evolution.own_objectives or not result.training.finished:
        return {}
    file = ModelFolder(Path(settings.run), result.candidate).objectives
    values = read_json(file, form=forms.OwnObjectives)
    if missing := [name for name in settings.evolution.own_objectives if name not in values]:
        raise InputError(f"{file}: nothing is said of {missing[0]}; without this file it is measured anew")
    return values
