"""ASHA beside synchronous halving: on one worker it lets go on all that halving would, and others only by mistake."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recnas.candidates.candidate import Candidate
from recnas.strategies.asha import ASHA
from recnas.strategies.problem import Budget
from recnas.strategies.rung_search import ETA, FIDELITIES, TOP, RungSearch
from recnas.strategies.successive_halving import SuccessiveHalvingSearch
from tests.strategies.worlds import KINDS, World, problem_of


def of_losses(losses: Sequence[float]) -> World:
    """A world in which the n-th candidate that is asked for comes to the n-th loss, and to the same on each rung."""
    by_id: dict[str, float] = {}

    def final(candidate: Candidate) -> float:
        return losses[by_id.setdefault(candidate.id, len(by_id))]

    world = World(final)
    world.loss = lambda candidate, share: final(candidate)
    return world


def on_rungs(strategy: RungSearch, losses: Sequence[float]) -> tuple[World, list[list[str]]]:
    """A search of as many candidates, and who was trained on each rung, in the order of that."""
    world = of_losses(losses)
    # Both draw the same candidates: their draws are the same, and nothing else is drawn.
    world.search(strategy, problem_of(Budget(len(losses)), 5))
    return world, [[item.candidate.id for item in world.asked if item.fidelity == fidelity] for fidelity in FIDELITIES]


orders = st.sampled_from((9, 27)).flatmap(lambda count: st.permutations([0.4 + 0.01 * place for place in range(count)]))


@settings(max_examples=20, deadline=None)
@given(orders)
def test_what_halving_promotes_it_promotes_and_each_was_of_the_best_third_when_it_went_on(losses: list[float]) -> None:
    world, asynchronous = on_rungs(ASHA(), losses)
    loss_of = {result.candidate.id: world.final(result.candidate) for result in world.told}
    # Halving of all candidates at once, rung by rung.
    field = asynchronous[0]
    for rung in (1, 2):
        field = sorted(field, key=loss_of.__getitem__)[: len(field) // ETA]
        assert set(field) <= set(asynchronous[rung])
    if len(losses) == ETA**TOP:
        # As a bracket of this size does.
        _, synchronous = on_rungs(SuccessiveHalvingSearch(), losses)
        assert synchronous[0] == asynchronous[0]
        assert set(synchronous[-1]) == set(field)
    for place, item in enumerate(world.asked):
        if item.fidelity == FIDELITIES[0]:
            continue
        before = FIDELITIES[FIDELITIES.index(item.fidelity) - 1]
        there = sorted(loss_of[other.candidate.id] for other in world.asked[:place] if other.fidelity == before)
        assert loss_of[item.candidate.id] in there[: len(there) // ETA]


@pytest.mark.parametrize("ascending", [True, False])
def test_where_the_best_come_first_it_promotes_the_same_and_where_they_come_last_more(ascending: bool) -> None:
    losses = sorted((0.4 + 0.01 * place for place in range(9)), reverse=not ascending)
    _, asynchronous = on_rungs(ASHA(), losses)
    _, synchronous = on_rungs(SuccessiveHalvingSearch(), losses)
    if ascending:
        assert list(map(set, asynchronous)) == list(map(set, synchronous))
    else:
        # Of three candidates the best goes on, before it is known that the next three are better.
        assert set(synchronous[1]) < set(asynchronous[1])


@settings(max_examples=20, deadline=None)
@given(losses=orders, at_once=st.integers(2, 4))
def test_no_worker_waits_while_there_are_candidates_left(losses: list[float], at_once: int) -> None:
    strategy, world = ASHA(), of_losses(losses)
    strategy.begin(problem_of(Budget(len(losses)), 5, tuple(KINDS), at_once=at_once))
    under_way = list(strategy.ask())
    begun = len(under_way)
    while begun < len(losses):
        assert len(under_way) == at_once
        strategy.tell([world.evaluate(under_way.pop())])
        asked = strategy.ask()
        begun += sum(item.fidelity == FIDELITIES[0] for item in asked)
        under_way += asked
