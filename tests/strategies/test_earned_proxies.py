"""Proxies in the default search: those that order what has ended are used, and no others."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import pytest

from recnas.candidates.candidate import Candidate
from recnas.candidates.defaults import own_candidate
from recnas.strategies.earned_proxies import LOOKS, OFFERED, EarnedProxies
from recnas.strategies.portfolio import Portfolio, UniformSearch
from recnas.strategies.problem import Budget, JointProblem
from recnas.strategies.within_kinds import Agreement
from tests.strategies.test_portfolio import MEMBERS, World, best_of, candidates_of, distance, problem


@dataclass
class MadeUp:
    """Proxies that formulas give.

    Attributes:
        formulas: By name.
        asked: What of which candidate.
        told: Which were used, and from which candidate on.
    """

    formulas: Mapping[str, Callable[[Candidate], float]]
    asked: list[tuple[Candidate, tuple[str, ...]]] = field(default_factory=list)
    told: list[tuple[int, dict[str, Agreement]]] = field(default_factory=list)

    @property
    def names(self) -> Sequence[str]:
        return tuple(self.formulas)

    def values(self, candidate: Candidate, names: Sequence[str]) -> Mapping[str, float]:
        self.asked.append((candidate, tuple(names)))
        return {name: self.formulas[name](candidate) for name in names}

    def use(self, used: Mapping[str, Agreement], since: int) -> None:
        self.told.append((since, dict(used)))


def noise(candidate: Candidate) -> float:
    return random.Random(candidate.id).random()


def searched(proxies: MadeUp | None, strategy: Portfolio | None = None, evaluations: int = 50) -> World:
    given: JointProblem = replace(problem(Budget(evaluations=evaluations), seed=4), proxies=proxies)
    world = World()
    world.search(strategy or Portfolio(MEMBERS), given)
    return world


def test_a_proxy_that_says_nothing_changes_nothing_and_of_each_ended_network_it_is_asked_once() -> None:
    proxies = MadeUp({"noise": noise, "unknown": lambda candidate: math.nan})
    world = searched(proxies)
    assert world.asked == searched(None).asked
    assert not proxies.told
    ended = {item.candidate for item in world.told if item.training.finished}
    alike = {replace(candidate, recipe=replace(candidate.recipe, seed=0, soft_labels=0.0)) for candidate in ended}
    assert len(alike) < len(ended)
    assert len(proxies.asked) == len(alike)


@pytest.mark.parametrize("sign", [1, -1])
def test_one_that_tells_good_from_bad_whatever_its_sign_earns_its_place_and_is_used_from_then_on(sign: int) -> None:
    proxies = MadeUp(
        {"noise": noise, "telling": lambda candidate: sign * (0.01 * noise(candidate) - distance(candidate))}
    )
    world, without = searched(proxies, evaluations=95), searched(None, evaluations=95)
    ((since, used),) = proxies.told
    assert set(used) == {"telling"}
    assert sign * used["telling"].tau > 0.3
    assert used["telling"].networks >= LOOKS[0]
    found = candidates_of(world)
    before = candidates_of(without)
    assert found[: since - 1] == before[: since - 1]
    assert found != before
    assert best_of(world) <= best_of(without)
    # Of what is only offered that proxy alone is computed, and of a source the best of several is taken.
    offered = [candidate for candidate, names in proxies.asked if names == ("telling",)]
    assert set(offered) - set(found)
    chosen = [candidate for candidate in found[since - 1 :] if candidate in offered]
    others = [candidate for candidate in offered if candidate not in found]
    assert sum(map(distance, chosen)) / len(chosen) < sum(map(distance, others)) / len(others)


def test_without_proxies_and_in_a_random_search_none_are_computed() -> None:
    proxies = MadeUp({"telling": lambda candidate: -distance(candidate)})
    searched(proxies, Portfolio(MEMBERS, with_proxies=False))
    searched(proxies, UniformSearch())
    assert not proxies.asked


def of_rate(rate: float, family: str = "dnn") -> Candidate:
    candidate = own_candidate(family)
    optimization = replace(candidate.recipe.optimization, learning_rate=rate)
    return replace(candidate, recipe=replace(candidate.recipe, optimization=optimization))


def learned(proxies: MadeUp, count: int, loss: Callable[[float], float] = lambda rate: rate) -> EarnedProxies:
    earned = EarnedProxies(proxies)
    for place in range(1, count + 1):
        earned.learn(of_rate(place / 100), "dnn", loss(place / 100), place)
    return earned


def test_it_keeps_its_place_until_its_sign_turns() -> None:
    proxies = MadeUp({"rate": lambda candidate: -candidate.learning_rate})
    earned = learned(proxies, LOOKS[0])
    assert set(earned.used) == {"rate"}
    for place in range(LOOKS[0], LOOKS[1]):
        # From here on it has the other sign, which is told at a later look.
        earned.learn(of_rate(1 + place / 100), "dnn", -place, place)
    assert not earned.used
    assert [(since, set(used)) for since, used in proxies.told] == [(LOOKS[0] + 1, {"rate"}), (LOOKS[1], set())]


def test_the_best_of_a_kind_is_taken_with_the_inputs_of_the_first() -> None:
    proxies = MadeUp({"rate": lambda candidate: -candidate.learning_rate})
    earned = learned(proxies, LOOKS[0])
    first = of_rate(0.9)
    others = [own_candidate("lr"), *(of_rate(0.5 - 0.1 * place) for place in range(4)), of_rate(0.001)]
    fed = [replace(candidate, inputs=replace(candidate.inputs, min_count=7)) for candidate in others]
    row = iter([first, *fed, *[first] * 100])
    best, _ = earned.best_of(lambda: (next(row), ()), lambda candidate: candidate.network.name, lambda candidate: True)
    # Four are offered.
    assert best == replace(of_rate(0.5 - 0.1 * (OFFERED - 2)), inputs=first.inputs)
    # Of trees nothing is known.
    trees = own_candidate("lightgbm")
    assert earned.best_of(lambda: (trees, ()), str, lambda candidate: True) == (trees, ())


def test_a_surrogate_is_shown_what_the_proxies_know() -> None:
    hidden = {}
    proxies = MadeUp({"hidden": lambda candidate: hidden[candidate.id]})
    rng, earned = random.Random(0), EarnedProxies(proxies)
    known = [of_rate(rng.uniform(0.001, 1)) for _ in range(60)]
    losses = [rng.random() for _ in known]
    for place, (candidate, loss) in enumerate(zip(known, losses, strict=True)):
        hidden[candidate.id] = -loss
        earned.learn(candidate, "dnn", loss, place)
    assert set(earned.used) == {"hidden"}
    # What it may choose from differs in nothing that it is told but for the proxy.
    offered = [of_rate(2 + place) for place in range(6)]
    hidden |= {candidate.id: -1.0 for candidate in offered} | {offered[4].id: -0.01}
    chosen = [earned.most_promising(known, losses, offered, lambda candidate: [0.0], rng) for _ in range(5)]
    assert chosen == [4] * 5
    # Of what is fed otherwise than all that was trained it asks nothing.
    proxies.asked.clear()
    others = [replace(candidate, inputs=replace(candidate.inputs, min_count=9)) for candidate in offered]
    earned.most_promising(known, losses, others, lambda candidate: [0.0], rng)
    assert not {candidate for candidate, _ in proxies.asked} & set(others)
