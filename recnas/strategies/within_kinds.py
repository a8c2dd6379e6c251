"""How well a figure orders networks of the same kind: Kendall's τ over pairs within kinds, and a test of it.

Only pairs of a kind count. A proxy has another level in each kind of network, so that over all pairs it is praised, or
blamed, for telling families apart, which is no news; taking kinds' means away first leaves residuals of unlike spread,
which may not be exchanged for one another. Within a kind losses may, where a proxy says nothing of them: that is what
the test does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np

PERMUTATIONS, AT_ONCE = 2000, 200
"""Of losses within kinds, and how many are held at a time; no smaller chance is told than one over them."""
NORMAL = 1.96
"""Standard deviations on either side that have 95 % of a normal distribution."""


@dataclass(frozen=True)
class Agreement:
    """How well a figure orders networks within their kinds.

    Attributes:
        tau: Kendall's τ-b, above 0 where higher values have lower losses.
        low: The lower end of an interval of 95 %, by how τ spreads where losses are exchanged within kinds.
        high: The upper end.
        networks: Those that have the figure.
        pairs: Pairs of a kind, of unlike values and unlike losses.
        chance: How often, where no figure says anything, the best of all of them would look as good as this one.
        strength: τ in standard deviations of its spread.
    """

    tau: float
    low: float
    high: float
    networks: int
    pairs: int
    chance: float
    strength: float


def agreements(
    kinds: Sequence[str], losses: Sequence[float], figures: Mapping[str, Sequence[float]]
) -> dict[str, Agreement]:
    """How well each of several figures orders networks within their kinds.

    The chances are those of the largest of all strengths (Westfall and Young 1993): of figures that have nothing to do
    with one another as strict as Bonferroni's, of figures that are alike no stricter than need be.

    Args:
        kinds: Of every network.
        losses: What each came to, lower is better; infinite where it diverged.
        figures: By name, a value for every network; NaN where it is unknown.

    Returns:
        By name. Where no pair can be compared τ is 0.
    """
    names = list(figures)
    values = np.array([figures[name] for name in names], dtype=float).reshape(len(names), len(kinds))
    quality = -np.unique(losses, return_inverse=True)[1]
    chance = np.random.default_rng(0)
    found = np.zeros(len(names))
    ordered, pairs = np.zeros((2, len(names)))  # pairs of unlike values, and those of unlike losses, of known values
    both = np.zeros(len(names))
    exchanged = np.zeros((PERMUTATIONS, len(names)))
    places = sorted(range(len(kinds)), key=kinds.__getitem__)
    for _, group in groupby(places, key=kinds.__getitem__):
        own = np.array(list(group))
        if len(own) < 2:
            continue
        first, second = np.triu_indices(len(own), 1)
        known = np.isfinite(values[:, own])
        is_known = known[:, first] & known[:, second]
        with np.errstate(invalid="ignore"):
            by_value = np.where(is_known, np.sign(values[:, own[first]] - values[:, own[second]]), 0)
        by_quality = np.sign(quality[own[first]] - quality[own[second]])
        found += by_value @ by_quality
        ordered += (by_value != 0).sum(1)
        pairs += (is_known & (by_quality != 0)).sum(1)
        both += ((by_value != 0) & (by_quality != 0)).sum(1)
        for start in range(0, PERMUTATIONS, AT_ONCE):
            orders = chance.permuted(np.tile(quality[own], (AT_ONCE, 1)), axis=1)
            exchanged[start : start + AT_ONCE] += np.sign(orders[:, first] - orders[:, second]) @ by_value.T
    spread, scale = exchanged.std(0), np.sqrt(ordered * pairs)
    strength = _divided(found, spread)
    largest = np.abs(_divided(exchanged, spread)).max(1, initial=0)
    tau, deviation = _divided(found, scale), _divided(spread, scale)
    return {
        name: Agreement(
            float(tau[place]),
            float(max(-1.0, tau[place] - NORMAL * deviation[place])),
            float(min(1.0, tau[place] + NORMAL * deviation[place])),
            int(np.isfinite(values[place]).sum()),
            int(both[place]),
            # Sums of whole numbers, but divided: equal ones may differ in their last bits.
            float((1 + (largest >= abs(strength[place]) - 1e-9).sum()) / (1 + PERMUTATIONS)),
            float(strength[place]),
        )
        for place, name in enumerate(names)
    }


def _divided(value: np.ndarray, by: np.ndarray) -> np.ndarray:
    """0 where it is divided by 0."""
    return np.divide(value, by, out=np.zeros_like(value), where=by != 0)
