"""The methods that are compared, by name; what each needs is imported when it is used."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from benchmarks.outcome.results import Task, write_outcome

METHODS = {
    "search": "searches:portfolio",
    "random": "searches:random",
    "tpe": "networks:tpe",
    "lightgbm": "trees:tuned_lightgbm",
    "catboost": "trees:tuned_catboost",
    "seeds": "networks:seeds",
    "autogluon": "yardstick:autogluon",
}
"""By name the function, given a `Task`, whose `Outcome` it is."""
TITLES = {
    "search": "recnas search",
    "random": "random search, same space",
    "tpe": "Optuna's TPE, three families",
    "lightgbm": "LightGBM, tuned",
    "catboost": "CatBoost, tuned",
    "seeds": "default DCN-V2, seeds",
    "autogluon": "AutoGluon, medium quality",
}
USUAL = tuple(name for name in METHODS if name != "autogluon")
"""What is compared where nothing is said."""


def outcome_of(method: str, task: Task) -> dict[str, Any]:
    """Has a method do its work, and writes what it came to; gives what is in `result.json`."""
    from benchmarks.outcome.models import labels_of

    module, function = METHODS[method].split(":")
    outcome = getattr(import_module(f"benchmarks.outcome.{module}"), function)(task)
    return write_outcome(task.folder, outcome, labels_of(task.data))
