"""The report's data figures, each a function of what the run folder holds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import accumulate, chain, combinations
from statistics import quantiles

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from recnas.report.run import BASELINE, Candidate, Epoch, Model, TrainingPoint, Warmup
from recnas.report.style import BEST, DENSE, FONT, INK, PAPER, SPARSE, axis, plot_layout

_CHILD, _INITIAL = DENSE, "#aab3bd"
_BAND = "rgba(36, 104, 168, 0.16)"
_LOG_SCALE_FROM = 4.0
"""From this ratio of the largest to the smallest log loss on, an axis is logarithmic."""
_OUTLIERS_FROM = 2.0
"""From this ratio of the whole range of scores to that without the lowest hundredth on, the hundredth is left out."""

COSTS = (
    ("flops", "multiply-accumulates a row", "MACs a row"),
    ("latency_ms", "milliseconds to predict one batch", "ms"),
)
"""Each cost that has a panel: its name, its axis, its unit."""

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
    figure.update_yaxes(axis("validation log loss", **_scale(values)))
    return figure


def training_figure(points: Sequence[TrainingPoint]) -> go.Figure | None:
    """The supernet's training loss over the rows it has seen."""
    points = [point for point in points if point.loss is not None]
    if not points:
        return None
    x, y = [point.rows for point in points], [point.loss for point in points]
    figure = go.Figure(layout=plot_layout(380))
    hover = "%{x:,} rows<br>training loss %{y:.4f}<extra></extra>"
    if len(points) < 20:
        figure.add_scatter(x=x, y=y, mode="lines+markers", line={"color": DENSE, "width": 2}, hovertemplate=hover)
        figure.update_layout(showlegend=False)
    else:
        figure.add_scatter(
            x=x, y=y, mode="lines", line={"color": _INITIAL, "width": 1}, name="as measured", hovertemplate=hover
        )
        window = max(5, len(points) // 20)
        figure.add_scatter(
            x=x,
            y=_running_mean(y, window),
            mode="lines",
            line={"color": DENSE, "width": 2.5},
            name=f"mean of the last {window}",
            hovertemplate=hover,
        )
    figure.update_xaxes(axis("training rows seen", tickformat="~s", rangemode="tozero"))
    figure.update_yaxes(axis("training loss (log loss)", **_scale(y)))
    return figure


def search_figure(history: Sequence[Candidate], finalists: Sequence[str], best: str | None) -> go.Figure:
    """Score over candidates in the order they were scored, with the best so far."""
    figure = go.Figure(layout=plot_layout(440))
    scored = [(number, item) for number, item in enumerate(history, start=1) if item.score is not None]
    groups = (
        ("random", _INITIAL, [pair for pair in scored if pair[1].iteration == 0]),
        ("children", _CHILD, [pair for pair in scored if pair[1].iteration > 0]),
    )
    for name, color, group in groups:
        if group:
            figure.add_scatter(
                **_places(group),
                mode="markers",
                name=name,
                marker={"color": color, "size": 5, "opacity": 0.65 if color == _CHILD else 1},
                hovertemplate=_CANDIDATE_HOVER,
            )
    if scored:
        figure.add_scatter(
            x=[number for number, _ in scored],
            y=list(accumulate((item.score for _, item in scored), max)),
            mode="lines",
            line={"color": INK, "width": 1.8, "shape": "hv"},
            name="best so far",
            hoverinfo="skip",
        )
    ring = {"size": 10, "color": "rgba(0,0,0,0)", "line": {"color": SPARSE, "width": 1.8}}
    star = {"size": 15, "symbol": "star", "color": BEST, "line": {"color": PAPER, "width": 1}}
    for name, marker, group in (
        ("trained in the end", ring, [pair for pair in scored if pair[1].id in finalists and pair[1].id != best]),
        ("best found", star, [pair for pair in scored if pair[1].id == best]),
    ):
        if group:
            figure.add_scatter(
                **_places(group), mode="markers", name=name, marker=marker, hovertemplate=_CANDIDATE_HOVER
            )
    figure.update_xaxes(axis("candidate, in the order of scoring", rangemode="tozero"))
    figure.update_yaxes(axis("proxy score (higher is better)", **_without_outliers([item.score for _, item in scored])))
    return figure


def cost_figure(models: Sequence[Model], best: str | None, limits: Mapping[str, float]) -> go.Figure | None:
    """Validation log loss against FLOPs and, where measured, latency, with the models that no cheaper one beats joined.

    Args:
        models: All that were trained in the end.
        best: The best model's id.
        limits: The search's bounds on `flops` and `latency_ms`, of those that have one.

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
    margin = 0.06 * (max(losses) - min(losses)) or 0.001
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
        x, y = zip(*steps, strict=True)
        add("no cheaper model is better", column, x=x, y=y, mode="lines", line=line, hoverinfo="skip")
        if key in limits:
            ends = [min(losses) - margin, max(losses) + margin]
            line = {"color": INK, "width": 1.6, "dash": "dash"}
            hover = f"limit: {limits[key]:,g} {unit}<extra></extra>"
            add("limit", column, x=[limits[key]] * 2, y=ends, mode="lines", line=line, hovertemplate=hover)
        looks = (
            ("other finalists", {"color": DENSE, "size": 9}, lambda m: m.id != best and m.kind != BASELINE),
            ("hand-made", {"color": SPARSE, "size": 11, "symbol": "diamond"}, lambda m: m.kind == BASELINE),
            (
                "best found",
                {"color": BEST, "size": 16, "symbol": "star"},
                lambda m: m.id == best and m.kind != BASELINE,
            ),
        )
        for name, marker, belongs in looks:
            if group := [(x, model) for x, model in points if belongs(model)]:
                add(
                    name,
                    column,
                    x=[x for x, _ in group],
                    y=[model.validation_log_loss for _, model in group],
                    text=[model.name for _, model in group],
                    # A found model's name is a long number; hand-made ones are known by theirs.
                    mode="markers+text" if name == "hand-made" else "markers",
                    textposition="top center",
                    textfont={"size": 11.5},
                    marker={**marker, "line": {"color": PAPER, "width": 1}},
                    hovertemplate=f"<b>%{{text}}</b><br>%{{x:,.4~r}} {unit}<br>"
                    "validation log loss %{y:.4f}<extra></extra>",
                )
        figure.update_xaxes(axis(title, tickformat="~s", **_scale([x for x, _ in points])), row=1, col=column)
        figure.update_yaxes(axis("validation log loss" if column == 1 else ""), row=1, col=column)
    figure.update_layout(plot_layout(400))
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
    for column, (name, pairs) in enumerate(terms, start=1):
        figure.add_scatter(
            x=[x for _, x in pairs],
            y=[losses[id_] for id_, _ in pairs],
            text=[id_ for id_, _ in pairs],
            mode="markers",
            marker={
                "color": [BEST if id_ == best else DENSE for id_, _ in pairs],
                "symbol": ["star" if id_ == best else "circle" for id_, _ in pairs],
                "size": [15 if id_ == best else 9 for id_, _ in pairs],
                "line": {"color": PAPER, "width": 1},
            },
            hovertemplate=f"<b>%{{text}}</b><br>{name} %{{x:.4~f}}<br>validation log loss %{{y:.4f}}<extra></extra>",
            row=1,
            col=column,
        )
        figure.update_xaxes(axis(name, nticks=5), row=1, col=column)
        figure.update_yaxes(axis(f"validation log loss{when}" if column == 1 else ""), row=1, col=column)
    figure.update_layout(plot_layout(350, showlegend=False))
    figure.update_annotations(font={"size": 13.5, "color": INK, "family": FONT})
    return figure


def _with_both_signs(value: float | None) -> tuple[float | None, ...]:
    return (None,) if value is None else (value, -value)


def final_training_figure(
    epochs: dict[str, Sequence[Epoch]], models: Sequence[Model], best: str | None
) -> go.Figure | None:
    """Validation log loss after each epoch and each rung of halving, a line a learning rate; None if there is none."""
    figure = go.Figure(layout=plot_layout(380))
    names = {model.id: model.name for model in models}
    baselines = {model.id for model in models if model.kind == BASELINE}
    dropped = {model.id for model in models if model.dropped}
    looks = (
        ("dropped", _INITIAL, 1.4, lambda id_: id_ in dropped),
        ("other finalists", DENSE if dropped else _INITIAL, 1.4, lambda id_: id_ not in {best} | baselines | dropped),
        ("hand-made", SPARSE, 2.4, lambda id_: id_ in baselines),
        ("best found", BEST, 2.6, lambda id_: id_ == best and id_ not in baselines),
    )
    values: list[float] = []
    places: set[float] = set()
    for group, color, width, belongs in looks:
        first = True
        for id_ in filter(belongs, epochs):
            for rate in dict.fromkeys(epoch.learning_rate for epoch in epochs[id_]):
                points = [
                    (epoch.epoch, epoch.validation.log_loss)
                    for epoch in epochs[id_]
                    if epoch.learning_rate == rate and epoch.validation and epoch.validation.log_loss is not None
                ]
                if not points:
                    continue
                values += [loss for _, loss in points]
                places |= {number for number, _ in points}
                end = "x" if id_ in dropped else "circle"
                figure.add_scatter(
                    x=[number for number, _ in points],
                    y=[loss for _, loss in points],
                    mode="lines+markers",
                    line={"color": color, "width": width},
                    marker={"size": 6, "symbol": ["circle"] * (len(points) - 1) + [end]},
                    name=group,
                    legendgroup=group,
                    showlegend=first,
                    hovertemplate=f"<b>{names.get(id_, id_)}</b>, learning rate {rate}<br>"
                    "epoch %{x:.3~g}: validation log loss %{y:.4f}<extra></extra>",
                )
                first = False
    if not values:
        return None
    # Where finalists were compared in the middle of a pass, these places are marked.
    ticks = {"dtick": 1} if all(place == int(place) for place in places) else {"tickvals": sorted(places)}
    figure.update_xaxes(axis("epoch", **ticks, tickformat=".3~g", showgrid=False))
    figure.update_yaxes(axis("validation log loss", **_scale(values)))
    return figure


_CANDIDATE_HOVER = (
    "<b>%{customdata[0]}</b><br>score %{y:.4~f}<br>candidate %{x}, iteration %{customdata[1]}<extra></extra>"
)


def unbeaten(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """The points of cost and loss that have a lower loss than every cheaper one, cheapest first."""
    kept: list[tuple[float, float]] = []
    for cost, loss in sorted(points):
        if not kept or loss < kept[-1][1]:
            kept.append((cost, loss))
    return kept


def _places(group: Sequence[tuple[int, Candidate]]) -> dict[str, list]:
    return {
        "x": [number for number, _ in group],
        "y": [item.score for _, item in group],
        "customdata": [[item.id, item.iteration] for _, item in group],
    }


def _level_name(fraction: float, rows: int | None) -> str:
    share = f"<b>{fraction * 100:g} %</b>"
    return share if rows is None else f"{share}<br>{rows:,} rows"


def _scale(values: Sequence[float]) -> dict[str, object]:
    """A logarithmic axis where the values spread too far for a linear one to show the small ones."""
    if values and min(values) > 0 and max(values) / min(values) > _LOG_SCALE_FROM:
        return {"type": "log", "dtick": "D2"}
    return {}


def _without_outliers(values: Sequence[float]) -> dict[str, object]:
    """A range without the lowest hundredth, if that would otherwise squeeze all others into a part of the height."""
    if len(values) < 100:
        return {}
    floor, top = quantiles(values, n=100)[0], max(values)
    if top - min(values) < _OUTLIERS_FROM * (top - floor):
        return {}
    return {"range": [floor, top + 0.05 * (top - floor)]}


def hidden_outliers(history: Sequence[Candidate]) -> int:
    """Candidates below the search figure's range."""
    values = [item.score for item in history if item.score is not None]
    shown = _without_outliers(values).get("range")
    return sum(value < shown[0] for value in values) if shown else 0


def _running_mean(values: Sequence[float], window: int) -> list[float]:
    sums = [0.0, *accumulate(values)]
    return [(sums[end] - sums[max(0, end - window)]) / min(end, window) for end in range(1, len(sums))]


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
