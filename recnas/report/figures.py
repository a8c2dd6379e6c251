"""The report's data figures, each a function of what the run folder holds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import accumulate, chain, combinations

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from recnas.candidates.network import BASELINE
from recnas.report.axes import bounds, note_outside, scale
from recnas.report.html import compact
from recnas.report.style import BEST, DENSE, FONT, INK, PAPER, SPARSE, axis, plot_layout
from recnas.runs.leaderboard import Model
from recnas.runs.reader import Candidate, Epoch, Warmup

_CHILD, _INITIAL = DENSE, "#aab3bd"
_BAND = "rgba(36, 104, 168, 0.16)"

COSTS = (
    ("macs", "MACs a row", "MACs a row"),
    ("latency_ms", "milliseconds a batch", "ms"),
)
"""Each cost that has a panel: its name, its axis, its unit."""

_ASIDE = ("triangle-left", "triangle-right")
"""What stands for a point that is beyond the left or the right edge."""

PROXY_NAMES = {"zico": "ZiCo", "fr": "log FR", "loss": "training loss"}


def warmup_figure(warmup: Warmup) -> go.Figure | None:
    """Validation log loss of random candidates after parts of the warm-up, beside the constant predictor's."""
    levels = [level for level in warmup.levels if None not in (level.median, level.p10, level.p90)]
    if not levels:
        return None
    ticks = [_level_name(level.fraction, level.rows) for level in levels]
    x = list(range(len(levels)))
    low, high = [level.p10 for level in levels], [level.p90 for level in levels]
    figure = go.Figure(layout=plot_layout(380))
    figure.add_scatter(
        x=x + x[::-1],
        y=high + low[::-1],
        fill="toself",
        fillcolor=_BAND,
        line={"width": 0},
        mode="lines",
        hoverinfo="skip",
        name="10 to 90 %",
    )
    figure.add_scatter(
        x=x,
        y=[level.median for level in levels],
        mode="lines+markers",
        line={"color": DENSE, "width": 2.5},
        marker={"size": 9},
        name="median",
        customdata=[[level.p10, level.p90] for level in levels],
        hovertemplate="median %{y:.4f}<br>10 to 90 %: %{customdata[0]:.4f} to %{customdata[1]:.4f}<extra></extra>",
    )
    constant = warmup.constant_log_loss
    if constant is not None:
        figure.add_scatter(
            x=[-0.25, len(levels) - 0.75],
            y=[constant, constant],
            mode="lines",
            line={"color": INK, "width": 1.6, "dash": "dash"},
            name=f"constant click rate, {constant:.4f}",
            hovertemplate="always predicting the click rate: %{y:.4f}<extra></extra>",
        )
    values = [*low, *high, *([] if constant is None else [constant])]
    figure.update_xaxes(
        axis("share of the warm-up done", tickvals=x, ticktext=ticks, range=[-0.25, len(levels) - 0.75], showgrid=False)
    )
    figure.update_yaxes(axis("validation log loss", **scale(values)))
    return figure


def search_figure(history: Sequence[Candidate], finalists: Sequence[str], best: str | None) -> go.Figure:
    """Score over candidates in the order they were scored, with the best so far.

    Scores so far from all others that those could not be told apart are at the edge.
    """
    figure = go.Figure(layout=plot_layout(440))
    scored = [(number, item) for number, item in enumerate(history, start=1) if item.score is not None]
    shown = bounds([item.score for _, item in scored])

    def add(name: str, group: list[tuple[int, Candidate]], symbol: str, **marker: object) -> None:
        if group:
            figure.add_scatter(
                x=[number for number, _ in group],
                y=[shown.place(item.score) for _, item in group],
                customdata=[[item.id, item.iteration, f"{item.score:.4g}"] for _, item in group],
                mode="markers",
                name=name,
                marker={**marker, "symbol": [shown.symbol(item.score, symbol) for _, item in group]},
                hovertemplate="<b>%{customdata[0]}</b><br>score %{customdata[2]}"
                "<br>candidate %{x}, iteration %{customdata[1]}<extra></extra>",
            )

    add("random", [pair for pair in scored if pair[1].iteration == 0], "circle", color=_INITIAL, size=5)
    add("children", [pair for pair in scored if pair[1].iteration > 0], "circle", color=_CHILD, size=5, opacity=0.65)
    if scored:
        figure.add_scatter(
            x=[number for number, _ in scored],
            y=list(accumulate((shown.place(item.score) for _, item in scored), max)),
            mode="lines",
            line={"color": INK, "width": 1.8, "shape": "hv"},
            name="best so far",
            hoverinfo="skip",
        )
    trained = [pair for pair in scored if pair[1].id in finalists and pair[1].id != best]
    ring = {"size": 10, "color": "rgba(0,0,0,0)", "line": {"color": SPARSE, "width": 1.8}}
    add("trained in the end", trained, "circle", **ring)
    star = {"size": 15, "color": BEST, "line": {"color": PAPER, "width": 1}}
    add("best searched", [pair for pair in scored if pair[1].id == best], "star", **star)
    figure.update_xaxes(axis("candidate, in the order of scoring", rangemode="tozero"))
    figure.update_yaxes(axis("proxy score (higher is better)", **shown.axis))
    note_outside(figure, shown.outside)
    return figure


def cost_figure(models: Sequence[Model], best: str | None, limits: Mapping[str, float]) -> go.Figure | None:
    """Validation log loss against MACs and, where measured, latency, with the models that no cheaper one beats joined.

    Args:
        models: All models of the final training.
        best: The best model's id.
        limits: The search's bounds on `macs` and `latency_ms`, of those that have one.

    Returns:
        None if no model has both a log loss and a cost.
    """
    trained = [model for model in models if model.validation_log_loss is not None and not model.dropped]
    panels = [
        (key, title, unit, points)
        for key, title, unit in COSTS
        if (points := [(getattr(model, key), model) for model in trained if getattr(model, key)])
    ]
    if not panels:
        return None
    figure = make_subplots(rows=1, cols=len(panels), shared_yaxes=True, horizontal_spacing=0.04)
    losses = [model.validation_log_loss for model in trained]
    shown = bounds(losses)
    margin = 0.06 * (shown.high - shown.low) or 0.001
    named: set[str] = set()

    def add(name: str, column: int, **trace: object) -> None:
        """A trace that is named once in the legend, whichever panel has it first."""
        figure.add_scatter(
            **trace, name=name, legendgroup=name, showlegend=name not in named, row=1, col=column, cliponaxis=False
        )
        named.add(name)

    for column, (key, title, unit, points) in enumerate(panels, start=1):
        steps = unbeaten([(x, model.validation_log_loss) for x, model in points])
        line = {"color": INK, "width": 1.6, "shape": "hv"}
        x, y = zip(*((cost, shown.place(loss)) for cost, loss in steps), strict=True)
        add("no cheaper model is better", column, x=x, y=y, mode="lines", line=line, hoverinfo="skip")
        if key in limits:
            ends = [shown.low - margin, shown.high + margin]
            line = {"color": INK, "width": 1.6, "dash": "dash"}
            hover = f"limit: {limits[key]:,g} {unit}<extra></extra>"
            add("limit", column, x=[limits[key]] * 2, y=ends, mode="lines", line=line, hovertemplate=hover)
        groups = (
            ("other finalists", DENSE, 9, "circle", lambda m: m.id != best and m.kind != BASELINE),
            ("baseline", SPARSE, 11, "diamond", lambda m: m.kind == BASELINE),
            ("best searched", BEST, 16, "star", lambda m: m.id == best and m.kind != BASELINE),
        )
        for name, color, size, symbol, belongs in groups:
            if group := [(x, model) for x, model in points if belongs(model)]:
                add(
                    name,
                    column,
                    x=[x for x, _ in group],
                    y=[shown.place(model.validation_log_loss) for _, model in group],
                    text=[model.name for _, model in group],
                    customdata=[model.validation_log_loss for _, model in group],
                    # A searched model's name is a long number; baselines are known by theirs.
                    mode="markers+text" if name == "baseline" else "markers",
                    textposition="top center",
                    textfont={"size": 11.5},
                    marker={
                        "color": color,
                        "size": size,
                        "symbol": [shown.symbol(model.validation_log_loss, symbol) for _, model in group],
                        "line": {"color": PAPER, "width": 1},
                    },
                    hovertemplate=f"<b>%{{text}}</b><br>%{{x:,.4~r}} {unit}<br>"
                    "validation log loss %{customdata:.4f}<extra></extra>",
                )
        figure.update_xaxes(axis(title, tickformat="~s", **scale([x for x, _ in points], compact)), row=1, col=column)
        figure.update_yaxes(axis("validation log loss" if column == 1 else "", **shown.axis), row=1, col=column)
    figure.update_layout(plot_layout(400))
    note_outside(figure, shown.outside)
    return figure


def proxy_figure(
    history: Sequence[Candidate], models: Sequence[Model], epochs: Mapping[str, Sequence[Epoch]], best: str | None
) -> go.Figure | None:
    """Each proxy term against the validation log loss of the finalists; None if fewer than two have both.

    Where some were dropped, all are compared when the first of them were: later, only those are left that lie closest.
    If that is not known of each, those are shown that were trained to the end.
    """
    finalists = [model for model in models if model.kind != BASELINE and not model.diverged]
    losses, when = {model.id: model.validation_log_loss for model in finalists if not model.dropped}, ""
    if any(model.dropped for model in finalists) and all(epochs.get(model.id) for model in finalists):
        measured = {model.id: {item.epoch: item for item in reversed(epochs[model.id])} for model in finalists}
        first = min(max(own) for own in measured.values())
        losses = {id_: _log_loss(own.get(first)) for id_, own in measured.items()}
        when = f" after epoch {first:.3g}"
    known = {item.id: item for item in history if losses.get(item.id) is not None}
    names = dict.fromkeys(chain(*(item.proxy for item in known.values())))
    # A proxy alone, or a loss with its sign turned, is the score.
    alone = any(all(item.score in _with_both_signs(item.proxy.get(name)) for item in known.values()) for name in names)
    keys = [*names] if alone else [*names, "score"]
    terms = [
        (PROXY_NAMES.get(key, key), pairs)
        for key in keys
        if len(pairs := [(id_, x) for id_, item in known.items() if (x := _term(item, key)) is not None]) > 1
    ]
    if not terms:
        return None
    titles = [f"<b>{name}</b>{_tau([(x, losses[id_]) for id_, x in pairs])}" for name, pairs in terms]
    figure = make_subplots(rows=1, cols=len(terms), shared_yaxes=True, horizontal_spacing=0.03, subplot_titles=titles)
    across = bounds([losses[id_] for id_ in known])
    outside = across.outside
    for column, (name, pairs) in enumerate(terms, start=1):
        shown = bounds([x for _, x in pairs])
        outside += shown.outside
        figure.add_scatter(
            x=[shown.place(x) for _, x in pairs],
            y=[across.place(losses[id_]) for id_, _ in pairs],
            text=[id_ for id_, _ in pairs],
            customdata=[[f"{x:.4g}", f"{losses[id_]:.4f}"] for id_, x in pairs],
            mode="markers",
            marker={
                "color": [BEST if id_ == best else DENSE for id_, _ in pairs],
                "symbol": [
                    across.symbol(losses[id_], shown.symbol(x, "star" if id_ == best else "circle", _ASIDE))
                    for id_, x in pairs
                ],
                "size": [15 if id_ == best else 9 for id_, _ in pairs],
                "line": {"color": PAPER, "width": 1},
            },
            hovertemplate=f"<b>%{{text}}</b><br>{name} %{{customdata[0]}}"
            "<br>validation log loss %{customdata[1]}<extra></extra>",
            row=1,
            col=column,
        )
        figure.update_xaxes(axis(name, nticks=5, **shown.axis), row=1, col=column)
        title = f"validation log loss{when}" if column == 1 else ""
        figure.update_yaxes(axis(title, **across.axis), row=1, col=column)
    figure.update_layout(plot_layout(350, showlegend=False))
    figure.update_annotations(font={"size": 13.5, "color": INK, "family": FONT})
    note_outside(figure, outside)
    return figure


def _with_both_signs(value: float | None) -> tuple[float | None, ...]:
    return (None,) if value is None else (value, -value)


def unbeaten(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """The points of cost and loss that have a lower loss than every cheaper one, cheapest first."""
    kept: list[tuple[float, float]] = []
    for cost, loss in sorted(points):
        if not kept or loss < kept[-1][1]:
            kept.append((cost, loss))
    return kept


def _level_name(fraction: float, rows: int | None) -> str:
    share = f"<b>{fraction * 100:g} %</b>"
    return share if rows is None else f"{share}<br>{rows:,} rows"


def _term(item: Candidate, key: str) -> float | None:
    return item.score if key == "score" else item.proxy.get(key)


def _log_loss(epoch: Epoch | None) -> float | None:
    return epoch.validation.log_loss if epoch and epoch.validation else None


def _tau(pairs: Sequence[tuple[float, float]]) -> str:
    """Kendall's τ for a title; of fewer than four points it says nothing, and is left out."""
    return f"  τ = {_kendall(pairs):+.2f}".replace("-", "\N{MINUS SIGN}") if len(pairs) > 3 else ""


def _kendall(pairs: Sequence[tuple[float, float]]) -> float:
    """Kendall's rank correlation, tau-a: the share of pairs in the same order minus the share in the opposite one."""
    signs = [_sign((a[0] - b[0]) * (a[1] - b[1])) for a, b in combinations(pairs, 2)]
    return sum(signs) / len(signs)


def _sign(value: float) -> int:
    return (value > 0) - (value < 0)
