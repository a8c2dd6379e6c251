"""How well rankings agree with the truth: rank correlations with intervals, the noise ceiling, and regret."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

RESAMPLES = 2000
LEVEL = 0.95
"""Of the intervals."""
LEAST_TOLD = 10
"""Architectures below which nothing is claimed of a ranking. Of four, one order in 24 is the right one by chance, and
dozens of rankings are judged; and resampling an order without a mistake never makes one: its interval has no width."""
TOP = (1, 5, 15)
"""How many of the best are taken where regret is told."""

Array = np.ndarray


@dataclass(frozen=True)
class Estimate:
    """A figure with a bootstrap interval over candidates (percentiles, 95 %)."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Agreement:
    """How a ranking agrees with the truth.

    Attributes:
        tau: Kendall's rank correlation.
        rho: Spearman's.
        regret: For each of `TOP`: the lowest loss among so many candidates that the ranking has first, minus the
            lowest of all; None where there are no more candidates than that, or no candidate has a finite score.
        ranked: Candidates with a finite score; the others are last, tied.
    """

    tau: Estimate
    rho: Estimate
    regret: tuple[float | None, ...]
    ranked: int


class Bootstrap:
    """Resamples candidates, the same for every ranking of a study.

    Args:
        count: Candidates.
        seed: Draws the samples.
    """

    def __init__(self, count: int, seed: int) -> None:
        rng = np.random.default_rng(seed)
        self.samples = rng.integers(0, count, (RESAMPLES, count))
        self.weights = np.stack([np.bincount(sample, minlength=count) for sample in self.samples]).astype(float)

    def tau(self, ours: Array, truth: Array) -> Estimate:
        """Kendall's τ-b of two figures of each candidate.

        A pair of one candidate with itself, of which a sample has many, is no pair.
        """
        return _estimate(*self.taus(ours, truth))

    def rho(self, ours: Array, truth: Array) -> Estimate:
        """Spearman's ρ of two figures of each candidate."""
        x, y = _ranks(ours), _ranks(truth)
        samples = _pearson(x[self.samples], y[self.samples])
        return _estimate(float(_pearson(x, y)), samples)

    def taus(self, ours: Array, truth: Array) -> tuple[float, Array]:
        """The τ of all candidates, and that of each sample."""
        x, y = _orders(ours), _orders(truth)
        agreeing, ours_untied, truth_untied = (self._weighted(pairs) for pairs in (x * y, x * x, y * y))
        with np.errstate(invalid="ignore", divide="ignore"):
            samples = agreeing / np.sqrt(ours_untied * truth_untied)
            value = (x * y).sum() / np.sqrt((x * x).sum() * (y * y).sum())
        return float(value), samples

    def _weighted(self, pairs: Array) -> Array:
        """For each sample, the sum over pairs, as often as the sample has them."""
        return np.einsum("si,ij,sj->s", self.weights, pairs, self.weights, optimize=True)


def judge(scores: Sequence[float], losses: Sequence[float], bootstrap: Bootstrap) -> Agreement:
    """How scores, higher is better, agree with losses, lower is better."""
    finite = np.isfinite(scores)
    # Ranks: what has no finite score is below all that has.
    ours, truth = _ranks(np.where(finite, scores, -np.inf)), -np.asarray(losses)
    order = np.argsort(-ours, kind="stable")
    lowest, told = -truth.max(), len(order) if finite.any() else 0
    regret = tuple(None if top >= told else float(-truth[order[:top]].max() - lowest) for top in TOP)
    return Agreement(bootstrap.tau(ours, truth), bootstrap.rho(ours, truth), regret, int(finite.sum()))


def noise_ceiling(losses: Array, bootstrap: Bootstrap) -> Estimate | None:
    """The τ between the losses of two trainings of the same candidates that differ in their seeds, mean over pairs.

    Args:
        losses: `[seeds, candidates]`.
        bootstrap: Of the candidates.

    Returns:
        None with a single seed.
    """
    found = [bootstrap.taus(-losses[a], -losses[b]) for a, b in combinations(range(len(losses)), 2)]
    if not found:
        return None
    values, samples = zip(*found, strict=True)
    return _estimate(float(np.mean(values)), np.mean(samples, axis=0))


def random_regret(losses: Sequence[float]) -> tuple[float | None, ...]:
    """The regret to expect of candidates picked blindly, for each of `TOP`: the mean of the lowest of k out of n."""
    ordered, count = sorted(losses), len(losses)
    result: list[float | None] = []
    for top in TOP:
        if top >= count:
            result.append(None)
            continue
        total = math.comb(count, top)
        # The i-th lowest is the lowest of those picked if the others are from what is above it.
        expected = sum(
            loss * math.comb(count - 1 - place, top - 1) / total
            for place, loss in enumerate(ordered[: count - top + 1])
        )
        result.append(expected - ordered[0])
    return tuple(result)


def _orders(values: Array) -> Array:
    """For every pair, 1, -1 or 0 as the first is larger, smaller or equal: `[n, n]`."""
    return np.sign(values[:, None] - values[None, :])


def _ranks(values: Array) -> Array:
    """Ranks from 1, equal ones shared."""
    from scipy.stats import rankdata

    return rankdata(values)


def _pearson(x: Array, y: Array) -> Array:
    """Correlation along the last axis."""
    x, y = x - x.mean(-1, keepdims=True), y - y.mean(-1, keepdims=True)
    with np.errstate(invalid="ignore", divide="ignore"):
        return (x * y).sum(-1) / np.sqrt((x * x).sum(-1) * (y * y).sum(-1))


def _estimate(value: float, samples: Array) -> Estimate:
    samples = samples[np.isfinite(samples)]
    if not len(samples):
        return Estimate(value, math.nan, math.nan)
    low, high = np.quantile(samples, ((1 - LEVEL) / 2, (1 + LEVEL) / 2))
    return Estimate(value, float(low), float(high))
