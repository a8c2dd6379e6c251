"""What holds of every strategy that trains each candidate in whole, on trainings that are made up."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import product

import pytest

from recnas.candidates.candidate import Candidate
from recnas.candidates.evaluation import Evaluation, Result
from recnas.candidates.joint_space import JointSpace
from recnas.space import SearchSpace
from recnas.strategies.problem import Budget, JointProblem
from recnas.strategies.whole_training import normal_scores
from tests.strategies.whole_trainings import (
    ARCHITECTURES,
    EACH,
    FAMILIES,
    SLOW,
    TINY,
    Objective,
    World,
    macs,
    new_strategy,
    problem_in,
)

EVERYTHING = JointSpace(
    ("dcnv2", "lightgbm"), SearchSpace.named("nasrec-cross"), ("a:b", "c:d"), ("a:b",), droppable=("p",)
)
SPACES = {"architectures": ARCHITECTURES, "families": FAMILIES, "everything": EVERYTHING}
LIMIT = 1e6


def count_of(name: str, count: int) -> int:
    """Fewer of the slow one, but more than it draws at random."""
    return min(count, 13) if name == SLOW else count


def searched(name: str, problem: JointProblem, seed: int = 0) -> list[Evaluation]:
    return World(Objective(problem.space, 0), seed=seed).search(new_strategy(name), problem)


@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize("name", EACH)
def test_each_candidate_is_of_the_space_and_asked_for_once_and_whole(name: str, space: str) -> None:
    count = count_of(name, 45)
    asked = searched(name, problem_in(SPACES[space], Budget(count), at_once=3))
    assert len(asked) == count == len({evaluation.candidate.id for evaluation in asked})
    assert all(evaluation.candidate in SPACES[space] and evaluation.fidelity == 1.0 for evaluation in asked)
    assert [evaluation.iteration for evaluation in asked] == list(range(count))
    assert all(evaluation.source for evaluation in asked)
    if space == "everything":
        assert {SPACES[space].kind_of(evaluation.candidate) for evaluation in asked} == set(SPACES[space].kinds)


@pytest.mark.parametrize("name", EACH)
def test_the_same_state_of_chance_and_the_same_results_give_the_same_questions(name: str) -> None:
    count = count_of(name, 40)
    runs = [searched(name, problem_in(FAMILIES, Budget(count), seed, at_once=2), 7) for seed in (1, 1, 2)]
    assert runs[0] == runs[1]
    assert runs[0] != runs[2]


@pytest.mark.parametrize("name", EACH)
def test_none_is_above_the_limits(name: str) -> None:
    count = count_of(name, 40)
    problem = problem_in(ARCHITECTURES, Budget(count), affordable=lambda candidate: macs(candidate) <= LIMIT, at_once=2)
    asked = searched(name, problem)
    assert len(asked) == count
    assert max(macs(evaluation.candidate) for evaluation in asked) <= LIMIT
    assert not searched(name, replace(problem, affordable=lambda candidate: False))


@pytest.mark.parametrize("name", EACH)
def test_a_space_that_is_exhausted_ends_the_search(name: str) -> None:
    own = TINY.own("dnn")
    places = TINY.choices("dnn")
    every = [
        dict(zip(places, values, strict=True)) for values in product(*(item.options() for item in places.values()))
    ]
    asked = searched(name, problem_in(TINY, Budget(1000), at_once=2))
    names = [evaluation.candidate.id for evaluation in asked]
    assert sorted(names) == sorted([TINY.own("lr").id, *(TINY.with_values(own, values).id for values in every)])
    assert len(names) == 16


@pytest.mark.parametrize("name", EACH)
def test_trainings_that_diverge_are_results_and_a_search_goes_on_from_others(name: str) -> None:
    count, objective = count_of(name, 40), Objective(FAMILIES, 0)

    def loss(candidate: Candidate) -> float:
        return math.inf if candidate.learning_rate > 1e-3 else objective(candidate)

    world = World(loss)
    assert len(world.search(new_strategy(name), problem_in(FAMILIES, Budget(count)))) == count
    assert math.isfinite(world.best[-1])
    assert len(World(lambda candidate: math.inf).search(new_strategy(name), problem_in(FAMILIES, Budget(15)))) == 15


@pytest.mark.parametrize("name", EACH)
def test_a_budget_in_time_is_kept_and_with_more_of_it_a_search_goes_on(name: str) -> None:
    world, strategy = World(Objective(FAMILIES, 0)), new_strategy(name)
    given = problem_in(FAMILIES, Budget(seconds=11.5))
    before = list(world.search(strategy, given))
    assert 8 <= world.clock <= 11.5
    strategy.problem = replace(given, budget=Budget(seconds=15.5))
    after = world.go_on(strategy)
    assert after[: len(before)] == before
    assert len(after) > len(before)
    assert world.clock <= 15.5
    alone = World(Objective(FAMILIES, 0), seconds=100.0)
    # The first is trained whatever it takes.
    assert len(alone.search(new_strategy(name), problem_in(FAMILIES, Budget(seconds=11.5)))) == 1


@pytest.mark.parametrize("name", ["autoctr", "bananas", "evolution-trained", "local-search"])
def test_what_trees_found_out_is_what_others_are_made_from(name: str) -> None:
    space, found = JointSpace(("lightgbm",), of_trees=("a:b", "c:d")), {"num_leaves": 31, "cat_smooth": 50}

    class FindingOut(World):
        def trained(self, evaluation: Evaluation) -> Result:
            result = super().trained(evaluation)
            choices = evaluation.candidate.network.all_choices
            own = {key: value for key, value in found.items() if choices[key] == "auto"}
            return replace(result, training=replace(result.training, found=own))

    world = FindingOut(lambda candidate: 0.4 + 0.1 * candidate.learning_rate)
    asked = world.search(new_strategy(name), problem_in(space, Budget(40)))
    settled = {result.candidate.id: space.values(result.settled) for result in world.told}
    made = [(space.values(item.candidate), settled[item.parents[0]]) for item in asked if item.parents]
    assert len(made) >= 25
    assert all(sum(child[place] != parent[place] for place in child) <= 3 for child, parent in made)
    assert any("auto" in space.values(item.candidate).values() for item in asked[:10])


def test_scores_are_as_losses_are_ordered_and_of_a_standard_normal_distribution() -> None:
    scores = normal_scores([0.5, math.inf, 0.4, 0.4, math.inf, 0.6])
    assert scores[2] == scores[3] < scores[0] < scores[5] < scores[1] == scores[4]
    assert abs(sum(normal_scores(range(100)))) < 1e-9
    assert sum(score**2 for score in normal_scores(range(1000))) / 1000 == pytest.approx(1, abs=0.01)
