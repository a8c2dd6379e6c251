"""The figures of a study's report."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from recnas.report.axes import log_scale
from recnas.report.figures import unbeaten
from recnas.report.style import BEST, DEAD, DENSE, FONT, INK, MUTED, PAPER, SPARSE, axis, plot_layout
from recnas.study.reader import Ranking, Study
from recnas.study.text import signed, warmup_in_words

VERDICTS = {
    "agrees": ("agrees with the truth", BEST),
    "open": ("cannot be told from chance", "#8b95a1"),
    "opposes": ("ranks the wrong way round", SPARSE),
    "few": ("too few architectures to tell", "#8b95a1"),
}
"""What the interval of τ says: its words and its colour."""
ANYWHERE = "as it is"
"""Stands for a warm-up where there is only what needs none."""
_CEILING = "rgba(36, 104, 168, 0.13)"
_SHADES = ("#a9c9e8", "#6ea3d6", "#2468a8", "#123f6d")
_ROW = 25
"""Pixels that a ranking takes."""
_FARTHEST = 2.0
"""How far above the lowest loss one may be to be shown, in multiples of the range of the better nine tenths."""


def agreement_figure(study: Study) -> go.Figure:
    """τ with its interval for each ranking, a panel for each warm-up, beside zero and the noise ceiling."""
    names = list(dict.fromkeys(item.name for item in study.rankings if item.tau is not None))
    labels = {item.name: item.label if item.is_training else item.name for item in study.rankings}
    panels: list[float | None] = [*study.warmups] or [None]
    titles = [f"<b>{_panel(amount)}</b>" for amount in panels]
    figure = make_subplots(rows=1, cols=len(panels), shared_yaxes=True, horizontal_spacing=0.02, subplot_titles=titles)
    named: set[str] = set()
    for column, amount in enumerate(panels, start=1):
        shown = [item for item in study.rankings if item.tau is not None and item.warmup in (amount, None)]
        for verdict, (words, color) in VERDICTS.items():
            for is_same in (False, True):
                group = [item for item in shown if item.verdict == verdict and (item.warmup is None) is is_same]
                if not group:
                    continue
                figure.add_scatter(
                    x=[item.tau for item in group],
                    y=[labels[item.name] for item in group],
                    error_x={
                        "type": "data",
                        "symmetric": False,
                        "array": [_bound(item.tau_high, item) - item.tau for item in group],
                        "arrayminus": [item.tau - _bound(item.tau_low, item) for item in group],
                        "thickness": 1.5,
                        "width": 0,
                        "color": color,
                    },
                    mode="markers",
                    marker={"size": 8, "color": color, "symbol": "diamond-open" if is_same else "circle"},
                    name=words,
                    legendgroup=words,
                    showlegend=words not in named and not is_same,
                    customdata=[[item.label, item.interval, signed(item.rho)] for item in group],
                    hovertemplate="<b>%{customdata[0]}</b><br>τ %{x:+.2f}, 95 %: %{customdata[1]}"
                    "<br>ρ %{customdata[2]}<extra></extra>",
                    row=1,
                    col=column,
                )
                named |= set() if is_same else {words}
        _mark_ceiling(figure, study, column)
        figure.add_vline(x=0, line={"color": INK, "width": 1.2}, row=1, col=column)
        figure.update_xaxes(axis("Kendall's τ", range=_tau_range(study), nticks=6), row=1, col=column)
    order = [labels[name] for name in names]
    figure.update_yaxes(
        {**axis("", showgrid=True), "categoryorder": "array", "categoryarray": order[::-1], "ticks": ""},
        range=[-0.7, len(order) - 0.3],
    )
    figure.update_layout(plot_layout(130 + _ROW * len(order)))
    figure.update_layout(margin={"l": 130, "t": 74}, legend={"y": 1, "yref": "container", "yanchor": "top"})
    figure.update_annotations(font={"size": 13.5, "color": INK, "family": FONT})
    figure.update_yaxes(automargin=True)
    return figure


def seeds_figure(study: Study) -> go.Figure | None:
    """The losses of two trainings of the same architectures; None with a single one."""
    tests = [row["test"] for row in study.candidates]
    if len(tests[0]) < 2:
        return None
    bounds = loss_range([loss for row in tests for loss in row[:2]])
    figure = go.Figure(layout=plot_layout(420, showlegend=False))
    figure.add_scatter(x=bounds, y=bounds, mode="lines", line={"color": DEAD, "width": 1.5}, hoverinfo="skip")
    figure.add_scatter(
        x=[row[0] for row in tests],
        y=[row[1] for row in tests],
        text=[row["id"] for row in study.candidates],
        mode="markers",
        marker=_dot(DENSE),
        hovertemplate="<b>%{text}</b><br>seed 0: %{x:.4f}<br>seed 1: %{y:.4f}<extra></extra>",
    )
    figure.update_xaxes(axis("test log loss, seed 0", range=bounds, nticks=6))
    figure.update_yaxes(axis("test log loss, seed 1", range=bounds, nticks=6))
    return figure


def truth_figure(study: Study, rankings: Sequence[Ranking]) -> go.Figure | None:
    """Each ranking's order of the architectures against their mean test log loss; None without a ranking."""
    if not rankings:
        return None
    columns = min(3, len(rankings))
    rows = -(-len(rankings) // columns)
    titles = [f"<b>{item.label}</b>  τ {signed(item.tau)}" for item in rankings]
    figure = make_subplots(
        rows=rows,
        cols=columns,
        shared_yaxes=True,
        shared_xaxes=True,
        horizontal_spacing=0.02,
        vertical_spacing=0.13,
        subplot_titles=titles,
    )
    for place, item in enumerate(rankings):
        row, column = place // columns + 1, place % columns + 1
        scores = study.scores(item)
        order = sorted(range(len(scores)), key=lambda index: -scores[index])
        figure.add_scatter(
            x=list(range(1, len(order) + 1)),
            y=[study.losses[index] for index in order],
            customdata=[[study.candidates[index]["id"], f"{scores[index]:.5g}"] for index in order],
            mode="markers",
            marker=_dot(VERDICTS[item.verdict][1]),
            hovertemplate="<b>%{customdata[0]}</b><br>place %{x}, score %{customdata[1]}"
            "<br>mean test log loss %{y:.4f}<extra></extra>",
            row=row,
            col=column,
        )
        last = place + columns >= len(rankings)
        figure.update_xaxes(
            axis("place in the ranking" if last else "", nticks=6, showticklabels=last), row=row, col=column
        )
        figure.update_yaxes(
            axis("mean test log loss" if column == 1 else "", range=loss_range(study.losses), nticks=6),
            row=row,
            col=column,
        )
    figure.update_layout(plot_layout(90 + 260 * rows, showlegend=False))
    figure.update_annotations(font={"size": 13, "color": INK, "family": FONT})
    return figure


def time_figure(study: Study) -> go.Figure:
    """τ of each ranking against what it costs, with those that no cheaper one beats joined and named."""
    figure = go.Figure(layout=plot_layout(440))
    known = [item for item in study.rankings if item.tau is not None and item.seconds > 0]
    shades = {amount: _SHADES[-len(study.warmups) :][place % 4] for place, amount in enumerate(study.warmups)}
    groups: list[tuple[str, Mapping[str, Any], list[Ranking]]] = [
        (_panel(amount), _dot(shade), [item for item in known if item.warmup == amount])
        for amount, shade in shades.items()
    ]
    same = [item for item in known if item.warmup is None]
    groups.append(("whatever the warm-up", _dot(MUTED), [item for item in same if not item.is_training]))
    groups.append(
        ("a part of the training", {**_dot(SPARSE), "symbol": "diamond"}, [item for item in same if item.is_training])
    )
    steps = unbeaten([(item.seconds, -item.tau) for item in known])
    figure.add_scatter(
        x=[seconds for seconds, _ in steps],
        y=[-value for _, value in steps],
        mode="lines",
        line={"color": DEAD, "width": 1.6, "shape": "hv"},
        name="no cheaper ranking is better",
        hoverinfo="skip",
    )
    for name, marker, group in groups:
        if group:
            figure.add_scatter(
                x=[item.seconds for item in group],
                y=[item.tau for item in group],
                customdata=[[item.label, item.interval] for item in group],
                mode="markers",
                marker=marker,
                name=name,
                hovertemplate="<b>%{customdata[0]}</b><br>τ %{y:+.2f}, 95 %: %{customdata[1]}"
                "<br>%{x:.3~g} s a candidate<extra></extra>",
            )
    named = {(item.seconds, -item.tau): item for item in reversed(known)}
    for item in (named[step] for step in steps):
        figure.add_annotation(
            x=math.log10(item.seconds),
            y=item.tau,
            text=item.label if item.is_training else item.name,
            showarrow=False,
            yshift=13,
            font={"size": 12, "color": INK},
        )
    _mark_ceiling(figure, study)
    figure.add_hline(y=0, line={"color": INK, "width": 1.2})
    figure.add_vline(x=study.results["training_seconds"], line={"color": MUTED, "width": 1.4, "dash": "dash"})
    figure.add_annotation(
        x=math.log10(study.results["training_seconds"]),
        y=0.02,
        yref="paper",
        text="a whole training ",
        showarrow=False,
        xanchor="right",
        font={"size": 12, "color": MUTED},
    )
    seconds = [study.results["training_seconds"], *(item.seconds for item in known)]
    figure.update_xaxes(axis("seconds a candidate", **log_scale(seconds)))
    figure.update_yaxes(axis("Kendall's τ"))
    return figure


def hidden_losses(study: Study) -> int:
    """Architectures whose mean loss lies above the range shown."""
    return sum(loss > loss_range(study.losses)[1] for loss in study.losses)


def _mark_ceiling(figure: go.Figure, study: Study, column: int | None = None) -> None:
    """A band from the ceiling's lower to its upper bound, and a line at its value: across τ, wherever that axis is."""
    ceiling = study.results["noise_ceiling"]
    if ceiling is None:
        return
    line = {"color": DENSE, "width": 1.2, "dash": "dash"}
    if column is None:
        figure.add_hline(y=ceiling["value"], line=line, layer="below")
        if ceiling["low"] is not None:
            figure.add_hrect(y0=ceiling["low"], y1=ceiling["high"], fillcolor=_CEILING, line_width=0, layer="below")
        return
    figure.add_vline(x=ceiling["value"], line=line, layer="below", row=1, col=column)
    if ceiling["low"] is not None:
        band = {"fillcolor": _CEILING, "line_width": 0, "layer": "below", "row": 1, "col": column}
        figure.add_vrect(x0=ceiling["low"], x1=ceiling["high"], **band)


def _panel(amount: float | None) -> str:
    return ANYWHERE if amount is None else warmup_in_words(amount)


def _bound(value: float | None, item: Ranking) -> float:
    """A bound of τ's interval; τ itself where there is none."""
    return item.tau if value is None else value


def _tau_range(study: Study) -> list[float]:
    ceiling = study.results["noise_ceiling"] or {"low": None, "high": None}
    bounds = [bound for item in study.rankings for bound in (item.tau, item.tau_low, item.tau_high)]
    values = [value for value in (*bounds, ceiling["low"], ceiling["high"], 0.0) if value is not None]
    return [max(-1.04, min(values) - 0.05), min(1.04, max(values) + 0.05)]


def loss_range(losses: Sequence[float]) -> list[float]:
    """An axis from the lowest loss to the highest; where a few are far worse than the others, without those."""
    values = sorted(losses)
    low, most = values[0], values[int(0.9 * (len(values) - 1))]
    high = max(value for value in values if value - low <= _FARTHEST * (most - low))
    margin = 0.06 * (high - low) or 0.001
    return [low - margin, high + margin]


def _dot(color: str) -> dict[str, Any]:
    return {"color": color, "size": 8, "line": {"color": PAPER, "width": 1}}
