"""BANANAS (White et al. 2021): an ensemble of predictors, independent Thompson sampling, and mutated incumbents."""

from __future__ import annotations

import math
from itertools import islice

import numpy as np

from recnas.candidates.candidate import Candidate
from recnas.candidates.network import are_trees
from recnas.features.inputs import Inputs
from recnas.strategies.fresh_candidates import Proposal
from recnas.strategies.network_ensemble import NetworkEnsemble
from recnas.strategies.offspring import Family, Offspring
from recnas.strategies.problem import JointProblem
from recnas.strategies.registry import strategy
from recnas.strategies.whole_training import Trained, WholeTraining, normal_scores

BEGINNINGS = 10
"""Uniform draws before anything is predicted."""
INCUMBENTS = 5
"""The best candidates, which are mutated."""
OFFERED = 200
"""Offspring of them that the ensemble chooses from each time."""
UNIFORM_OFFERED = 3
"""Uniform draws beside them: they alone are of other kinds of networks, or far from what is known."""
MOST_CHANGES = 3
"""Choices in which offspring differ from their parents, at most."""
SHORTLIST = 8
"""Of what the ensemble is offered, those that are seen once more, with proxies."""


@strategy("bananas")
class Bananas(WholeTraining):
    """Trains what one draw from its beliefs takes for the best of many mutations of the incumbents.

    The ensemble's mean and spread are a normal distribution of what each would come to; one value is drawn of each by
    itself, and the lowest wins. Its networks are smaller than published, and solved rather than trained: see
    `NetworkEnsemble`. Where there are proxies of networks, those of the most promising ones are further inputs (White
    et al. 2021, How powerful are performance predictors in NAS), of candidates that are fed as something trained.
    """

    def begin(self, problem: JointProblem) -> None:
        """See `Strategy.begin`."""
        super().begin(problem)
        self._points: list[list[float]] = []
        self._proxies: list[list[float]] = []
        self._fed: set[Inputs] = set()
        self._families: dict[str, Family] = {}

    def learn(self, trained: Trained) -> None:
        """See `WholeTraining.learn`."""
        self._fed.add(trained.candidate.inputs)
        self._points.append(self.problem.space.encode(trained.candidate))
        self._proxies.append(self._proxies_of(trained.candidate))

    def propose(self) -> Proposal | None:
        """See `WholeTraining.propose`."""
        if self.num_asked < BEGINNINGS or not self.trained:
            return self.new(self.uniform)
        chance = np.random.default_rng(self.problem.rng.getrandbits(64))
        known = np.array(self._points)
        offered = self._offered()
        points = np.array([self._numbers(item) for item in offered])
        made = (self._made(offered[place]) for place in self._preferred(known, points, chance))
        open_ones = (proposal for proposal in made if self.may_train(proposal.candidate))
        shortlist = list(islice(open_ones, SHORTLIST if self._uses_proxies else 1))
        if len(shortlist) > 1:
            proxies = _comparable(self._proxies, [self._proxies_of(item.candidate) for item in shortlist])
            encoded = [self.problem.space.encode(item.candidate) for item in shortlist]
            known, points = np.split(np.hstack([np.vstack([known, encoded]), proxies]), [len(known)])
            return shortlist[self._preferred(known, points, chance)[0]]
        return shortlist[0] if shortlist else self.new(self.uniform)

    def _offered(self) -> list[Offspring | Proposal]:
        """What is chosen from."""
        rng, space = self.problem.rng, self.problem.space
        best = sorted(self.trained, key=lambda item: item.loss)[:INCUMBENTS]
        known = self._families
        self._families = {item.id: known.get(item.id) or Family(item, space) for item in best}
        families = list(self._families.values())
        drawn = [rng.choice(families).draw(rng, rng.randint(1, MOST_CHANGES)) for _ in range(OFFERED)]
        return [*drawn, *(self.uniform() for _ in range(UNIFORM_OFFERED))]

    def _numbers(self, item: Offspring | Proposal) -> np.ndarray:
        return item.numbers if isinstance(item, Offspring) else np.array(self.problem.space.encode(item.candidate))

    def _made(self, item: Offspring | Proposal) -> Proposal:
        return item.made(self.problem.space) if isinstance(item, Offspring) else item

    def _preferred(self, known: np.ndarray, points: np.ndarray, chance: np.random.Generator) -> list[int]:
        """The places of some points by what is drawn for each, the lowest first: independent Thompson sampling."""
        losses = np.array(normal_scores([item.loss for item in self.trained]))
        expected = NetworkEnsemble(known, losses, chance).predict(points)
        return np.argsort(chance.normal(expected.mean(0), expected.std(0)), kind="stable").tolist()

    @property
    def _uses_proxies(self) -> bool:
        return self.problem.proxies is not None

    def _proxies_of(self, candidate: Candidate) -> list[float]:
        """NaN where they are unknown, as those of trees are, and of what would have to be fitted to be fed."""
        if self.problem.proxies is None:
            return []
        names = self.problem.proxies.names
        if are_trees(candidate.network) or candidate.inputs not in self._fed:
            return [math.nan] * len(names)
        values = self.problem.proxies.values(candidate, names)
        return [values[name] for name in names]


def _comparable(known: list[list[float]], offered: list[list[float]]) -> np.ndarray:
    """Proxies of all candidates, known ones first, by ranks, as they differ by powers of ten; 0 for unknown ones."""
    columns = []
    for values in np.array([*known, *offered], dtype=float).T:
        column, is_known = np.zeros(len(values)), np.isfinite(values)
        if is_known.any():
            column[is_known] = normal_scores(values[is_known])
        columns.append(column)
    return np.array(columns).T
