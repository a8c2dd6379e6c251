"""The figure of gradient-boosted trees: how good the first so many of them are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import plotly.graph_objects as go

from recnas.report.axes import bounds, note_outside, scale
from recnas.report.style import BEST, DENSE, INK, SPARSE, axis, plot_layout
from recnas.runs.leaderboard import Model
from recnas.runs.reader import Epoch

MOST_LINES = 3
"""Of a family that was trained more often, as in tuning, the training alone is shown that was kept."""
_COLORS = (SPARSE, DENSE, BEST, INK)


def tree_figure(rounds: Mapping[str, Sequence[Epoch]], models: Sequence[Model]) -> go.Figure | None:
    """Log loss on validation and training rows by number of trees, a color a family; None if there is none.

    Args:
        rounds: The measurements of each family.
        models: Of the final training.
    """
    names = {model.id: model.name for model in models}
    kept = {model.id: model.training for model in models}
    figure = go.Figure(layout=plot_layout(380))
    losses: list[float] = []
    for place, (family, measured) in enumerate(rounds.items()):
        color, name = _COLORS[place % len(_COLORS)], names.get(family, family)
        trainings = dict.fromkeys(item.training for item in measured)
        if len(trainings) > MOST_LINES:
            trainings = [training for training in trainings if training == kept.get(family)]
        for number, training in enumerate(trainings):
            points = [
                item for item in measured if item.training == training and item.validation and item.validation.log_loss
            ]
            if not points:
                continue
            x, y = [item.epoch for item in points], [item.validation.log_loss for item in points]
            losses += y
            hover = f"<b>{name}</b>, %{{x:,}} trees: %{{meta}} log loss %{{y:.4f}}<extra></extra>"
            shared = {"x": x, "legendgroup": family, "hovertemplate": hover, "name": name}
            best = y.index(min(y))
            figure.add_scatter(
                y=y,
                mode="lines+markers",
                line={"color": color, "width": 2.4},
                marker={"size": [10 if index == best else 0 for index in range(len(y))], "color": color, "opacity": 1},
                meta="validation",
                showlegend=number == 0,
                **shared,
            )
            line = {"color": color, "width": 1}
            figure.add_scatter(
                y=[item.train_loss for item in points],
                mode="lines",
                line=line,
                meta="training",
                showlegend=False,
                **shared,
            )
    if not losses:
        return None
    shown = bounds(losses)
    figure.update_xaxes(axis("trees", rangemode="tozero", showgrid=False))
    figure.update_yaxes(axis("log loss", **(shown.axis or scale(losses))))
    note_outside(figure, shown.outside, ", mostly at the beginning")
    return figure
