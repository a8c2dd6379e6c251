"""Figures of trainings: the supernet's warm-up and the final training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate

import plotly.graph_objects as go

from recnas.candidates.network import BASELINE
from recnas.report.axes import Bounds, all_of, bounds, note_outside, scale
from recnas.report.style import BEST, DENSE, SPARSE, axis, plot_layout
from recnas.runs.leaderboard import Model
from recnas.runs.reader import Epoch, TrainingPoint

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
    _show_losses(figure, "training loss (log loss)", y)
    return figure


MOST_LINES = 4
"""Trainings of one model that are drawn."""


def shows_rows(epochs: Mapping[str, Sequence[Epoch]], curves: Curves) -> bool:
    """Whether the final training is shown over rows: of a single pass there is nothing to see at its end alone."""
    measured = [item for of_model in epochs.values() for item in of_model]
    return bool(curves) and all(item.epoch <= 1 and item.rows is not None for item in measured)


def final_training_figure(
    epochs: Mapping[str, Sequence[Epoch]], models: Sequence[Model], best: str | None, curves: Curves
) -> go.Figure | None:
    """Validation log loss where it was measured, a line a training; None if there is none.

    Of a single pass, the training loss on the way too, over the rows seen, of the training that was kept. Of a model
    that was trained more often than `MOST_LINES` times, as in tuning, that one alone is shown.
    """
    figure = go.Figure(layout=plot_layout(380))
    over_rows = shows_rows(epochs, curves)
    names = {model.id: model.name for model in models}
    kept = {model.id: model.training for model in models}
    baselines = {model.id for model in models if model.kind == BASELINE}
    dropped = {model.id for model in models if model.dropped}
    groups = (
        ("dropped", _PALE, 1.4, lambda id_: id_ in dropped),
        ("other finalists", DENSE if dropped else _PALE, 1.4, lambda id_: id_ not in {best} | baselines | dropped),
        ("baseline", SPARSE, 2.4, lambda id_: id_ in baselines),
        ("best searched", BEST, 2.6, lambda id_: id_ == best and id_ not in baselines),
    )
    drawn: list[_Line] = []
    for group, color, width, belongs in groups:
        for id_ in filter(belongs, dict.fromkeys((*epochs, *(curves if over_rows else ())))):
            trainings = {epoch.training: epoch.learning_rate for epoch in epochs.get(id_, ())}
            start = f"<b>{names.get(id_, id_)}</b>, learning rate"
            for training, points in curves.get(id_, {}).items() if over_rows else ():
                if points and kept.get(id_) in (training, None):
                    rate = trainings.get(training)
                    losses = _running_mean([point.loss for point in points], max(1, len(points) // 20))
                    rows = [point.rows for point in points]
                    drawn.append(_Line(group, color, width * 0.7, f"{start} {rate}", rows, losses, "training"))
            for training, rate in trainings.items():
                if len(trainings) > MOST_LINES and training != kept.get(id_):
                    continue
                measured = [
                    (epoch.rows if over_rows else epoch.epoch, epoch.validation.log_loss)
                    for epoch in epochs[id_]
                    if epoch.training == training and epoch.validation and epoch.validation.log_loss is not None
                ]
                if measured:
                    x, y = zip(*measured, strict=True)
                    drawn.append(_Line(group, color, width, f"{start} {rate}", x, y, "validation log", id_ in dropped))
    if not drawn:
        return None
    losses = [loss for line in drawn for loss in line.y]
    shown = bounds(losses) if over_rows else all_of(losses)
    for place, line in enumerate(drawn):
        named = any(line.group == before.group for before in drawn[:place])
        figure.add_scatter(**line.trace(over_rows, shown), showlegend=not named)
    if over_rows:
        figure.update_xaxes(axis("training rows seen", tickformat="~s", rangemode="tozero", showgrid=False))
        _show_losses(figure, "log loss", losses)
        return figure
    # Where finalists were compared in the middle of a pass, these places are marked.
    places = {place for line in drawn for place in line.x}
    ticks = {"dtick": 1} if all(place == int(place) for place in places) else {"tickvals": sorted(places)}
    figure.update_xaxes(axis("epoch", **ticks, tickformat=".3~g", showgrid=False))
    figure.update_yaxes(axis("validation log loss", **scale(losses)))
    return figure


@dataclass(frozen=True)
class _Line:
    """The line of one training: its training loss on the way, or the validation log losses that were measured."""

    group: str
    color: str
    width: float
    name: str
    x: Sequence[float]
    y: Sequence[float]
    kind: str
    dropped: bool = False

    def trace(self, over_rows: bool, shown: Bounds) -> dict[str, object]:
        """For Plotly; a log loss that was measured beyond what is shown is at its edge."""
        at = "%{x:,} rows" if over_rows else "epoch %{x:.3~g}"
        trace: dict[str, object] = {
            "x": self.x,
            "y": self.y,
            "mode": "lines",
            "name": self.group,
            "legendgroup": self.group,
            "line": {"color": self.color, "width": self.width},
            "customdata": self.y,
            "hovertemplate": f"{self.name}<br>{at}: {self.kind} loss %{{customdata:.4f}}<extra></extra>",
        }
        if self.kind == "training":
            return trace
        ends = ["circle"] * (len(self.y) - 1) + ["x" if self.dropped else "circle"]
        symbols = [shown.symbol(loss, end) for loss, end in zip(self.y, ends, strict=True)]
        return trace | {
            "y": [shown.place(loss) for loss in self.y],
            "mode": "markers" if over_rows else "lines+markers",
            "marker": {"size": 8 if over_rows else 6, "symbol": symbols, "color": self.color},
            "cliponaxis": False,
        }


def _show_losses(figure: go.Figure, title: str, losses: Sequence[float]) -> None:
    """The axis of curves over rows: what is far above the rest, as first steps mostly are, is left out and counted."""
    shown = bounds(losses)
    figure.update_yaxes(axis(title, **(shown.axis or scale(losses))))
    note_outside(figure, shown.outside, ", mostly at the beginning")


def _running_mean(values: Sequence[float], window: int) -> list[float]:
    sums = [0.0, *accumulate(values)]
    return [(sums[end] - sums[max(0, end - window)]) / min(end, window) for end in range(1, len(sums))]
