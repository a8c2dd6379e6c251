"""What a strategy works on: candidates that are new and within the limits."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recnas.candidates.candidate import Candidate
from recnas.candidates.evaluation import Evaluation, Result
from recnas.candidates.network import Baseline
from recnas.space import Architecture, SearchSpace, cost
from recnas.strategies.problem import Problem
from tests.strategies.problems import RECIPE, problem_of

SPACE = SearchSpace.named("nasrec-small")


def macs(arch: Architecture) -> int:
    return cost.macs(arch, 13, 26, 16)


SMALLEST = SPACE.smallest(macs)
TIGHT, LOOSE = macs(SMALLEST) + 100_000, 10**9


def limited(seed: int, bound: float) -> Problem:
    return problem_of(SPACE, random.Random(seed), 100, lambda arch: macs(arch) <= bound, SMALLEST)


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 99), st.sampled_from([TIGHT, LOOSE]))
def test_what_is_drawn_is_new_within_the_limits_and_the_same_for_the_same_seed(seed: int, bound: int) -> None:
    def draw(problem: Problem) -> list[Candidate]:
        drawn = [problem.random() for _ in range(4)]
        return drawn + [problem.child(parent, mutations) for parent in drawn for mutations in (1, 3)]

    drawn = draw(limited(seed, bound))
    assert len({candidate.network_id for candidate in drawn}) == len(drawn)
    assert all(macs(candidate.network) <= bound for candidate in drawn)
    assert all(candidate.network in SPACE and candidate.recipe == RECIPE for candidate in drawn)
    assert draw(limited(seed, bound)) == drawn


def test_where_nothing_new_is_left_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("recnas.strategies.problem.TRIES", 3)
    only = SearchSpace.only(Architecture((SMALLEST.blocks[0],)))
    problem = problem_of(only, random.Random(0), 10)
    assert problem.random() is not None
    assert problem.random() is None


def test_what_draws_is_asked_to_go_further_when_all_that_is_near_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("recnas.strategies.problem.TRIES", 5)
    problem, asked = problem_of(SPACE, random.Random(0), 10), []

    def draw(more: int) -> Architecture:
        asked.append(more)
        return SMALLEST

    assert problem.new(draw).network == SMALLEST
    assert problem.new(draw) is None
    assert asked == [0] + [0] * 5 + [1] * 5


def test_limits_and_the_smallest_candidate_belong_together() -> None:
    for limits in ({"affordable": lambda arch: True}, {"smallest": SMALLEST}):
        with pytest.raises(ValueError, match="belong together"):
            problem_of(SPACE, random.Random(0), 10, **limits)


def test_a_child_is_pulled_towards_its_parent_and_others_towards_the_smallest(
    sample: Callable[..., list[Architecture]],
) -> None:
    problem = limited(0, TIGHT)
    far = max(sample("nasrec-small", 20), key=macs)
    assert macs(far) > TIGHT
    near = limited(1, TIGHT).random().network
    assert problem.within_limits(near) is near
    pulled = problem.within_limits(far, near)
    assert macs(pulled) <= TIGHT
    assert pulled in SPACE


def test_what_a_strategy_made_itself_is_admitted_as_it_is_or_pulled_within_the_limits(
    sample: Callable[..., list[Architecture]],
) -> None:
    problem = limited(0, TIGHT)
    far = max(sample("nasrec-small", 20), key=macs)
    recipe = replace(RECIPE, epochs=3)
    asked = Evaluation(Candidate(far, recipe), 0.5, ("a-1",), 7)
    admitted = problem.admitted(asked)
    assert macs(admitted.candidate.network) <= TIGHT
    assert replace(admitted, candidate=asked.candidate) == asked
    assert admitted.candidate.recipe == recipe
    # It is as if it had been drawn: admitted again as it is, and not drawn any more.
    assert problem.admitted(admitted) is admitted
    own = problem.random()
    assert problem.admitted(Evaluation(own)).candidate is own
    assert problem.new(lambda more: admitted.candidate.network if not more else SMALLEST).network == SMALLEST


def test_a_baseline_is_admitted_whatever_the_limits() -> None:
    asked = Evaluation(Candidate(Baseline("dlrm"), RECIPE))
    assert limited(0, TIGHT).admitted(asked) is asked


def test_without_limits_everything_is_admitted(sample: Callable[..., list[Architecture]]) -> None:
    problem = problem_of(SPACE, random.Random(0), 10)
    for arch in sample("nasrec-small", 3):
        asked = Evaluation(Candidate(arch, RECIPE))
        assert problem.admitted(asked) is asked


def test_a_point_has_the_score_with_its_sign_turned_and_the_costs() -> None:
    problem = problem_of(SPACE, random.Random(0), 10, costs=lambda arch: (float(macs(arch)),))
    asked = Evaluation(problem.random())
    assert problem.point(Result(asked, 2.0, 0.0)) == (-2.0, float(macs(asked.candidate.network)))
    assert problem.point(Result(asked, float("nan"), 0.0)) == (float("inf"),) * 2
