"""What `results.json` says of a run: its models, and which of them are best. Needs no torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from recnas.candidates.definition import FOUND
from recnas.runs.folder import RESULTS
from recnas.util import forms
from recnas.util.errors import InputError
from recnas.util.files import ANEW, read_json


def read_results(run: Path, remedy: str = ANEW) -> dict[str, Any]:
    """Reads a run's `results.json`; see `with_best`.

    Args:
        run: The run's folder.
        remedy: What to do where it cannot be read.

    Raises:
        InputError: There is no such file, or it is damaged.
    """
    return with_best(read_json(run / RESULTS, remedy, forms.Results))


def with_best(results: Mapping[str, Any]) -> dict[str, Any]:
    """Results whose `best` is of all models, as runs write them now; before, it was the best of those searched."""
    judged = [
        model
        for model in results["models"]
        if model.get("status") == "trained" and (model.get("validation") or {}).get("log_loss") is not None
    ]
    return dict(results) | (best_trained(judged) if judged and "best_searched" not in results else {})


def check_judged(models: Sequence[Mapping[str, Any]], file: Path) -> None:
    """Looks ahead to a choice among entries of `results.json` that a file holds.

    Raises:
        InputError: A model is said to be trained, and nothing says how well.
    """
    for place, model in enumerate(models):
        loss = (model.get("validation") or {}).get("log_loss")
        if "status" not in model or (model["status"] == "trained" and loss is None):
            raise InputError(f"{file}: models[{place}]: no status, or none of its figures on validation; {ANEW}")


def best_trained(models: Sequence[Mapping[str, Any]]) -> dict[str, str | None]:
    """Which models were best on validation, as `results.json` names them.

    Args:
        models: Its entries, of which one at least was trained to the end.

    Returns:
        `best`, the lowest validation log loss of all, searched or baseline; `best_searched`, the lowest of those that
        the search found, None without a search.
    """
    trained = [model for model in models if model["status"] == "trained"]
    searched = [model for model in trained if model["kind"] == FOUND]
    return {"best": _lowest(trained), "best_searched": _lowest(searched) if searched else None}


def _lowest(models: Sequence[Mapping[str, Any]]) -> str:
    return min(models, key=lambda model: model["validation"]["log_loss"])["id"]
