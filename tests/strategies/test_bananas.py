"""BANANAS: its ensemble, offspring that are judged before they are made, and proxies as further inputs."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import spearmanr

from recnas.candidates.candidate import Candidate
from recnas.candidates.joint_space import JointSpace
from recnas.candidates.network import are_trees
from recnas.strategies.bananas import SHORTLIST, Bananas
from recnas.strategies.network_ensemble import RIDGES, NetworkEnsemble, _best_ridge, _ridge
from recnas.strategies.offspring import Family
from recnas.strategies.problem import Budget
from recnas.strategies.whole_training import Trained
from recnas.strategies.within_kinds import Agreement
from tests.strategies.test_better_than_random import chance_of
from tests.strategies.whole_trainings import (
    ARCHITECTURES,
    FAMILIES,
    SMALL,
    Objective,
    World,
    every_candidate,
    problem_in,
)

MIXED = JointSpace(("dcnv2", "lightgbm"), ARCHITECTURES.space, ("a:b", "c:d"), ("a:b",))


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32), kind=st.sampled_from(MIXED.kinds), changes=st.integers(1, 4))
def test_offspring_are_the_numbers_of_the_candidate_that_they_become(seed: int, kind: str, changes: int) -> None:
    rng = random.Random(seed)
    parent = Trained("parent", MIXED.draw(rng, kind), 0.5)
    offspring = Family(parent, MIXED).draw(rng, changes)
    made = offspring.made(MIXED)
    assert made.parents == ("parent",)
    assert offspring.numbers.tolist() == MIXED.encode(made.candidate)
    before, now = MIXED.values(parent.candidate), MIXED.values(made.candidate)
    assert {place for place in now if now[place] != before[place]} == set(offspring.values)
    assert len(offspring.values) == changes


def test_the_error_on_points_left_out_is_what_fits_without_them_come_to() -> None:
    chance = np.random.default_rng(0)
    features, values = chance.normal(size=(20, 30)), chance.normal(size=20)
    values += features[:, 0] * 2
    errors = []
    for ridge in RIDGES:
        others = [np.arange(20) != place for place in range(20)]
        fitted = [features[place] @ _ridge(features[rest], values[rest], ridge) for place, rest in enumerate(others)]
        errors.append(np.mean((values - fitted) ** 2))
    assert _best_ridge(features, values) == RIDGES[int(np.argmin(errors))]


def test_the_ensemble_orders_candidates_that_it_has_not_seen_and_its_members_disagree() -> None:
    rng, objective = random.Random(0), Objective(SMALL, 0)
    drawn = rng.sample(every_candidate(), 150)
    points = np.array([SMALL.encode(candidate) for candidate in drawn])
    losses = np.array([objective(candidate) for candidate in drawn])
    expected = NetworkEnsemble(points[:60], losses[:60], np.random.default_rng(0)).predict(points[60:])
    assert spearmanr(expected.mean(0), losses[60:]).statistic > 0.5
    assert expected.std(0).min() > 0


def test_a_proposal_after_a_hundred_trainings_takes_well_under_a_tenth_of_a_second() -> None:
    world, strategy = World(Objective(ARCHITECTURES, 0)), Bananas()
    world.search(strategy, problem_in(ARCHITECTURES, Budget(100)))
    strategy.problem = replace(strategy.problem, budget=Budget(110))
    start = time.process_time()
    world.go_on(strategy)
    assert (time.process_time() - start) / 10 < 0.1


class KnowingProxies:
    """Proxies of which one is the loss but for noise, and one is noise.

    Attributes:
        asked: Candidates of which proxies were asked for.
    """

    names = ("knowing", "unknown", "noise")

    def __init__(self, objective: Objective) -> None:
        self._objective = objective
        self.asked: list[Candidate] = []

    def values(self, candidate: Candidate, names: Sequence[str]) -> Mapping[str, float]:
        self.asked.append(candidate)
        noise = random.Random(candidate.id)
        # Of the scale of a number that nobody has looked at.
        known = math.exp(-1e3 * self._objective(candidate) + 450 + noise.gauss(0, 0.5))
        found = {"knowing": known, "unknown": math.nan, "noise": noise.gauss(0, 1)}
        return {name: found[name] for name in names}

    def use(self, used: Mapping[str, Agreement], since: int) -> None:
        raise AssertionError("all are inputs of one model: none of them is used, or not used, by itself")


def test_proxies_that_know_something_help_it() -> None:
    gains = []
    for seed in range(10):
        objective, found = Objective(FAMILIES, seed), []
        for proxies in (None, KnowingProxies(objective)):
            world = World(objective, seed=seed)
            world.search(Bananas(), replace(problem_in(FAMILIES, Budget(30), seed), proxies=proxies))
            found.append(world.best[-1])
        gains.append(found[0] - found[1])
    assert chance_of(np.array(gains)) < 0.05


def test_proxies_are_asked_for_of_few_networks_and_of_such_alone_as_are_fed_as_what_was_trained() -> None:
    proxies = KnowingProxies(Objective(SMALL, 0))
    space = JointSpace(("finalnet", "lightgbm"), None, ("a:b",), ("a:b",))
    proxies._objective = lambda candidate: 0.45
    world = World(lambda candidate: 0.45)
    asked = world.search(Bananas(), replace(problem_in(space, Budget(30)), proxies=proxies))
    assert not any(are_trees(candidate.network) for candidate in proxies.asked)
    fed = {item.candidate.inputs for item in asked}
    assert {candidate.inputs for candidate in proxies.asked} <= fed
    assert len(proxies.asked) <= 30 * (1 + SHORTLIST)


def test_a_run_whose_proxies_are_none_asks_for_none() -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("recnas.strategies.bananas._comparable", None)
        asked = World(Objective(SMALL, 0)).search(Bananas(), problem_in(SMALL, Budget(15)))
    assert len(asked) == 15
