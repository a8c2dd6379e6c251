"""What the report tells of a search that trains its candidates."""

from __future__ import annotations

import math
from dataclasses import replace

from recnas.report.joint_search import proxies, search_figure, sources
from recnas.runs.proxy_values import ProxyValues
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


def network(name: str, loss: float | None, seed: int = 0, fidelity: float = 1.0) -> Candidate:
    """A network of its own kind by its first letter; None: its training diverged."""
    whole = {"network": {"name": name[0]}, "inputs": {}, "recipe": {"rate": name, "seed": seed}}
    return replace(candidate(name, loss, "uniform", fidelity), candidate=f"{name}-{seed}", whole=whole)


def test_of_each_proxy_it_is_told_how_it_ordered_what_has_ended_and_whether_it_was_used() -> None:
    history = [
        network("a1", 0.5),
        network("a2", 0.6, fidelity=0.2),
        network("a2", 0.4),
        network("a2", 0.45, seed=1),
        network("a3", 0.3, fidelity=0.2),
        network("b1", 0.1),
        network("b2", None),
    ]
    values = {
        "a1-0": {"zico": 1.0, "jacov": math.nan},
        "a2-0": {"zico": 2.0, "jacov": 1.0},
        "a2-1": {"zico": 0.0},
        "a3-0": {"zico": 0.0},
        "b1-0": {"zico": 0.1, "jacov": 4.0},
        "b2-0": {"zico": 0.2, "jacov": 3.0},
        "only offered": {"zico": 5.0},
    }
    first, second = proxies(history, ProxyValues(values, [(9, ("jacov",))]))
    assert (first.name, first.spans, first.agreement.tau) == ("jacov", [(9, None)], 1.0)
    assert (first.agreement.networks, first.agreement.pairs) == (3, 1)
    # One pair of each kind, of which one is ordered as their losses are.
    assert (second.name, second.spans, second.agreement.tau) == ("zico", [], 0.0)
    assert (second.agreement.networks, second.agreement.pairs) == (4, 2)
    assert proxies(history, ProxyValues()) == []
