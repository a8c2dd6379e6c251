"""Local search: what it trains are neighbours of the best of its climb, and it begins anew where none is better."""

from __future__ import annotations

from recnas.strategies.local_search import BEGINNINGS, LocalSearch
from recnas.strategies.problem import Budget
from tests.strategies.whole_trainings import ARCHITECTURES, SMALL, TINY, Objective, World, problem_in


def test_it_trains_neighbours_of_the_best_so_far_each_of_which_differs_in_one_choice() -> None:
    world = World(Objective(ARCHITECTURES, 1), noise=0)
    asked = world.search(LocalSearch(), problem_in(ARCHITECTURES, Budget(50)))
    assert {item.source for item in asked[:BEGINNINGS]} == {"uniform"}
    assert {item.source for item in asked[BEGINNINGS:]} == {"neighbour"}
    for place, item in enumerate(asked[BEGINNINGS:], start=BEGINNINGS):
        best = min(world.told[:place], key=lambda result: -result.score).candidate
        assert item.parents == (best.id,)
        now, before = ARCHITECTURES.values(item.candidate), ARCHITECTURES.values(best)
        assert sum(now[choice] != before[choice] for choice in now) == 1


def test_a_local_optimum_is_left_when_all_its_neighbours_are_known_and_another_climb_begins() -> None:
    world = World(Objective(SMALL, 2), noise=0)
    asked = world.search(LocalSearch(), problem_in(SMALL, Budget(100), at_once=2))
    sources = [item.source for item in asked]
    again = sources.index("uniform", BEGINNINGS + 1)
    # One of the first draws may still be under way when the first neighbour is asked for.
    best = min(world.told[:again], key=lambda result: -result.score).candidate
    known = {item.candidate.id for item in asked[:again]}
    assert {candidate.id for candidate in SMALL.neighbours(best)} <= known
    assert sources[again : again + BEGINNINGS] == ["uniform"] * BEGINNINGS


def test_where_a_kind_leaves_no_choice_it_has_no_neighbours() -> None:
    assert not list(TINY.neighbours(TINY.own("lr")))
    assert len(list(TINY.neighbours(TINY.own("dnn")))) == 4 + 2
