"""Which candidates are trained in the end, which trained model is the best, and which make the front."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from recnas.errors import InputError
from recnas.files import ANEW
from recnas.nn.definition import FOUND
from recnas.search.history import Recorded
from recnas.search.pareto import Point, choose, first_front, objectives
from recnas.space import Architecture


def choose_finalists(history: Sequence[Recorded], top_k: int, costs: Callable[[Architecture], Point]) -> list[Recorded]:
    """The candidates that are looked at once more, or trained from scratch.

    Args:
        history: Those that were scored; all are within the limits.
        top_k: How many to choose.
        costs: What the search keeps low beside the score; nothing, when the score is its only objective.

    Returns:
        The highest scores; with costs, the candidates of the Pareto front of score and costs, then of the front of
        the others and so on, where of a front that is too large those stay that lie apart. Highest score first.
    """
    ranked = sorted(history, key=lambda item: item.scored.score, reverse=True)
    points = [objectives(item.scored.score, costs(item.proposal.arch)) for item in ranked]
    if len(points[0]) == 1:
        return ranked[:top_k]
    return [ranked[place] for place in choose(points, top_k)]


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


def front(models: Sequence[Mapping[str, Any]], names: Sequence[str]) -> list[str]:
    """The found models, trained to the end, that no other one beats in validation log loss and in every objective cost.

    Args:
        models: Entries of `results.json`.
        names: The objectives of `EvolutionSettings`.

    Returns:
        Their ids, lowest validation log loss first; with the score as the only objective, the best alone.
    """
    keys = [{"latency": "latency_ms"}.get(name, name) for name in names if name != "score"]
    found = [model for model in models if model["kind"] == FOUND and model["status"] == "trained"]
    points = {model["id"]: (model["validation"]["log_loss"], *(model[key] for key in keys)) for model in found}
    ids = list(points)
    return sorted((ids[place] for place in first_front(list(points.values()))), key=points.__getitem__)
