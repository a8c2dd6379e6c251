"""Which candidates are evaluated once more, or trained in the end. Needs no torch."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from recnas.candidates.evaluation import Result
from recnas.strategies.pareto import Point, choose


def best_of(results: Sequence[Result], count: int, point: Callable[[Result], Point]) -> list[Result]:
    """The best results, one of each network.

    Args:
        results: Of candidates that are within the limits, or none; of a network that has several the best counts.
        count: How many to choose.
        point: What one came to in each objective: the score alone, or costs beside it.

    Returns:
        The highest scores; with costs, the candidates of the Pareto front of score and costs, then of the front of
        the others and so on, where of a front that is too large those stay that lie apart. Highest score first.
    """
    if not results:
        return []
    best: dict[str, Result] = {}
    for result in sorted(results, key=lambda result: result.score, reverse=True):
        best.setdefault(result.candidate.network_id, result)
    ranked = list(best.values())
    points = [point(result) for result in ranked]
    if len(points[0]) == 1:
        return ranked[:count]
    return [ranked[place] for place in choose(points, count)]
