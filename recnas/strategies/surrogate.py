"""A guess at what candidates come to, learned from those that were trained: a forest on their choices."""

from __future__ import annotations

import random
from collections.abc import Sequence

import numpy as np

TREES = 40
"""Of the forest; each stands for one belief."""
BELIEVED = 5
"""Trees drawn, whose mean is what a proposal is judged by: another belief each time (Thompson 1933)."""


def most_promising(
    known: Sequence[Sequence[float]],
    losses: Sequence[float],
    offered: Sequence[Sequence[float]],
    rng: random.Random,
    count: int = 1,
) -> list[int]:
    """Which of some candidates seem best, by a few trees of a random forest: now what is good, now what is unknown.

    Args:
        known: Candidates that were trained, each as numbers; NaN for what is unknown.
        losses: What they came to, smaller is better.
        offered: Candidates to choose from.
        rng: The source of every choice.
        count: How many, at most.

    Returns:
        Their places among the offered, the best first.
    """
    # Loaded here: it takes a second, and most commands never need it.
    from sklearn.ensemble import RandomForestRegressor

    forest = RandomForestRegressor(n_estimators=TREES, max_features=0.5, random_state=rng.randrange(2**31), n_jobs=1)
    # Of losses far from the best it is enough to know that they are.
    bounded = np.minimum(losses, np.quantile(losses, 0.75))
    forest.fit(np.asarray(known, dtype=np.float32), bounded)
    points = np.asarray(offered, dtype=np.float32)
    believed = rng.sample(list(forest.estimators_), BELIEVED)
    expected = np.mean([tree.predict(points) for tree in believed], axis=0)
    return expected.argsort(kind="stable")[:count].tolist()
