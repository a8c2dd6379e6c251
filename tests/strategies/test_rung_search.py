"""What all strategies that train in rungs keep to, and that they pay: on learning curves that a formula gives."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from itertools import groupby, pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import wilcoxon

from recnas.candidates.candidate import Candidate
from recnas.candidates.evaluation import Evaluation, Result
from recnas.candidates.joint_space import JointSpace
from recnas.candidates.network import are_trees
from recnas.candidates.portfolio import Member
from recnas.search.loop import TrainingWithinBudget
from recnas.strategies.asha import ASHA
from recnas.strategies.base import Strategy
from recnas.strategies.hyperband import Hyperband
from recnas.strategies.priorband import PriorBand
from recnas.strategies.problem import Budget
from recnas.strategies.rung_search import ETA, FIDELITIES, RungSearch
from recnas.strategies.successive_halving import SuccessiveHalvingSearch
from tests.strategies.worlds import KINDS, PASS_ROWS, World, final_loss, problem_of

SPACE = JointSpace((*KINDS, "lightgbm"))
MEMBERS = [Member(SPACE.own(kind)) for kind in SPACE.kinds]
SYNCHRONOUS = (SuccessiveHalvingSearch, Hyperband, partial(PriorBand, MEMBERS))
ALL = (*SYNCHRONOUS, ASHA)
KIND_NAMES = ("lr", "dnn", "dcnv2", "lightgbm")


class WholeTrainings(Strategy):
    """Random search that trains every candidate to its end."""

    trains = asynchronous = True

    def ask(self) -> list[Evaluation]:
        return [Evaluation(self.problem.space.draw(self.problem.rng), 1.0)]

    def tell(self, results: Sequence[Result]) -> None:
        """Nothing is learned from them."""


def mixed(seed: int, diverge: float, early: float) -> World:
    """A world in which some trainings diverge, and others end early."""

    def of(candidate: Candidate) -> random.Random:
        return random.Random(f"{seed}/{candidate.id}")

    def final(candidate: Candidate) -> float:
        return math.inf if of(candidate).random() < diverge else final_loss(candidate)

    def ends_after(candidate: Candidate) -> float:
        rng = of(candidate)
        rng.random()
        return rng.uniform(0.05, 1.0) if rng.random() < early else 1.0

    return World(final, ends_after=ends_after)


few = settings(max_examples=40, deadline=None)
searches = given(
    make=st.sampled_from(ALL),
    seed=st.integers(0, 1000),
    candidates=st.integers(1, 30),
    at_once=st.integers(1, 3),
    diverge=st.sampled_from((0.0, 0.2, 1.0)),
    early=st.sampled_from((0.0, 0.5)),
)


@few
@searches
def test_each_candidate_is_trained_once_from_rung_to_rung_and_something_comes_to_its_end(
    make: Callable[[], RungSearch], seed: int, candidates: int, at_once: int, diverge: float, early: float
) -> None:
    world = mixed(seed, diverge, early)
    world.search(make(), problem_of(Budget(candidates), seed, KIND_NAMES, at_once=at_once))
    asked: dict[str, list[Evaluation]] = {}
    for evaluation in world.asked:
        asked.setdefault(evaluation.candidate.id, []).append(evaluation)
    assert len(asked) == candidates
    for evaluations in asked.values():
        fidelities = [evaluation.fidelity for evaluation in evaluations]
        assert fidelities == sorted(set(fidelities))
        assert set(fidelities) <= set(FIDELITIES)
        if are_trees(evaluations[0].candidate.network):
            assert fidelities == [1.0]
    for before, result in enumerate(world.told):
        if not result.training.paused:
            # What has ended, or diverged, is not asked for again.
            assert result.candidate.id not in {item.candidate.id for item in world.asked[before + 1 :]}
    if diverge < 1:
        assert any(result.training.finished for result in world.told) or all(
            math.isinf(world.final(result.candidate)) for result in world.told
        )


@few
@searches
def test_the_same_seed_and_results_give_the_same_questions(
    make: Callable[[], RungSearch], seed: int, candidates: int, at_once: int, diverge: float, early: float
) -> None:
    asked = []
    for _ in range(2):
        world = mixed(seed, diverge, early)
        world.search(make(), problem_of(Budget(candidates), seed, KIND_NAMES, at_once=at_once))
        asked.append(world.asked)
    assert asked[0] == asked[1]


@few
@given(
    make=st.sampled_from(SYNCHRONOUS),
    seed=st.integers(0, 1000),
    candidates=st.integers(1, 40),
    at_once=st.integers(1, 3),
    diverge=st.sampled_from((0.0, 0.2)),
    early=st.sampled_from((0.0, 0.5)),
)
def test_of_all_on_a_rung_the_best_third_goes_on_and_nobody_else(
    make: Callable[[], RungSearch], seed: int, candidates: int, at_once: int, diverge: float, early: float
) -> None:
    world = mixed(seed, diverge, early)
    world.search(make(), problem_of(Budget(candidates), seed, tuple(KINDS), at_once=at_once))
    told = sorted(world.told, key=lambda result: result.evaluation.iteration)
    for _, bracket in groupby(told, key=lambda result: result.evaluation.iteration):
        known = list(bracket)
        first = min(result.evaluation.fidelity for result in known)
        fields: dict[float, list[Result]] = {first: [item for item in known if item.evaluation.fidelity == first]}
        for fidelity, above in pairwise(FIDELITIES):
            if fidelity < first:
                continue
            field = fields[fidelity]
            sound = sorted((item for item in field if math.isfinite(item.score)), key=lambda item: -item.score)
            best = sound[: max(1, len(field) // ETA)]
            trained_on = [item for item in known if item.evaluation.fidelity == above]
            assert {item.candidate.id for item in trained_on} == {
                item.candidate.id for item in best if item.training.paused
            }
            fields[above] = [*trained_on, *(item for item in best if not item.training.paused)]


@pytest.mark.parametrize("make", ALL)
def test_trees_are_judged_on_each_rung_by_what_they_had_come_to_there(make: Callable[[], RungSearch]) -> None:
    # Trees end behind all networks, but a whole training of them is ahead of the first ninth of any other.
    world = World(lambda candidate: 0.5 if are_trees(candidate.network) else 0.45)
    strategy = make()
    world.search(strategy, problem_of(Budget(18), 1, ("dnn", "lightgbm")))
    trees = {item.candidate.id for item in world.asked if are_trees(item.candidate.network)}
    assert trees
    ended = [result for result in world.told if result.training.finished and result.candidate.id not in trees]
    assert ended
    for result in world.told:
        if result.candidate.id in trees:
            assert strategy._loss(result.candidate, 0) > -result.score + 0.01


@pytest.mark.parametrize("make", ALL)
def test_limits_are_kept_and_a_space_that_is_exhausted_ends_the_search(make: Callable[[], RungSearch]) -> None:
    there = [SPACE.draw(random.Random(7), kind) for kind in ("dnn", "lr", "dcnv2", "fcn") for _ in range(3)]
    allowed = {candidate.id for candidate in there[:5]}
    problem = problem_of(Budget(20), affordable=lambda candidate: candidate.id in allowed)
    drawn = iter(there * 1000)

    class Few(JointSpace):
        def draw(self, rng: random.Random, kind: str | None = None) -> Candidate:
            return next(drawn)

        def mutate(self, candidate: Candidate, rng: random.Random, changes: int = 1) -> Candidate:
            return next(drawn)

    world = World()
    world.search(make(), replace(problem, space=Few(tuple(KINDS))))
    assert {item.candidate.id for item in world.asked} == allowed
    assert any(result.training.finished for result in world.told)
    nothing = World()
    nothing.search(make(), problem_of(Budget(5), affordable=lambda candidate: False))
    assert not nothing.asked


@pytest.mark.parametrize("make", ALL)
@pytest.mark.parametrize("seconds", [12.0, 40.0, 200.0])
def test_a_budget_in_time_is_kept_and_used(make: Callable[[], RungSearch], seconds: float) -> None:
    world = World()
    world.search(make(), problem_of(Budget(seconds=seconds), 3))
    assert any(result.training.finished for result in world.told)
    # Any training takes between 2 and 8.
    assert seconds - 8 <= world.clock <= seconds + 1e-6


@pytest.mark.parametrize("make", ALL)
def test_where_a_whole_training_takes_longer_than_the_budget_one_is_made_all_the_same(
    make: Callable[[], RungSearch],
) -> None:
    world = World(seconds_a_pass=10.0)
    world.search(make(), problem_of(Budget(seconds=15.0), 3))
    assert sum(result.training.finished for result in world.told) == 1


@pytest.mark.parametrize("make", ALL)
@pytest.mark.parametrize("at_once", [1, 2])
def test_where_the_first_ninth_takes_longer_than_the_budget_one_training_comes_to_its_end_all_the_same(
    make: Callable[[], RungSearch], at_once: int
) -> None:
    world = World(seconds_a_pass=100.0)
    world.search(TrainingWithinBudget(make()), problem_of(Budget(seconds=3.0), 3, at_once=at_once))
    assert sum(result.training.finished for result in world.told) == 1
    assert len({item.candidate.id for item in world.asked}) == at_once


@pytest.mark.parametrize("make", ALL)
@pytest.mark.parametrize("budgets", [(Budget(7), Budget(12)), (Budget(seconds=30.0), Budget(seconds=80.0))])
def test_with_more_budget_a_search_goes_on_where_it_ended(
    make: Callable[[], RungSearch], budgets: tuple[Budget, Budget]
) -> None:
    world, strategy = World(), make()
    first = problem_of(budgets[0])
    world.search(strategy, first)
    before, clock = list(world.asked), world.clock
    strategy.problem = replace(first, budget=budgets[1])
    world.go_on(strategy)
    assert world.asked[: len(before)] == before
    assert world.clock > clock
    if budgets[1].evaluations:
        assert len({item.candidate.id for item in world.asked}) == budgets[1].evaluations


TARGET, SHARE = 0.4145, 0.02
"""A validation log loss, and how many uniform draws come to it."""
SEEDS = 12


def rows_to_target(make: Callable[[], Strategy], seeds: int) -> list[int]:
    """Training rows until a candidate has come to its end that is as good as one in fifty, for each seed."""
    return [
        World().search(
            make(),
            problem_of(Budget(100_000), seed),
            until=lambda result: result.training.finished and final_loss(result.candidate) <= TARGET,
        )
        for seed in range(seeds)
    ]


@pytest.fixture(scope="module")
def of_whole_trainings() -> list[int]:
    """For random search; it is checked that the target is what it says."""
    rng = random.Random(0)
    space = JointSpace(tuple(KINDS))
    assert sum(final_loss(space.draw(rng)) <= TARGET for _ in range(1000)) / 1000 == pytest.approx(SHARE, abs=SHARE / 2)
    return rows_to_target(WholeTrainings, SEEDS)


@pytest.mark.parametrize("make", [SuccessiveHalvingSearch, Hyperband, ASHA, partial(PriorBand, MEMBERS)])
def test_a_good_candidate_is_found_in_fewer_training_rows_than_by_whole_trainings(
    make: Callable[[], Strategy], of_whole_trainings: list[int]
) -> None:
    rows = rows_to_target(make, len(of_whole_trainings))
    assert wilcoxon(rows, of_whole_trainings, alternative="less").pvalue < 0.01


def test_rungs_are_thirds_of_thirds_and_rows_whole_batches() -> None:
    assert list(FIDELITIES) == pytest.approx([ETA**-2, ETA**-1, 1])
    world = World()
    world.search(SuccessiveHalvingSearch(), problem_of(Budget(9)))
    assert [item.fidelity for item in world.asked] == [FIDELITIES[0]] * 9 + [FIDELITIES[1]] * 3 + [FIDELITIES[2]]
    for result in world.told:
        optimization = result.candidate.recipe.optimization
        of_pass = result.training.rows % PASS_ROWS
        assert of_pass % optimization.batch_size == 0 or of_pass == 0


def test_brackets_of_hyperband_begin_on_each_rung_in_turn() -> None:
    world = World()
    world.search(Hyperband(), problem_of(Budget(34)))
    begun: dict[int, list[float]] = {}
    known: set[str] = set()
    for item in world.asked:
        if item.candidate.id not in known:
            begun.setdefault(item.iteration, []).append(item.fidelity)
            known.add(item.candidate.id)
    sizes = [(9, FIDELITIES[0]), (5, FIDELITIES[1]), (3, 1.0)]
    assert [(len(of), of[0]) for of in begun.values()] == [*sizes, *sizes]
    assert all(len(set(of)) == 1 for of in begun.values())
