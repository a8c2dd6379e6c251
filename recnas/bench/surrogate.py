"""What a candidate that was not trained would come to: gradient boosting on its choices, fitted to a table.

As NAS-Bench-301 (Zela et al. 2022, section 4) does it for vision: a model of the whole training, one of its learning
curve, one of its time, and noise as large as that between two seeds. Needs no torch.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.stats import kendalltau

from recnas.bench.curves import GRID, Curve, curve_of
from recnas.bench.forest import Forest
from recnas.bench.table import Table
from recnas.candidates.candidate import Candidate
from recnas.util.errors import InputError

if TYPE_CHECKING:
    import lightgbm

LEAST_TAU = 0.6
"""Kendall's τ on held-out candidates below which a surrogate is no judge of searches, and is refused."""
FOLDS = 5
BAGS = 3
"""Boosters of the loss, each with another seed, whose mean is taken: a single one orders close candidates by chance."""
ROUNDS = 400
SETTINGS: dict[str, Any] = {
    "learning_rate": 0.03,
    "num_leaves": 8,
    "min_data_in_leaf": 5,
    "feature_fraction": 0.4,
    "bagging_fraction": 0.8,
    "bagging_freq": 1,
    "lambda_l2": 1.0,
    "num_threads": 1,
    "deterministic": True,
    "force_row_wise": True,
    "verbosity": -1,
}
BOUNDED, BOUNDED_ON_THE_WAY = 0.9, 0.98
"""Losses above this quantile count as that one: of a bad candidate it is enough to know that it is bad."""


@dataclass(frozen=True)
class Fit:
    """How well a surrogate knows candidates that it was not fitted to.

    Attributes:
        r2: Share of the variance of their test log loss, the worst tenth bounded, that it explains.
        tau: Kendall's τ-b of its order and theirs.
        ceiling: τ-b of the orders that two trainings of each give; None where there is one of each.
        noise: Standard deviation of the test log loss between seeds; None likewise.
        candidates: How many there are.
    """

    r2: float
    tau: float
    ceiling: float | None
    noise: float | None
    candidates: int


class Surrogate:
    """Guesses what candidates of a table's space come to.

    Args:
        table: What it is fitted to.
        seed: Of folds and boosters.

    Attributes:
        fit: How well it does.

    Raises:
        InputError: There are too few candidates, or its τ on held-out ones is below `LEAST_TAU`.
    """

    def __init__(self, table: Table, seed: int = 0) -> None:
        self.space = table.space.joint
        sound = table.frame[table.frame["diverged"].isna()]
        groups = dict(iter(sound.groupby("id", sort=False)))
        if len(groups) < 10 * FOLDS:
            raise InputError(f"{len(groups)} candidates are too few for a surrogate; it takes {10 * FOLDS} or more")
        curves = {name: [curve_of(line) for _, line in lines.iterrows()] for name, lines in groups.items()}
        self._known = {name: _mean(own) for name, own in curves.items()}
        points = np.array([self.space.encode(table.candidates[name]) for name in groups], dtype=np.float32)
        means = list(self._known.values())
        test = np.array([curve.test for curve in means])
        bound = np.quantile(test, BOUNDED)
        self.fit = _held_out(points, np.minimum(test, bound), curves, seed)
        if not self.fit.tau >= LEAST_TAU:
            raise InputError(
                f"a surrogate of this table orders held-out candidates with τ {self.fit.tau:.2f}; below {LEAST_TAU} it "
                "judges no search: train more candidates, or more seeds of each"
            )
        validation = np.array([curve.validation for curve in means])
        losses = [np.minimum(test, bound), np.minimum(validation, np.quantile(validation, BOUNDED))]
        macs = sound.groupby("id", sort=False)["macs"].first().to_numpy()
        logarithms = [np.log([curve.seconds for curve in means]), np.log(macs)]
        self._whole = Forest.of(
            [_boosted(points, target, seed + bag) for target in losses for bag in range(BAGS)]
            + [_boosted(points, target, seed) for target in logarithms]
        )
        behind = np.concatenate([curve.behind for curve in means])
        behind = np.minimum(behind, np.quantile(behind, BOUNDED_ON_THE_WAY))
        self._behind = Forest.of(
            [_boosted(np.concatenate([_with_fidelities(point) for point in points]), behind, seed)]
        )
        # Of the seeds of a candidate each is as far from its mean as the noise is from 0.
        self._noise = [
            _difference(curve, self._known[name], math.sqrt(len(own) / (len(own) - 1)))
            for name, own in curves.items()
            if len(own) > 1 and self._known[name].test <= bound
            for curve in own
        ]
        self._guessed: dict[str, tuple[Curve, float]] = {}

    def __contains__(self, candidate: str) -> bool:
        """Whether a candidate, by its id, was trained."""
        return candidate in self._known

    @property
    def typical(self) -> float:
        """Median test log loss of the candidates that were trained: what a search has that has found nothing yet."""
        return float(np.median([curve.test for curve in self._known.values()]))

    def mean(self, candidate: Candidate) -> Curve:
        """What trainings of a candidate come to on the mean; of one of the table, what they came to.

        Its seed does not matter, and what it learns from an ensemble is not known: a table has no ensembles.
        """
        if candidate.recipe.seed or candidate.soft_labels:
            candidate = replace(candidate, recipe=replace(candidate.recipe, seed=0, soft_labels=0.0))
        if (known := self._known.get(candidate.id)) is not None:
            return known
        return self._guess(candidate)[0]

    def draw(self, candidate: Candidate, rng: random.Random) -> Curve:
        """What one training of a candidate may come to: the mean, and noise as between seeds of the table."""
        mean = self.mean(candidate)
        if not self._noise:
            return mean
        noise = rng.choice(self._noise)
        return replace(
            mean,
            validation=mean.validation + noise.validation,
            test=mean.test + noise.test,
            behind=np.maximum(mean.behind + noise.behind, 0.0),
            seconds=mean.seconds * math.exp(noise.seconds),
        )

    def macs(self, candidate: Candidate) -> float:
        """Multiply–accumulates a row, about."""
        return self._guess(candidate)[1]

    def _guess(self, candidate: Candidate) -> tuple[Curve, float]:
        """A candidate's curve and its multiply–accumulates, by its choices alone."""
        if candidate.id not in self._guessed:
            point = np.array(self.space.encode(candidate), dtype=np.float32)
            *losses, seconds, macs = self._whole.predict(point)
            behind = np.array([self._behind.predict(line)[0] for line in _with_fidelities(point)])
            # It is never further behind than it was before.
            behind = np.minimum.accumulate(np.maximum(behind, 0.0))
            curve = Curve(float(np.mean(losses[BAGS:])), float(np.mean(losses[:BAGS])), behind, float(np.exp(seconds)))
            self._guessed[candidate.id] = curve, float(np.exp(macs))
        return self._guessed[candidate.id]


def _held_out(points: np.ndarray, losses: np.ndarray, curves: dict[str, list[Curve]], seed: int) -> Fit:
    """How well boosters do that were fitted to four fifths of the candidates on the rest, each fifth in turn."""
    folds = np.random.default_rng(seed).permutation(len(points)) % FOLDS
    guessed = np.empty(len(points))
    for fold in range(FOLDS):
        held = folds == fold
        boosters = [_boosted(points[~held], losses[~held], seed + bag) for bag in range(BAGS)]
        guessed[held] = np.mean([booster.predict(points[held]) for booster in boosters], axis=0)
    r2 = 1 - float(np.square(losses - guessed).sum() / np.square(losses - losses.mean()).sum())
    pairs = [own[:2] for own in curves.values() if len(own) > 1]
    tests = np.array([[curve.test for curve in pair] for pair in pairs])
    twice = len(pairs) > 1
    return Fit(
        r2,
        float(kendalltau(losses, guessed).statistic),
        float(kendalltau(*tests.T).statistic) if twice else None,
        float(np.sqrt(np.square(tests[:, 0] - tests[:, 1]).mean() / 2)) if twice else None,
        len(points),
    )


def _boosted(points: np.ndarray, target: np.ndarray, seed: int) -> lightgbm.Booster:
    # Loaded here: it takes a second, and who only asks a table needs it not.
    import lightgbm

    data = lightgbm.Dataset(points, np.asarray(target), free_raw_data=True)
    return lightgbm.train(SETTINGS | {"seed": seed}, data, ROUNDS)


def _with_fidelities(point: np.ndarray) -> np.ndarray:
    """A candidate's numbers once for each fidelity of the grid, which follows them."""
    return np.column_stack([np.repeat(point[None], len(GRID), axis=0), np.array(GRID, dtype=np.float32)])


def _mean(curves: Sequence[Curve]) -> Curve:
    return Curve(
        float(np.mean([curve.validation for curve in curves])),
        float(np.mean([curve.test for curve in curves])),
        np.mean([curve.behind for curve in curves], axis=0),
        float(np.exp(np.mean([math.log(curve.seconds) for curve in curves]))),
    )


def _difference(curve: Curve, mean: Curve, scale: float) -> Curve:
    """How far a training was from the mean of its candidate's; of seconds, the logarithm of their ratio."""
    return Curve(
        scale * (curve.validation - mean.validation),
        scale * (curve.test - mean.test),
        scale * (curve.behind - mean.behind),
        scale * math.log(curve.seconds / mean.seconds),
    )
