"""NSGA-II: it finds a front of log loss and cost, better than uniform draws do, and keeps what any strategy keeps."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st
from moocore import hypervolume
from scipy.stats import wilcoxon

from recnas.candidates.candidate import Candidate
from recnas.candidates.evaluation import Evaluation, Result
from recnas.strategies.base import Strategy
from recnas.strategies.nsga2 import NSGA2, POPULATION
from recnas.strategies.pareto import Point, choose, first_front, objectives
from recnas.strategies.problem import Budget, JointProblem
from tests.strategies.worlds import World, final_loss, problem_of

FAMILIES = ("lr", "dnn", "dcnv2")
REFERENCE = (0.47, 40.0)
"""A point that everything of use is better than."""
SEEDS, CANDIDATES = 12, 160


class UniformDraws(Strategy):
    """Random search that trains every candidate to its end."""

    trains = asynchronous = True

    def ask(self) -> list[Evaluation]:
        return [Evaluation(self.problem.space.draw(self.problem.rng), 1.0)]

    def tell(self, results: Sequence[Result]) -> None:
        """Nothing is learned from them."""


def cost(candidate: Candidate) -> float:
    """What a candidate costs: the more columns an embedding has the more."""
    return {"lr": 1.0, "dnn": 4.0, "dcnv2": 8.0}[candidate.network.name] + candidate.recipe.embedding_dim


def loss(candidate: Candidate) -> float:
    """Log loss that falls with what is paid for it."""
    return final_loss(candidate) + 0.1 / candidate.recipe.embedding_dim


def problem(candidates: int, seed: int, at_once: int = 1) -> JointProblem:
    def point(result: Result) -> Point:
        return objectives(result.score, (cost(result.candidate),))

    return replace(problem_of(Budget(candidates), seed, FAMILIES, at_once=at_once), point=point)


def points_of(world: World) -> list[Point]:
    return [(loss(result.candidate), cost(result.candidate)) for result in world.told if result.training.finished]


def dominated(strategy: Strategy, candidates: int, seed: int) -> float:
    """How much of the plane of log loss and cost, up to a reference, is worse than something that was trained."""
    world = World(loss)
    world.search(strategy, problem(candidates, seed), until=lambda result: len(world.told) == candidates)
    return hypervolume(points_of(world), ref=REFERENCE)


def test_its_front_is_better_than_that_of_as_many_uniform_draws() -> None:
    found = [dominated(NSGA2(), CANDIDATES, seed) for seed in range(SEEDS)]
    drawn = [dominated(UniformDraws(), CANDIDATES, seed) for seed in range(SEEDS)]
    assert wilcoxon(found, drawn, alternative="greater").pvalue < 0.01


def test_parents_are_of_the_best_that_were_trained_and_of_the_first_front_more_often_than_by_chance() -> None:
    world = World(loss)
    world.search(NSGA2(), problem(60, 1))
    assert all(not item.parents for item in world.asked[:POPULATION])
    children = [(place, item) for place, item in enumerate(world.asked) if item.parents]
    assert len(children) == 60 - POPULATION
    of_front, by_chance = 0, 0.0
    for place, item in children:
        before = world.told[:place]
        trained = [result.candidate.id for result in before]
        points = [(-result.score, cost(result.candidate)) for result in before]
        assert set(item.parents) <= {trained[index] for index in choose(points, POPULATION)}
        front = first_front(points)
        of_front += item.parents[0] in {trained[index] for index in front}
        by_chance += len(front) / POPULATION
    assert of_front > 1.2 * by_chance
    assert {len(item.parents) for _, item in children} == {1, 2}


@settings(max_examples=15, deadline=None)
@given(
    seed=st.integers(0, 1000),
    candidates=st.integers(1, 30),
    at_once=st.integers(1, 3),
    diverges=st.sampled_from((0.0, 0.3, 1.0)),
)
def test_every_candidate_is_trained_to_its_end_once_and_the_same_seed_asks_the_same(
    seed: int, candidates: int, at_once: int, diverges: float
) -> None:
    def final(candidate: Candidate) -> float:
        digits = int(candidate.id[-4:], 16) / 16**4
        return math.inf if digits < diverges else loss(candidate)

    asked = []
    for _ in range(2):
        world = World(final)
        world.search(NSGA2(), problem(candidates, seed, at_once))
        asked.append(world.asked)
    assert asked[0] == asked[1]
    assert {item.fidelity for item in asked[0]} == {1.0}
    assert len({item.candidate.id for item in asked[0]}) == len(asked[0]) == candidates
