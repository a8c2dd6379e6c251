from __future__ import annotations

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from recnas.candidates.network import BASELINE, SEARCHED
from recnas.report.figures import cost_figure, unbeaten
from recnas.runs.leaderboard import Model, Quality

PAIRS = st.lists(st.tuples(st.integers(1, 9), st.integers(1, 9)), min_size=1, max_size=12)


def model(name: str, macs: int | None, loss: float | None) -> Model:
    quality = None if loss is None else Quality(loss, 0.7)
    return Model(name, SEARCHED, "trained", quality, quality, 100, macs, 0.1, 1, 1.0)


def traces(figure, name: str) -> list:
    return [trace for trace in figure.data if trace.name == name]


@settings(deadline=None)
@given(PAIRS)
def test_the_line_joins_the_models_that_no_cheaper_or_equal_one_beats(pairs: list[tuple[int, int]]) -> None:
    expected = {a for a in pairs if not any(b[0] <= a[0] and b[1] <= a[1] and b != a for b in pairs)}
    assert unbeaten(pairs) == sorted(expected)


def test_every_trained_model_is_a_point_and_each_cost_that_was_found_out_a_panel() -> None:
    found = [model("a", 100, 0.5), replace(model("b", 200, 0.4), latency_ms=3.0), model("broken", 300, None)]
    dlrm = replace(model("dlrm", 150, 0.45), kind=BASELINE, latency_ms=2.0)
    figure = cost_figure([*found, dlrm], "b", {"macs": 250, "latency_ms": 2.5})
    points = {(trace.name, *trace.text, *trace.x) for trace in figure.data if "markers" in trace.mode}
    assert points == {
        ("other finalists", "a", 100),
        ("best searched", "b", 200),
        ("best searched", "b", 3.0),
        ("baseline", "DLRM", 150),
        ("baseline", "DLRM", 2.0),
    }
    assert [trace.x for trace in traces(figure, "limit")] == [(250, 250), (2.5, 2.5)]
    named = [trace.name for trace in figure.data if trace.showlegend]
    assert len(named) == len(set(named)) == 5


def test_without_a_model_that_has_both_there_is_no_figure() -> None:
    assert cost_figure([], None, {}) is None
    assert cost_figure([replace(model("a", 5, 0.1), status="dropped", share=0.25)], None, {}) is None
    assert cost_figure([model("a", None, 0.5), model("b", 5, None)], "a", {}) is None
