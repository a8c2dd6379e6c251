"""Pareto fronts: which of many points nothing beats in everything, and how they lie apart. Smaller is better."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf, isfinite

import numpy as np
from moocore import pareto_rank

Point = tuple[float, ...]
"""What a candidate comes to in each objective; smaller is better."""


def objectives(score: float, costs: Point) -> Point:
    """A candidate's point: its score with the sign turned, and its costs; without a finite score it is the worst."""
    return (-score, *costs) if isfinite(score) else (inf,) * (1 + len(costs))


def fronts(points: Sequence[Point]) -> list[list[int]]:
    """The places of the points that no other dominates: is as good in every objective and better in one; then of those
    that no other of the rest dominates, and so on."""
    ranks = pareto_rank(np.asarray(points, dtype=float))
    return [np.flatnonzero(ranks == rank).tolist() for rank in range(ranks.max() + 1)]


def first_front(points: Sequence[Point]) -> list[int]:
    """The places of the points that no other dominates."""
    return fronts(points)[0]


def crowding(points: Sequence[Point]) -> list[float]:
    """How far apart the neighbours of each point of a front are, summed over the objectives (Deb et al. 2002, III-B).

    Each objective is scaled to the front's range; the points at its ends are infinitely far from others.
    """
    distances = np.zeros(len(points))
    for values in np.asarray(points, dtype=float).T:
        order = np.argsort(values, kind="stable")
        # Points that lost everywhere are a front of their own, in which all are equal.
        if (low := values[order[0]]) < (high := values[order[-1]]):
            distances[order[1:-1]] += (values[order[2:]] - values[order[:-2]]) / (high - low)
        distances[order[[0, -1]]] = np.inf
    return distances.tolist()


def choose(points: Sequence[Point], count: int) -> list[int]:
    """The places of the `count` best points, ascending: front after front, and of the last front points that lie apart.

    Points are dropped from that front one by one, always the most crowded, and of several the one that is worse in the
    first objective: the best in it stays to the last.
    """
    chosen: list[int] = []
    for front in fronts(points):
        while len(chosen) + len(front) > count:
            apart = crowding([points[place] for place in front])
            front.pop(min(range(len(front)), key=lambda index: (apart[index], -points[front[index]][0])))
        chosen += front
        if len(chosen) == count:
            break
    return sorted(chosen)
