"""AutoCTR's evolution (Song et al. 2020): survivors weigh loss, age and cost, and a learned ranker guides mutations."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import numpy as np

from recnas.strategies.fresh_candidates import Proposal
from recnas.strategies.offspring import Family, Offspring
from recnas.strategies.problem import JointProblem
from recnas.strategies.registry import strategy
from recnas.strategies.whole_training import Trained, WholeTraining, tournament

POPULATION = 10
"""Candidates that survive."""
TOURNAMENT = 5
"""Of them that are drawn for a parent, so that ranks decide, as published; as many as in `evolution_trained`."""
OFFSPRING = 10
"""Of a parent, of which the ranker chooses, as published."""
LOSS_WEIGHT, AGE_WEIGHT, COST_WEIGHT = 0.1, 1.0, 0.1
"""What the shares of ranks count that decide about survival, as published."""
REFIT = 5
"""Candidates that end between two fits of the ranker."""
ROUNDS, RATE, DEPTH = 60, 0.1, 3
"""Trees of the ranker, what each counts, and their depth; fewer than published, as there are hundreds of candidates."""


@strategy("autoctr")
class AutoCTR(WholeTraining):
    """Mutates winners of tournaments among the survivors, and trains the mutation that a ranker puts first.

    Of twice as many of the youngest those survive whose sum of three shares is the lowest: the rank of the loss, the
    age, in which the youngest are alike, and the rank of the multiply–accumulates. The ranker is LambdaRank (Burges
    2010) on candidates as numbers, fitted to all that has ended.
    """

    def begin(self, problem: JointProblem) -> None:
        """See `Strategy.begin`."""
        super().begin(problem)
        self._points: list[list[float]] = []
        self._costs: list[float] = []
        self._ranker: Any = None

    def propose(self) -> Proposal | None:
        """See `WholeTraining.propose`."""
        if self.num_asked < POPULATION or not self.trained:
            return self.new(self.uniform)
        rng, space = self.problem.rng, self.problem.space
        parent = Family(tournament(self._survivors(), TOURNAMENT, rng), space)
        return self.new(lambda: self._preferred([parent.draw(rng, 1) for _ in range(OFFSPRING)]).made(space))

    def learn(self, trained: Trained) -> None:
        """See `WholeTraining.learn`."""
        self._points.append(self.problem.space.encode(trained.candidate))
        self._costs.append(self.problem.macs(trained.candidate))
        if len(self.trained) >= POPULATION and not len(self.trained) % REFIT:
            losses = [item.loss for item in self.trained]
            self._ranker = fitted_ranker(self._points, losses, self.problem.rng)

    def _survivors(self) -> list[Trained]:
        """Those that may be parents."""
        youngest = self.trained[-2 * POPULATION :]
        costs = self._costs[-2 * POPULATION :]
        # Shares of all candidates for the age, as published: it counts for less the longer the search.
        ages = np.maximum(np.arange(len(youngest), 0, -1), POPULATION) / len(self.trained)
        losses = [item.loss for item in youngest]
        weighed = LOSS_WEIGHT * _shares(losses) + AGE_WEIGHT * ages + COST_WEIGHT * _shares(costs)
        return [youngest[place] for place in np.argsort(weighed, kind="stable")[:POPULATION]]

    def _preferred(self, offspring: Sequence[Offspring]) -> Offspring:
        """The one that the ranker puts first; the first one while there is none."""
        if self._ranker is None:
            return offspring[0]
        ranks = self._ranker.predict(np.array([item.numbers for item in offspring]))
        return offspring[int(np.argmax(ranks))]


def fitted_ranker(points: Sequence[Sequence[float]], losses: Sequence[float], rng: random.Random) -> Any:
    """LightGBM's LambdaRank of candidates, all of one query; `predict` gives more to those with lower losses.

    Args:
        points: Candidates, each as numbers.
        losses: What they came to.
        rng: The source of every choice.
    """
    import lightgbm

    relevance = np.unique(-np.array(losses), return_inverse=True)[1]
    data = lightgbm.Dataset(
        np.array(points), relevance, group=[len(points)], params={"min_data_in_bin": 1, "verbose": -1}
    )
    settings = {
        "objective": "lambdarank",
        "label_gain": list(range(len(points))),
        "lambdarank_truncation_level": len(points),
        "max_depth": DEPTH,
        "learning_rate": RATE,
        "min_data_in_leaf": 3,
        "feature_fraction": 0.9,
        "bagging_fraction": 0.8,
        "bagging_freq": 5,
        "seed": rng.randrange(2**31),
        "deterministic": True,
        "force_row_wise": True,
        "num_threads": 1,
        "verbose": -1,
    }
    return lightgbm.train(settings, data, num_boost_round=ROUNDS)


def _shares(values: Sequence[float]) -> np.ndarray:
    """The rank of each, as a share of all."""
    from scipy.stats import rankdata

    return rankdata(values) / len(values)
