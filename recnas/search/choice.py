"""Which candidates are trained in the end, which trained model is the best, and which make the front."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from recnas.candidates.definition import FOUND
from recnas.runs.history import Recorded
from recnas.space import Architecture
from recnas.strategies.pareto import Point, choose, first_front, objectives


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
