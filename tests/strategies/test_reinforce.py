"""The policy over choices: what it draws at first, and that its gradient is that of the mean reward."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recnas.candidates.joint_space import JointSpace
from recnas.candidates.recipe_choices import RECIPE_CHOICES
from recnas.space import SearchSpace
from recnas.space.choices import OneOf, Subset
from recnas.strategies.policy import KIND, Decision, Drawn, Policy
from tests.strategies.whole_trainings import ARCHITECTURES, TINY

SUBSETS = Subset((0, 1, 2, 3), range(1, 4))
EPOCHS = "recipe.epochs"
SHARING = JointSpace(("lr", "fcn"), no_choice=tuple(place for place in RECIPE_CHOICES if place != EPOCHS))
"""Two kinds, which share how long they are trained."""


def every_draw(policy: Policy) -> list[tuple[float, Drawn]]:
    """All that a policy can draw, each with its probability."""
    found = []
    for kind, names in policy.names.items():
        decisions = [KIND, *names.values()]
        probabilities = {name: policy.decisions[name].probabilities for name in decisions}
        first = policy.decisions[KIND].options.index(kind)
        for places in product([first], *(range(len(probabilities[name])) for name in names.values())):
            chosen = dict(zip(decisions, places, strict=True))
            probability = float(np.prod([probabilities[name][place] for name, place in chosen.items()]))
            options = [policy.decisions[name].options[chosen[name]] for name in names.values()]
            found.append((probability, Drawn(kind, dict(zip(names, options, strict=True)), chosen, probabilities)))
    return found


def reward_of(drawn: Drawn) -> float:
    return random.Random(f"{drawn.kind} {sorted(drawn.places.items())}").gauss(0, 1)


def shifted(policy: Policy, seed: int) -> None:
    chance = np.random.default_rng(seed)
    for decision in policy.decisions.values():
        decision.parameters[:] = chance.normal(size=decision.parameters.shape)


@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), baseline=st.floats(-3, 3), space=st.sampled_from([TINY, SHARING]))
def test_over_all_draws_the_mean_of_its_gradient_is_that_of_the_mean_reward(
    seed: int, baseline: float, space: JointSpace
) -> None:
    policy = Policy(space)
    shifted(policy, seed)
    mean = {name: np.zeros_like(decision.parameters) for name, decision in policy.decisions.items()}
    draws = every_draw(policy)
    assert sum(probability for probability, _ in draws) == pytest.approx(1)
    for probability, drawn in draws:
        for name, values in policy.gradient(drawn, reward_of(drawn) - baseline).items():
            mean[name] += probability * values

    def mean_reward() -> float:
        return sum(probability * reward_of(drawn) for probability, drawn in every_draw(policy))

    step = 1e-5
    for name, decision in policy.decisions.items():
        for place in range(len(decision.parameters)):
            decision.parameters[place] += step
            above = mean_reward()
            decision.parameters[place] -= 2 * step
            below = mean_reward()
            decision.parameters[place] += step
            assert mean[name][place] == pytest.approx((above - below) / (2 * step), abs=1e-6)


@pytest.mark.parametrize("item", [SUBSETS, OneOf((16, 32, 64), ordered=True), OneOf((0, 1, 2), share=0.8)])
def test_the_gradient_of_the_entropy_is_its_slope(item: Subset | OneOf) -> None:
    decision, step = Decision(item), 1e-6
    decision.parameters[:] = np.random.default_rng(0).normal(size=decision.parameters.shape)

    def entropy() -> float:
        probabilities = decision.probabilities
        return float(-(probabilities @ np.log(probabilities)))

    gradient = decision.entropy_gradient(decision.probabilities)
    for place in range(len(decision.parameters)):
        decision.parameters[place] += step
        above = entropy()
        decision.parameters[place] -= 2 * step
        below = entropy()
        decision.parameters[place] += step
        assert gradient[place] == pytest.approx((above - below) / (2 * step), abs=1e-6)


def test_before_it_has_learned_it_draws_as_the_space_does() -> None:
    rng = random.Random(0)
    space = JointSpace((), SearchSpace.named("nasrec-wide"), no_choice=ARCHITECTURES.no_choice)
    policy, count = Policy(space), 600
    drawn = [policy.draw(rng).values for _ in range(count)]
    others = [space.values(space.draw(rng)) for _ in range(count)]
    for place in ("network.branches.cross", "network.3.dense_inputs", "network.6.sparse_operators"):
        shares = [Counter(values[place] for values in group) for group in (drawn, others)]
        for value in {*shares[0], *shares[1]}:
            # Five standard deviations of a difference of two shares, at most.
            assert abs(shares[0][value] - shares[1][value]) / count < 5 * (0.5 / count) ** 0.5


def test_a_policy_comes_to_draw_what_is_rewarded_and_what_kinds_share_is_learned_of_all() -> None:
    rng, policy = random.Random(0), Policy(SHARING)
    for _ in range(300):
        drawn = policy.draw(rng)
        advantage = (drawn.values[EPOCHS] == 8) - 0.5
        policy.climb(policy.gradient(drawn, advantage, 0.01), 0.3)
    epochs = policy.decisions[EPOCHS]
    assert epochs.probabilities[epochs.options.index(8)] > 0.8
    assert all(names[EPOCHS] == EPOCHS for names in policy.names.values())
    # Nothing was to be learned of the kind.
    assert 0.1 < policy.decisions[KIND].probabilities[0] < 0.9
    assert replace(SHARING, families=("lr",)).decisions() == {"lr": {EPOCHS: EPOCHS}}
