"""Choices as parameters of Optuna: what a trial proposes is an option."""

from __future__ import annotations

import random

import pytest
from optuna.trial import FixedTrial

from recnas.space.choices import OneOperator, Subset
from recnas.strategies.optuna_choices import suggested
from recnas.strategies.problem import Budget
from tests.strategies.whole_trainings import ARCHITECTURES, Objective, World, macs, new_strategy, problem_in

INPUTS = Subset((0, 2, 5, 6), range(1, 4))


@pytest.mark.parametrize("subset", list(INPUTS.options()))
def test_every_subset_can_be_proposed(subset: tuple[int, ...]) -> None:
    members = {f"inputs.{item}": item in subset for item in INPUTS.pool}
    assert suggested(FixedTrial(members), "inputs", INPUTS) == subset


@pytest.mark.parametrize(("inside", "expected"), [((), (0,)), ((0, 2, 5, 6), (0, 2, 5))])
def test_of_too_few_or_too_many_members_the_nearest_subset_is_made(
    inside: tuple[int, ...], expected: tuple[int, ...]
) -> None:
    members = {f"inputs.{item}": item in inside for item in INPUTS.pool}
    assert suggested(FixedTrial(members), "inputs", INPUTS) == expected
    assert INPUTS.allows(expected)


def test_what_is_a_tuple_is_proposed_by_its_text() -> None:
    operators = OneOperator(("fc", "dot-product"))
    assert suggested(FixedTrial({"operators": '["dot-product"]'}), "operators", operators) == ("dot-product",)


def test_a_sampler_is_told_what_it_proposed_and_what_is_above_the_limits_came_to() -> None:
    world, strategy = World(Objective(ARCHITECTURES, 0)), new_strategy("tpe")
    bound = sorted(macs(ARCHITECTURES.draw(random.Random(seed))) for seed in range(30))[10]
    problem = problem_in(ARCHITECTURES, Budget(15), affordable=lambda candidate: macs(candidate) <= bound)
    asked = world.search(strategy, problem)
    told = [trial.value for trial in strategy._study.trials]
    by_sampler = [result for item, result in zip(asked, world.told, strict=True) if item.source == "tpe"]
    assert [value for value in told if value != float("inf")] == [-result.score for result in by_sampler]
    assert float("inf") in told
