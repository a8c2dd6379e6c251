"""NSGA-II (Deb et al. 2002) on whole trainings: the log loss against costs, or what a user's own functions say."""

from __future__ import annotations

from collections.abc import Sequence

from recnas.candidates.candidate import Candidate
from recnas.candidates.evaluation import Evaluation, Result
from recnas.candidates.recipe_choices import NETWORK
from recnas.strategies.fresh_candidates import Proposal
from recnas.strategies.pareto import Point, choose, crowding, fronts
from recnas.strategies.registry import strategy
from recnas.strategies.rung_search import TOP, RungSearch

POPULATION = 16
"""Candidates from which others are made; as many are drawn uniformly at first."""
CROSSED, TAKEN = 0.9, 0.5
"""How often a child has two parents, and how often it has a place from the second one then."""
MOST_CHANGES = 3
"""Places in which a child is mutated, at most."""


@strategy("nsga2")
class NSGA2(RungSearch):
    """Looks for a Pareto front of the settings' objectives; every candidate is trained to its end.

    The population is the best of all that has ended: front after front, and of the last one those that lie apart
    (section III). A parent is the better of two members: of an earlier front, or of the same one and less crowded. Each
    result joins the population as soon as it is known (Durillo et al. 2009), so that no worker waits for a generation.
    """

    weighs_objectives = True

    def __init__(self) -> None:
        super().__init__()
        self._points: dict[str, Point] = {}

    def tell(self, results: Sequence[Result]) -> None:
        """See `RungSearch.tell`."""
        super().tell(results)
        self._points |= {result.candidate.id: self.problem.point(result) for result in results}

    def _next(self) -> Evaluation | None:
        """See `RungSearch._next`."""
        return self._new(TOP)

    def _drawn(self, rung: int) -> Proposal:
        """See `RungSearch._drawn`."""
        rng, space = self.problem.rng, self.problem.space
        ended = [name for name, result in self._results.items() if result.training.finished]
        if len(self._fresh) < POPULATION or len(ended) < 2:
            return Proposal(space.draw(rng))
        points = [self._points[name] for name in ended]
        population = [ended[place] for place in choose(points, min(POPULATION, len(ended)))]
        first, second = self._parents(population)
        parents = (first,)
        child = self._results[first].settled
        if first != second and rng.random() < CROSSED:
            parents = (first, second)
            child = self._crossed(child, self._results[second].settled)
        return Proposal(space.mutate(child, rng, rng.randint(1, MOST_CHANGES)), parents=parents)

    def _parents(self, population: Sequence[str]) -> tuple[str, str]:
        """The winners of two tournaments."""
        points = [self._points[name] for name in population]
        # How good each is: the lower the better.
        standing: dict[str, tuple[int, float]] = {}
        for rank, front in enumerate(fronts(points)):
            apart = crowding([points[place] for place in front])
            standing |= {population[place]: (rank, -far) for place, far in zip(front, apart, strict=True)}
        winners = (min(self.problem.rng.sample(population, 2), key=standing.__getitem__) for _ in range(2))
        return next(winners), next(winners)

    def _crossed(self, first: Candidate, second: Candidate) -> Candidate:
        """The first candidate with what the second one has in half of the places that both have."""
        rng, space = self.problem.rng, self.problem.space
        kind, other = space.kind_of(first), space.kind_of(second)
        shared = [
            place
            for place in space.table(kind)
            if place in space.table(other) and (kind == other or not place.startswith(NETWORK))
        ]
        taken = [place for place in shared if rng.random() < TAKEN]
        return space.with_values(first, {place: space.value(second, place) for place in taken})
