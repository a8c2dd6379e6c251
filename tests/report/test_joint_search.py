"""What the report tells of a search that trains its candidates."""

from __future__ import annotations

from recnas.report.joint_search import search_figure, sources
from recnas.runs.reader import Candidate


def candidate(name: str, loss: float | None, source: str | None, fidelity: float = 1.0) -> Candidate:
    score = None if loss is None else -loss
    return Candidate("dnn", 0, score, {}, None, 1.0, fidelity, f"dnn-{name}", source, ended=fidelity == 1)


HISTORY = [
    candidate("a", 0.50, "portfolio"),
    candidate("b", 0.60, "mutation", 0.2),
    candidate("b", 0.47, "mutation"),
    candidate("c", 0.70, "mutation", 0.2),
    candidate("d", None, "uniform"),
    *(candidate(f"e{place}", 0.48, "portfolio") for place in range(5)),
]


def test_each_source_is_told_with_what_came_of_its_proposals() -> None:
    told = {item.name: (item.proposed, item.ended, item.best, item.among_best) for item in sources(HISTORY)}
    assert told == {"portfolio": (6, 6, 0.48, 5), "mutation": (2, 1, 0.47, 1), "uniform": (1, 0, None, 0)}
    assert [item.name for item in sources([candidate("x", 0.5, None)])] == ["the strategy"]


def test_the_figure_has_each_candidate_once_and_the_best_so_far() -> None:
    figure = search_figure(HISTORY)
    traces = {(trace.name, trace.marker.color): trace for trace in figure.data if trace.mode == "markers"}
    assert sum(len(trace.x) for (name, _), trace in traces.items() if name != "best") == 8
    best = next(trace for trace in figure.data if trace.name == "best so far")
    assert list(best.y) == sorted(best.y, reverse=True)
    assert best.y[-1] == 0.47
    assert search_figure([candidate("x", None, "uniform")]) is None
