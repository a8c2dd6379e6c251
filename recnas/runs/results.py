"""What `results.json` says of a run: its models, and which of them are best. Needs no torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from recnas.candidates.network import SEARCHED
from recnas.runs.folder import RESULTS
from recnas.util import result_forms
from recnas.util.errors import InputError
from recnas.util.files import ANEW, read_json


def read_results(run: Path, remedy: str = ANEW) -> dict[str, Any]:
    """Reads a run's `results.json`; see `current`.

    Args:
        run: The run's folder.
        remedy: What to do where it cannot be read.

    Raises:
        InputError: There is no such file, or it is damaged.
    """
    return current(read_json(run / RESULTS, remedy, result_forms.Results))


def current(results: Mapping[str, Any]) -> dict[str, Any]:
    """Results as runs write them now, of whatever version they are.

    Before 0.2, MACs were called FLOPs, what was searched was called found, and re-ranked candidates a shortlist; in the
    first versions the best model was the best of those searched.
    """
    models = [_current_model(model) for model in results["models"]]
    search = dict(results.get("search") or {})
    if "shortlist" in search:
        search["reranked"] = search.pop("shortlist")
    upgraded = dict(results) | {"models": models} | ({"search": search} if search else {})
    judged = [
        model
        for model in models
        if model.get("status") == "trained" and (model.get("validation") or {}).get("log_loss") is not None
    ]
    return upgraded | (best_trained(judged) if judged and "best_searched" not in results else {})


def _current_model(model: Mapping[str, Any]) -> dict[str, Any]:
    upgraded = dict(model)
    if "flops" in upgraded:
        upgraded["macs"] = upgraded.pop("flops")
    if upgraded["kind"] == "found":
        upgraded["kind"] = SEARCHED
    return upgraded


def check_judged(models: Sequence[Mapping[str, Any]], file: Path) -> None:
    """Checks beforehand what is needed for a choice among entries of `results.json` that a file holds.

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
    searched = [model for model in trained if model["kind"] == SEARCHED]
    return {"best": _lowest(trained), "best_searched": _lowest(searched) if searched else None}


def _lowest(models: Sequence[Mapping[str, Any]]) -> str:
    return min(models, key=lambda model: model["validation"]["log_loss"])["id"]
