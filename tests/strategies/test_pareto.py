from __future__ import annotations

from math import inf, nan

from hypothesis import given, settings
from hypothesis import strategies as st

from recnas.strategies.pareto import Point, choose, crowding, first_front, objectives

POINTS = st.integers(1, 3).flatmap(
    lambda size: st.lists(st.tuples(*[st.integers(0, 6).map(float)] * size), min_size=1, max_size=25)
)


def dominates(a: Point, b: Point) -> bool:
    return all(x <= y for x, y in zip(a, b, strict=True)) and a != b


@settings(deadline=None)
@given(POINTS)
def test_the_first_front_is_what_nothing_dominates(points: list[Point]) -> None:
    assert first_front(points) == [
        place for place, point in enumerate(points) if not any(dominates(other, point) for other in points)
    ]


@settings(deadline=None)
@given(POINTS, st.integers(1, 30))
def test_nothing_is_chosen_before_what_dominates_it_and_the_best_score_always(points: list[Point], count: int) -> None:
    chosen = choose(points, count)
    assert chosen == sorted(set(chosen))
    assert len(chosen) == min(count, len(points))
    for place in chosen:
        assert {other for other, point in enumerate(points) if dominates(point, points[place])} <= set(chosen)
    assert min(points[place][0] for place in chosen) == min(point[0] for point in points)


def test_of_a_front_that_is_too_large_points_that_lie_apart_stay() -> None:
    xs = [0.0, 1.0, 2.0, 48.0, 50.0, 52.0, 99.0, 100.0]
    low, middle, high = (xs[place] for place in choose([(x, 100 - x) for x in xs], 3))
    assert (low, high) == (0.0, 100.0)
    assert 48 <= middle <= 52


def test_crowding_sums_the_gaps_around_a_point_as_shares_of_the_range() -> None:
    assert crowding([(0.0, 8.0), (1.0, 2.0), (4.0, 0.0)]) == [inf, 2.0, inf]
    assert crowding([(0.0, 8.0), (1.0, 6.0), (3.0, 2.0), (4.0, 0.0)])[1:3] == [0.75 + 0.75, 0.75 + 0.75]


def test_a_candidate_without_a_finite_score_is_the_worst_whatever_it_costs() -> None:
    points = [objectives(score, (cost,)) for score, cost in ((1.0, 5.0), (nan, 1.0), (-inf, 1.0), (inf, 1.0))]
    assert first_front(points) == [0]
    assert crowding(points[1:]) == [inf, 0.0, inf]
