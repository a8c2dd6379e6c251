"""Figures of trainings: the supernet's warm-up and the final training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import accumulate

import plotly.graph_objects as go

from recnas.report.axes import scale
from recnas.report.run import BASELINE, Epoch, Model, TrainingPoint
from recnas.report.style import BEST, DENSE, SPARSE, axis, plot_layout

_PALE = "#aab3bd"

Curves = Mapping[str, Mapping[float, Sequence[TrainingPoint]]]
"""The training loss on the way, by model and learning rate."""


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
            x=x, y=y, mode="lines", line={"color": _PALE, "width": 1}, name="as measured", hovertemplate=hover
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
    figure.update_yaxes(axis("training loss (log loss)", **scale(y)))
    return figure


def shows_rows(epochs: Mapping[str, Sequence[Epoch]], curves: Curves) -> bool:
    """Whether the final training is shown over rows: of a single pass there is nothing to see at its end alone."""
    measured = [item for of_model in epochs.values() for item in of_model]
    return bool(curves) and all(item.epoch <= 1 and item.rows is not None for item in measured)


def final_training_figure(
    epochs: Mapping[str, Sequence[Epoch]], models: Sequence[Model], best: str | None, curves: Curves
) -> go.Figure | None:
    """Validation log loss after each epoch and each rung of halving, a line a learning rate; None if there is none.

    Of a single pass, the training loss on the way too, over the rows seen; of the learning rate that was kept.
    """
    figure = go.Figure(layout=plot_layout(380))
    over_rows = shows_rows(epochs, curves)
    names = {model.id: model.name for model in models}
    kept = {model.id: model.learning_rate for model in models}
    baselines = {model.id for model in models if model.kind == BASELINE}
    dropped = {model.id for model in models if model.dropped}
    looks = (
        ("dropped", _PALE, 1.4, lambda id_: id_ in dropped),
        ("other finalists", DENSE if dropped else _PALE, 1.4, lambda id_: id_ not in {best} | baselines | dropped),
        ("hand-made", SPARSE, 2.4, lambda id_: id_ in baselines),
        ("best found", BEST, 2.6, lambda id_: id_ == best and id_ not in baselines),
    )
    values: list[float] = []
    places: set[float] = set()
    named: set[str] = set()

    def add(group: str, hover: str, **trace: object) -> None:
        """A trace that is named once in the legend for its group."""
        figure.add_scatter(
            **trace,
            name=group,
            legendgroup=group,
            showlegend=group not in named,
            hovertemplate=f"{hover}<extra></extra>",
        )
        named.add(group)

    for group, color, width, belongs in looks:
        for id_ in filter(belongs, dict.fromkeys((*epochs, *(curves if over_rows else ())))):
            for rate, points in curves.get(id_, {}).items() if over_rows else ():
                if (id_ in kept and kept[id_] not in (rate, None)) or not points:
                    continue
                losses = _running_mean([point.loss for point in points], max(1, len(points) // 20))
                values += losses
                add(
                    group,
                    f"<b>{names.get(id_, id_)}</b>, learning rate {rate}<br>%{{x:,}} rows: training loss %{{y:.4f}}",
                    x=[point.rows for point in points],
                    y=losses,
                    mode="lines",
                    line={"color": color, "width": width * 0.7},
                )
            for rate in dict.fromkeys(epoch.learning_rate for epoch in epochs.get(id_, ())):
                measured = [
                    (epoch.rows if over_rows else epoch.epoch, epoch.validation.log_loss)
                    for epoch in epochs[id_]
                    if epoch.learning_rate == rate and epoch.validation and epoch.validation.log_loss is not None
                ]
                if not measured:
                    continue
                x, y = zip(*measured, strict=True)
                values += y
                places |= set(x)
                end = "x" if id_ in dropped else "circle"
                at = "%{x:,} rows" if over_rows else "epoch %{x:.3~g}"
                add(
                    group,
                    f"<b>{names.get(id_, id_)}</b>, learning rate {rate}<br>{at}: validation log loss %{{y:.4f}}",
                    x=x,
                    y=y,
                    mode="markers" if over_rows else "lines+markers",
                    line={"color": color, "width": width},
                    marker={"size": 8 if over_rows else 6, "symbol": ["circle"] * (len(x) - 1) + [end], "color": color},
                    cliponaxis=False,
                )
    if not values:
        return None
    if over_rows:
        figure.update_xaxes(axis("training rows seen", tickformat="~s", rangemode="tozero", showgrid=False))
        figure.update_yaxes(axis("log loss", **scale(values)))
        return figure
    # Where finalists were compared in the middle of a pass, these places are marked.
    ticks = {"dtick": 1} if all(place == int(place) for place in places) else {"tickvals": sorted(places)}
    figure.update_xaxes(axis("epoch", **ticks, tickformat=".3~g", showgrid=False))
    figure.update_yaxes(axis("validation log loss", **scale(values)))
    return figure


def _running_mean(values: Sequence[float], window: int) -> list[float]:
    sums = [0.0, *accumulate(values)]
    return [(sums[end] - sums[max(0, end - window)]) / min(end, window) for end in range(1, len(sums))]
