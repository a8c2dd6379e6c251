"""Strategies held against each other on a table: simulated searches of each, regret over time, ranks, differences."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import rankdata, studentized_range, wilcoxon

BUDGETS = (1, 2, 3, 5, 7, 10, 15, 20, 30, 50, 70, 100)
"""Moments at which searches are compared, in median training times of the table."""
LEVEL = 0.05
"""Of the critical difference."""


@dataclass(frozen=True)
class Anytime:
    """How one strategy did.

    Attributes:
        strategy: Its name.
        budgets: Moments, in median training times.
        median: Of its searches' regret at each.
        low: The lower quartile.
        high: The upper quartile.
        mean: The mean.
    """

    strategy: str
    budgets: tuple[float, ...]
    median: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    mean: tuple[float, ...]


@dataclass(frozen=True)
class Standing:
    """Where one strategy stands at one moment.

    Attributes:
        strategy: Its name.
        regret: Mean over its searches.
        rank: Mean rank among all strategies, 1 the best, over searches of the same seed.
        of_random: Its mean regret as a share of the reference's; None where that has none.
        p: Of Wilcoxon's signed-rank test that it is level with the reference, paired by seed; None of the reference.
    """

    strategy: str
    regret: float
    rank: float
    of_random: float | None
    p: float | None


def anytime(strategy: str, regrets: np.ndarray, budgets: Sequence[float]) -> Anytime:
    """What is shown of one strategy's searches.

    Args:
        strategy: Its name.
        regrets: `[seeds, budgets]`.
        budgets: The moments.
    """
    low, median, high = np.quantile(regrets, [0.25, 0.5, 0.75], axis=0)
    return Anytime(
        strategy, tuple(budgets), *(tuple(values.tolist()) for values in (median, low, high, regrets.mean(0)))
    )


def standings(names: Sequence[str], regrets: np.ndarray, reference: str) -> list[Standing]:
    """Where strategies stand at one moment, the best mean rank first.

    Args:
        names: Of the strategies.
        regrets: `[strategies, seeds]`.
        reference: The strategy that others are held against.
    """
    ranks = rankdata(regrets, axis=0).mean(axis=1)
    against = regrets[names.index(reference)]
    found = [
        Standing(
            name,
            float(own.mean()),
            float(rank),
            float(own.mean() / against.mean()) if against.mean() > 0 else None,
            None if name == reference else _p_value(own, against),
        )
        for name, own, rank in zip(names, regrets, ranks, strict=True)
    ]
    return sorted(found, key=lambda item: item.rank)


def critical_difference(strategies: int, seeds: int) -> float | None:
    """How far mean ranks must be apart to differ at `LEVEL`, over all pairs (Nemenyi's; Demšar 2006, section 3.2.2).

    Args:
        strategies: How many are ranked.
        seeds: Over how many searches of each.

    Returns:
        None where there are no two of them.
    """
    if strategies < 2:
        return None
    quantile = studentized_range.ppf(1 - LEVEL, strategies, np.inf) / math.sqrt(2)
    return float(quantile * math.sqrt(strategies * (strategies + 1) / (6 * seeds)))


def _p_value(own: np.ndarray, against: np.ndarray) -> float:
    differences = own - against
    # Of searches that all came to the same there is nothing to tell.
    return 1.0 if not differences.any() else float(wilcoxon(differences).pvalue)
