"""The default search, on trainings that are made up: curves that a formula gives."""

from __future__ import annotations

import math
import random
import statistics
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import pytest

from recnas.candidates.candidate import Candidate
from recnas.candidates.defaults import own_candidate
from recnas.candidates.evaluation import Epoch, Evaluation, Quality, Result, Training
from recnas.candidates.joint_space import JointSpace
from recnas.candidates.network import are_trees
from recnas.candidates.portfolio import Member
from recnas.strategies.pace import Pace, loss_at
from recnas.strategies.portfolio import ELITE, SOFT_LABELS, Portfolio, UniformSearch
from recnas.strategies.problem import Budget, JointProblem
from recnas.strategies.trial import RUNGS

ROWS = 1000
FAMILIES = ("lr", "dnn", "dcnv2")


def distance(candidate: Candidate) -> float:
    """How far a candidate is from the best settings of this world."""
    optimization = candidate.recipe.optimization
    rate = abs(math.log10(optimization.learning_rate / 1e-3))
    penalty = abs(math.log10(max(optimization.embedding_penalty, 1e-9) / 1e-3))
    return 0.02 * rate + 0.02 * penalty + 0.05 * candidate.recipe.dropout


@dataclass
class World:
    """Evaluates what a strategy asks for, and keeps a clock."""

    loss: Callable[[Candidate], float] = lambda candidate: 0.4 + distance(candidate)
    seconds_a_pass: float = 1.0
    clock: float = 0.0
    asked: list[Evaluation] = field(default_factory=list)
    told: list[Result] = field(default_factory=list)

    def evaluate(self, evaluation: Evaluation) -> Result:
        candidate, before, spent_before = evaluation.candidate, 0, 0.0
        for result in self.told:
            if result.candidate == candidate:
                before, spent_before = result.training.rows, result.seconds
        rows = max(1, evaluation.rows(ROWS))
        self.clock += (spent := self.seconds_a_pass * (rows - before) / ROWS)
        total = candidate.passes * ROWS
        final = self.loss(candidate)
        diverged = None if math.isfinite(final) else "the loss is not a number"
        points = sorted({*(round(share * total) for share in (0.1, 0.2, 0.5, 1.0)), rows})
        epochs = tuple(
            Epoch(0.001, seen / ROWS, seen, 0.5, Quality(final + 0.1 * (1 - seen / total), 0.7), self.clock)
            for seen in points
            if seen <= rows
        )
        # A training that goes on counts what it took until it paused, too.
        training = Training(
            () if diverged else epochs, rows == total and not diverged, diverged, spent_before + spent, 10
        )
        result = replace(Result.of_training(evaluation, training), clock=self.clock)
        self.asked.append(evaluation)
        self.told.append(result)
        return result

    def search(self, strategy: Portfolio, problem: JointProblem, rounds: int = 10_000) -> list[Result]:
        strategy.begin(problem)
        for _ in range(rounds):
            if not (evaluations := strategy.ask()):
                break
            strategy.tell([self.evaluate(item) for item in evaluations])
        return self.told


def problem(
    budget: Budget,
    seed: int = 0,
    joint_ids: tuple[str, ...] = (),
    affordable: Callable[[Candidate], bool] = lambda candidate: True,
    at_once: int = 2,
    helpful: int = 0,
) -> JointProblem:
    space = JointSpace(FAMILIES, None, joint_ids)
    return JointProblem(space, random.Random(seed), budget, affordable, lambda candidate: 1e5, ROWS, at_once, helpful)


MEMBERS = [Member(own_candidate(name)) for name in FAMILIES]


def candidates_of(world: World) -> list[Candidate]:
    return list(dict.fromkeys(item.candidate for item in world.asked))


def best_of(world: World) -> float:
    return min(-result.score for result in world.told if result.training.finished)


def test_the_portfolio_comes_first_and_then_proposals_that_are_better() -> None:
    world = World()
    world.search(Portfolio(MEMBERS), problem(Budget(evaluations=60)))
    found = candidates_of(world)
    assert len(found) == 60
    assert [candidate.id for candidate in found[:3]] == [member.candidate.id for member in MEMBERS]
    at_first = min(0.4 + distance(member.candidate) for member in MEMBERS)
    found_by = [best_of(world)]
    for seed in (1, 2):
        other = World()
        other.search(Portfolio(MEMBERS), problem(Budget(evaluations=60), seed=seed))
        found_by.append(best_of(other))
    assert statistics.median(found_by) < at_first - 0.005
    sources = {item.source for item in world.asked}
    assert sources == {"portfolio", "mutation", "near portfolio", "uniform", "surrogate", "seed", "student"}
    alike = [item for item in world.asked if item.source == "seed"]
    for item in alike:
        first = next(other for other in found if other.id == item.parents[0])
        seed = item.candidate.recipe.seed
        assert seed > first.recipe.seed
        assert item.candidate == replace(first, recipe=replace(first.recipe, seed=seed))


def test_the_same_seed_asks_the_same_whatever_is_trained_side_by_side_with_a_budget_in_candidates() -> None:
    asked = []
    for _ in range(2):
        world = World()
        world.search(Portfolio(MEMBERS), problem(Budget(evaluations=30), seed=5))
        asked.append(world.asked)
    assert asked[0] == asked[1]
    other = World()
    other.search(Portfolio(MEMBERS), problem(Budget(evaluations=30), seed=6))
    assert other.asked != asked[0]


@pytest.mark.parametrize("seconds", [20.0, 60.0, 200.0])
def test_a_budget_in_time_is_kept_and_most_of_it_used(seconds: float) -> None:
    world = World()
    world.search(Portfolio(MEMBERS), problem(Budget(seconds=seconds), at_once=1))
    assert 0.8 * seconds <= world.clock <= seconds


def test_the_first_is_trained_whatever_it_takes() -> None:
    world = World(seconds_a_pass=100.0)
    world.search(Portfolio(MEMBERS), problem(Budget(seconds=20.0), at_once=1))
    assert len(candidates_of(world)) == 1
    assert world.told[-1].training.finished


def test_where_every_training_takes_long_as_many_are_made_as_there_is_time_for() -> None:
    world, members = World(lambda candidate: 0.4, seconds_a_pass=8.0), MEMBERS[1:]
    (whole,) = {8.0 * member.candidate.passes for member in members}
    world.search(Portfolio(members, sources=()), problem(Budget(seconds=2.4 * whole), at_once=1))
    assert len(candidates_of(world)) == 2
    assert world.clock == pytest.approx(2 * whole)


def test_a_network_that_takes_too_long_beside_trees_is_given_up_after_a_fifth() -> None:
    world = World(lambda candidate: 0.4, seconds_a_pass=10.0)
    members = [Member(own_candidate(name)) for name in ("lightgbm", "dnn")]
    space = JointSpace(("dnn", "lightgbm"))
    world.search(Portfolio(members, sources=()), replace(problem(Budget(seconds=220.0), at_once=1), space=space))
    # Trees come first, whole, in 200 seconds; the network has taken 10, and would take 15 to its next comparison.
    assert [are_trees(item.candidate.network) for item in world.asked] == [True, False]
    assert [item.fidelity for item in world.asked] == [1.0, RUNGS[0]]


def test_a_candidate_is_trained_once_and_goes_on_from_rung_to_rung() -> None:
    world = World()
    world.search(Portfolio(MEMBERS), problem(Budget(evaluations=40)))
    for candidate in candidates_of(world):
        fidelities = [item.fidelity for item in world.asked if item.candidate == candidate]
        assert fidelities == sorted(set(fidelities))
        assert fidelities == [1.0] or fidelities == [*RUNGS, 1.0][: len(fidelities)]


def test_bad_candidates_are_not_trained_to_their_end() -> None:
    world = World()
    world.search(Portfolio(MEMBERS), problem(Budget(evaluations=90)))
    ends = {
        candidate: max(r.training.rows for r in world.told if r.candidate == candidate)
        for candidate in candidates_of(world)
    }
    whole = {candidate for candidate, rows in ends.items() if rows == candidate.passes * ROWS}
    stopped = set(ends) - whole
    assert len(stopped) >= 15
    assert max(map(distance, sorted(whole, key=distance)[:ELITE])) < min(map(distance, stopped))


@pytest.mark.parametrize(("helpful", "expected"), [(0, 0), (2, 2), (4, 4), (8, 8), (12, 12)])
def test_as_many_joint_ids_are_taken_as_help(helpful: int, expected: int) -> None:
    joint_ids = tuple(f"a{place}:b" for place in range(12))

    def loss(candidate: Candidate) -> float:
        count = len(candidate.inputs.crosses)
        return 0.5 - 0.005 * min(count, helpful) + 0.002 * max(0, count - helpful)

    world = World(loss)
    strategy = Portfolio(MEMBERS)
    # Four are expected to help.
    world.search(strategy, problem(Budget(evaluations=40), joint_ids=joint_ids, at_once=1, helpful=4))
    assert strategy._race.best == expected
    # What follows begins with them.
    last = [item.candidate for item in world.asked if item.source == "portfolio"][-1]
    assert last.network == MEMBERS[-1].candidate.network
    assert len(last.inputs.crosses) == expected


def test_limits_are_kept_and_without_a_candidate_within_them_nothing_is_asked() -> None:
    world = World()
    small = problem(Budget(evaluations=20), affordable=lambda candidate: candidate.network.name != "dcnv2")
    world.search(Portfolio(MEMBERS), small)
    assert {candidate.network.name for candidate in candidates_of(world)} == {"lr", "dnn"}
    nothing = World()
    assert not nothing.search(Portfolio(MEMBERS), problem(Budget(evaluations=5), affordable=lambda candidate: False))


def test_trainings_that_diverge_are_results() -> None:
    world = World(lambda candidate: math.inf if candidate.learning_rate > 2e-3 else 0.4 + distance(candidate))
    # Students are as good as what they are made from in this world, and no better.
    world.search(Portfolio(MEMBERS, refines=False), problem(Budget(evaluations=40)))
    assert len(candidates_of(world)) == 40
    assert best_of(world) < 0.45
    everything = World(lambda candidate: math.inf)
    everything.search(Portfolio(MEMBERS), problem(Budget(evaluations=25)))
    assert len(candidates_of(everything)) == 25
    # There is no ensemble to learn from.
    assert "student" not in {item.source for item in everything.asked}


def test_a_portfolio_of_which_nothing_is_in_the_space_gives_way_to_the_space_s_own() -> None:
    world = World()
    world.search(Portfolio([Member(own_candidate("finalmlp"))]), problem(Budget(evaluations=4)))
    assert [candidate.network.name for candidate in candidates_of(world)][:3] == list(FAMILIES)


def test_the_pace_is_learned_and_says_how_long_a_training_takes() -> None:
    pace = Pace(lambda candidate: 1e6 if candidate.network.name == "dcnv2" else 0.0, ROWS)
    small, large = own_candidate("dnn"), own_candidate("dcnv2")
    assert pace.seconds(small) is None
    training = Training((Epoch(0.1, 1, ROWS, 0.5, Quality(0.5, 0.7), 2.0),), False, None, 2.0, 1)
    paused = Result(Evaluation(small, 0.2), -0.5, 2.0, training=training)
    pace.learn(paused)
    assert pace.seconds(small, 0.2) == pytest.approx(2.0)
    assert pace.seconds(small) == pytest.approx(10.0)
    # What it took until it paused is counted in what it took until it went on to pause again, once.
    further = Training((*training.epochs, Epoch(0.1, 2, 2 * ROWS, 0.5, Quality(0.5, 0.7), 4.0)), False, None, 4.0, 1)
    pace.learn(Result(Evaluation(small, 0.4), -0.5, 4.0, training=further), paused)
    assert pace.seconds(small) == pytest.approx(10.0)
    assert pace.seconds(large) == pytest.approx(10.0 * (1e6 + 4e5) / 4e5)
    assert loss_at(training, ROWS - 1) is None
    assert loss_at(training, ROWS) == 0.5


def test_a_uniform_search_has_no_portfolio() -> None:
    world = World()
    world.search(UniformSearch(), problem(Budget(evaluations=30), joint_ids=("a:b", "c:d")))
    assert {item.source for item in world.asked} == {"uniform"}
    assert len(candidates_of(world)) == 30
    assert {len(candidate.inputs.crosses) for candidate in candidates_of(world)} == {0, 1, 2}


def test_with_more_budget_a_search_goes_on_where_it_ended() -> None:
    # All are as good, so that no comparison ends a training: only the lack of time does, when the machine gets slower.
    class Busy(World):
        def evaluate(self, evaluation: Evaluation) -> Result:
            self.seconds_a_pass = 3.0 if 22 < self.clock < 30 else 1.0
            return super().evaluate(evaluation)

    world, strategy = Busy(lambda candidate: 0.4), Portfolio(MEMBERS)
    first = problem(Budget(seconds=30.0), at_once=1)
    world.search(strategy, first)
    before = list(world.asked)
    last = {result.candidate: result.training for result in world.told}
    paused = {candidate for candidate, training in last.items() if training.paused}
    strategy.problem = replace(first, budget=Budget(seconds=90.0))
    while evaluations := strategy.ask():
        strategy.tell([world.evaluate(item) for item in evaluations])
    assert world.asked[: len(before)] == before
    assert 0.8 * 90 <= world.clock <= 90
    assert paused
    assert paused <= {item.candidate for item in world.asked[len(before) :]}


def test_trees_begin_with_those_joint_ids_that_are_expected_to_help_them() -> None:
    world = World(lambda candidate: 0.4)
    space = JointSpace(("dnn", "lightgbm"), None, ("a:b", "c:d", "e:f"), ("c:d", "e:f"))
    members = [Member(own_candidate("lightgbm")), Member(own_candidate("dnn")), Member(own_candidate("lightgbm"), 0)]
    given = problem(Budget(evaluations=5), at_once=1, helpful=3)
    world.search(Portfolio(members, sources=()), replace(given, space=space, helpful_to_trees=1))
    taken = [(item.candidate.network.name, item.candidate.inputs.crosses) for item in world.asked if item.fidelity == 1]
    assert taken[0] == ("lightgbm", ("c:d",))
    assert ("lightgbm", ()) in taken
    assert ("dnn", space.joint_ids) in taken


def test_the_best_trees_are_grown_in_smaller_steps_towards_the_end_with_what_they_found_out() -> None:
    world = World(lambda candidate: 0.4 + 0.1 * candidate.learning_rate)
    space = JointSpace(("dnn", "lightgbm"))
    evaluate = world.evaluate

    def found_out(evaluation: Evaluation) -> Result:
        result = evaluate(evaluation)
        choices = evaluation.candidate.network.all_choices
        found = {name: 50 if name == "cat_smooth" else 31 for name, value in choices.items() if value == "auto"}
        return replace(result, training=replace(result.training, found=found))

    world.evaluate = found_out
    given = replace(problem(Budget(evaluations=12), at_once=1), space=space)
    world.search(Portfolio([Member(own_candidate("lightgbm"))], sources=("uniform",)), given)
    slower = [item for item in world.asked if item.source == "slower"]
    assert slower
    assert world.asked.index(slower[0]) >= 7
    first = slower[0]
    before = next(item.candidate for item in world.asked if item.candidate.id == first.parents[0])
    assert first.candidate.learning_rate <= before.learning_rate / 2
    same = {name: value for name, value in before.network.all_choices.items() if value != "auto"}
    own = first.candidate.network.all_choices
    assert own == {"num_leaves": 31, "cat_smooth": 50} | same | {"learning_rate": first.candidate.learning_rate}


def test_when_three_quarters_are_spent_the_best_networks_learn_from_the_ensemble() -> None:
    world = World()
    world.search(Portfolio(MEMBERS), problem(Budget(evaluations=40)))
    students = [item for item in world.asked if item.source == "student" and item.fidelity == RUNGS[0]]
    assert {item.candidate.recipe.soft_labels for item in students} == {SOFT_LABELS}
    first = world.asked.index(students[0])
    before = [item.candidate for item in world.asked[:first]]
    assert not any(candidate.recipe.soft_labels for candidate in before)
    assert len(set(before)) >= 30
    ended = [result for result in world.told[:first] if result.training.finished]
    best = min(ended, key=lambda result: -result.score)
    assert students[0].parents == (best.candidate.id,)
    few = World()
    few.search(Portfolio(MEMBERS), problem(Budget(evaluations=3)))
    assert "student" not in {item.source for item in few.asked}
