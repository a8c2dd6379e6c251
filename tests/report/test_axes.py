from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from recnas.report.axes import bounds, log_scale, scale
from recnas.report.figures import search_figure
from recnas.report.html import compact
from recnas.runs.reader import Candidate

SPANS = st.tuples(st.floats(1e-6, 1e9), st.floats(1.001, 1e12)).map(lambda pair: (pair[0], pair[0] * pair[1]))


@given(SPANS)
def test_ticks_of_a_logarithmic_axis_are_whole_values_in_order_that_fit_the_axis(span: tuple[float, float]) -> None:
    low, high = span
    axis = log_scale([high, low])
    ticks, texts = axis["tickvals"], axis["ticktext"]
    assert [float(text) for text in texts] == ticks == sorted(set(ticks))
    assert all(low / 1.21 <= tick <= high * 1.21 for tick in ticks)
    assert len(ticks) <= 9
    if high / low > 4:
        assert len(ticks) >= 2


def test_ticks_of_a_logarithmic_axis_are_written_out() -> None:
    assert log_scale([0.45, 2.6])["ticktext"] == ["0.5", "0.7", "1", "2", "3"]
    assert log_scale([0.002, 0.2])["ticktext"] == ["0.002", "0.005", "0.01", "0.02", "0.05", "0.1", "0.2"]
    assert log_scale([3e-4, 40.0])["ticktext"] == ["0.001", "0.01", "0.1", "1", "10"]
    assert scale([9e4, 2e6], compact)["ticktext"] == ["100 k", "200 k", "500 k", "1 M", "2 M"]


def test_only_values_that_spread_far_and_are_above_0_have_a_logarithmic_axis() -> None:
    assert scale([0.4, 0.6]) == scale([-1.0, 5.0]) == scale([]) == {}


@given(st.lists(st.floats(-1e12, 1e12), min_size=1, max_size=60))
def test_every_value_keeps_its_place_or_is_counted_and_put_at_an_edge(values: list[float]) -> None:
    shown = bounds(values)
    moved = [value for value in values if shown.place(value) != value]
    assert len(moved) == shown.outside < len(values)
    assert {shown.symbol(value, "circle") for value in moved} <= {"triangle-down", "triangle-up"}
    assert all((shown.symbol(value, "circle") == "circle") is (value not in moved) for value in values)
    assert shown.low in values
    assert shown.high in values


def test_a_few_far_values_do_not_rule_an_axis_and_none_is_lost() -> None:
    near = [-math.sqrt(place) for place in range(100)]
    candidates = [
        Candidate(f"c{place}", 0, score, {}, None) for place, score in enumerate([*near, -1.4e6, -3e5, None, 1e9])
    ]
    figure = search_figure(candidates, ["c3"], "c103")
    low, high = figure.layout.yaxis.range
    assert -12 < low < min(near)
    assert 0 < high < 2
    (points,) = [trace for trace in figure.data if trace.name == "random"]
    # The one without a score is told of elsewhere.
    assert len(points.x) == 103
    assert points.marker.symbol[-3:] == ("triangle-down", "triangle-down", "triangle-up")
    assert points.y[-3:] == (min(near), min(near), max(near))
    assert [shown[2] for shown in points.customdata[-3:]] == ["-1.4e+06", "-3e+05", "1e+09"]
    (best,) = [trace for trace in figure.data if trace.name == "best searched"]
    assert best.marker.symbol == ("triangle-up",)
    assert [note.text for note in figure.layout.annotations] == [
        "3 points lie beyond the range shown, as triangles at its edge"
    ]


def test_of_a_few_values_only_one_that_is_very_far_away_is_put_at_the_edge() -> None:
    assert bounds([0.654, 0.65405, 0.6549, 0.6546, 0.652]).outside == 0
    assert bounds([0.55, 0.56, 0.57, 0.557, 0.58, 1.9]).outside == 1
    assert bounds([1.0, 2.0, 1e9]).outside == 0


def test_values_that_spread_alike_are_all_shown_at_their_places() -> None:
    assert bounds([float(value) for value in range(50)]).axis == {}
    assert bounds([3.0] * 20).axis == bounds([3.0] * 20 + [9.0]).axis == bounds([]).axis == {}
