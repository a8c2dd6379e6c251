"""What a search that trains its candidates did: a figure of what they came to, how sources fared, what proxies knew."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import plotly.graph_objects as go

from recnas.report.axes import bounds, note_outside
from recnas.report.style import BEST, DENSE, INK, PAPER, SPARSE, axis, plot_layout
from recnas.runs.proxy_values import ProxyValues
from recnas.runs.reader import Candidate
from recnas.strategies.within_kinds import Agreement, agreements

COLORS = (DENSE, SPARSE, "#5b8c5a", "#7a5ea8", "#a8763e", "#5f6b76")
"""Of sources, in their order."""
BEST_COUNT = 6
"""Candidates that count as the best."""


@dataclass(frozen=True)
class Source:
    """How a source of proposals fared.

    Attributes:
        name: Its own.
        proposed: Candidates of it that were trained.
        ended: Those of them whose training has come to its end.
        best: The lowest validation log loss of these; None where there is none.
        among_best: How many of the best candidates of all are its own.
    """

    name: str
    proposed: int
    ended: int
    best: float | None
    among_best: int


def sources(history: Sequence[Candidate]) -> list[Source]:
    """How each source fared, in the order in which they first proposed."""
    last = last_of(history)
    ended = sorted((item for item in last if item.ended and item.score is not None), key=lambda item: -item.score)
    best = ended[:BEST_COUNT]
    found = []
    for name in dict.fromkeys(item.source for item in last):
        own = [item for item in ended if item.source == name]
        found.append(
            Source(
                name or "the strategy",
                sum(item.source == name for item in last),
                len(own),
                -own[0].score if own else None,
                sum(item.source == name for item in best),
            )
        )
    return found


def search_figure(history: Sequence[Candidate]) -> go.Figure | None:
    """Validation log loss over candidates in the order of their first training, with the best so far.

    Losses so far from most others that those could not be told apart are at the edge.
    """
    scored = [(place, item) for place, item in enumerate(last_of(history), start=1) if item.score is not None]
    if not scored:
        return None
    figure = go.Figure(layout=plot_layout(420))
    ended = [pair for pair in scored if pair[1].ended]
    shown = bounds([-item.score for _, item in ended or scored])
    names = list(dict.fromkeys(item.source for _, item in scored))
    for color, name in zip((COLORS * len(names))[: len(names)], names, strict=True):
        for is_ended in (True, False):
            group = [pair for pair in scored if pair[1].source == name and pair[1].ended == is_ended]
            if not group:
                continue
            figure.add_scatter(
                x=[place for place, _ in group],
                y=[shown.place(-item.score) for _, item in group],
                customdata=[
                    [item.candidate or item.id, f"{-item.score:.4f}", 100 * item.fidelity] for _, item in group
                ],
                mode="markers",
                name=name or "the strategy",
                legendgroup=name,
                showlegend=is_ended or not any(item.ended and item.source == name for _, item in scored),
                marker={
                    "color": color if is_ended else PAPER,
                    "size": 9 if is_ended else 8,
                    "symbol": [shown.symbol(-item.score, "circle") for _, item in group],
                    "line": {"color": PAPER if is_ended else color, "width": 1 if is_ended else 1.6},
                },
                hovertemplate=f"<b>%{{customdata[0]}}</b><br>{name}<br>validation log loss %{{customdata[1]}}"
                "<br>after %{customdata[2]:.3g} % of its training<extra></extra>",
            )
    if ended:
        best = list(accumulate((-item.score for _, item in ended), min))
        figure.add_scatter(
            x=[place for place, _ in ended],
            y=[shown.place(loss) for loss in best],
            mode="lines",
            line={"color": INK, "width": 1.8, "shape": "hv"},
            name="best so far",
            hoverinfo="skip",
        )
        place, item = min(ended, key=lambda pair: -pair[1].score)
        figure.add_scatter(
            x=[place],
            y=[shown.place(-item.score)],
            mode="markers",
            name="best",
            marker={"color": BEST, "size": 15, "symbol": "star", "line": {"color": PAPER, "width": 1}},
            hoverinfo="skip",
        )
    figure.update_xaxes(axis("candidate, in the order of its first training", rangemode="tozero"))
    figure.update_yaxes(axis("validation log loss", **shown.axis))
    note_outside(figure, shown.outside)
    return figure


@dataclass(frozen=True)
class Proxy:
    """How well a proxy ordered the networks of a search.

    Attributes:
        name: Its own.
        agreement: With what they came to.
        spans: The first and the last candidate of each time in which it was used, from 1; None: to the end.
    """

    name: str
    agreement: Agreement
    spans: Sequence[tuple[int, int | None]]


def proxies(history: Sequence[Candidate], known: ProxyValues) -> list[Proxy]:
    """How well each proxy ordered the networks that have ended, those that were used first; none if none was measured.

    Of networks that differ in their seed alone the first counts, as in the search.

    Args:
        history: The search's.
        known: Proxies of its candidates.
    """
    ended: dict[str, Candidate] = {}
    for item in last_of(history):
        if item.candidate in known.values and item.whole and (item.ended or item.score is None):
            ended.setdefault(_untrained(item.whole), item)
    names = list(dict.fromkeys(name for item in ended.values() for name in known.values[item.candidate]))
    figures = {name: [known.values[item.candidate].get(name, math.nan) for item in ended.values()] for name in names}
    found = agreements(
        [str(item.whole["network"].get("name")) for item in ended.values()],
        [math.inf if item.score is None else -item.score for item in ended.values()],
        figures,
    )
    told = [Proxy(name, agreement, known.spans(name)) for name, agreement in found.items()]
    return sorted(told, key=lambda proxy: (not proxy.spans, -abs(proxy.agreement.strength)))


def _untrained(whole: Mapping[str, Any]) -> str:
    """What candidates have in common of which one was trained again, from another seed or from other labels."""
    recipe = {name: value for name, value in whole.get("recipe", {}).items() if name not in ("seed", "soft_labels")}
    return json.dumps({**whole, "recipe": recipe}, sort_keys=True)


def last_of(history: Sequence[Candidate]) -> list[Candidate]:
    """What each candidate last came to, in the order in which they were first asked for."""
    last = {item.candidate: item for item in history}
    return list(last.values())
