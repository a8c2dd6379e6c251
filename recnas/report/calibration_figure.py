"""Whether rows are clicked as often as the best model, and the ensemble, predict."""

from __future__ import annotations

import math
from collections.abc import Sequence

import plotly.graph_objects as go

from recnas.candidates.evaluation import CalibrationBin
from recnas.report.axes import scale
from recnas.report.style import BEST, DENSE, MUTED, axis, plot_layout
from recnas.runs.leaderboard import Results

_Z = 1.96
"""Standard errors on either side that hold 95 %."""
_RARE = 0.3
"""A click rate below which clicks are rare, even of the rows that are most likely clicked."""


def calibration_figure(results: Results) -> go.Figure | None:
    """The share of clicks over the mean prediction, of rows with alike predictions; None where nobody told it."""
    best = next((model for model in results.models if model.id == results.best), None)
    shown = [("best model", BEST, () if best is None else best.calibration)]
    if results.ensemble is not None:
        shown.append(("ensemble", DENSE, results.ensemble.calibration))
    shown = [(name, color, bins) for name, color, bins in shown if bins]
    if not shown:
        return None
    figure = go.Figure(layout=plot_layout(420))
    # Nothing can be seen of a bin without clicks on a logarithmic axis.
    values = [value for _, _, bins in shown for item in bins for value in (item.predicted, item.clicked) if value > 0]
    ends = [min(values), max(values)]
    figure.add_scatter(
        x=ends,
        y=ends,
        mode="lines",
        line={"color": MUTED, "width": 1, "dash": "dot"},
        hoverinfo="skip",
        showlegend=False,
    )
    for name, color, bins in shown:
        intervals = [wilson(item) for item in bins]
        figure.add_scatter(
            x=[item.predicted for item in bins],
            y=[item.clicked for item in bins],
            error_y={
                "type": "data",
                "symmetric": False,
                "array": [high - item.clicked for item, (_, high) in zip(bins, intervals, strict=True)],
                "arrayminus": [item.clicked - low for item, (low, _) in zip(bins, intervals, strict=True)],
                "thickness": 1.2,
                "width": 3,
            },
            mode="lines+markers",
            line={"color": color, "width": 1.4},
            marker={"size": 8},
            name=name,
            customdata=[[item.rows, low, high] for item, (low, high) in zip(bins, intervals, strict=True)],
            hovertemplate=f"<b>{name}</b><br>predicted %{{x:.4g}}<br>clicked %{{y:.4g}}, 95 %: %{{customdata[1]:.4g}} "
            "to %{customdata[2]:.4g}<br>%{customdata[0]:,} rows<extra></extra>",
        )
    figure.update_xaxes(axis("mean predicted probability", **_scale(ends)))
    figure.update_yaxes(axis("share of clicks", **_scale(ends)))
    return figure


def wilson(item: CalibrationBin) -> tuple[float, float]:
    """The interval of 95 % of a bin's click rate (Wilson 1927); also where no row, or each, was clicked."""
    share, rows = item.clicked, item.rows
    center = (share + _Z**2 / (2 * rows)) / (1 + _Z**2 / rows)
    half = _Z * math.sqrt(share * (1 - share) / rows + _Z**2 / (4 * rows**2)) / (1 + _Z**2 / rows)
    return max(0.0, center - half), min(1.0, center + half)


def _scale(ends: Sequence[float]) -> dict[str, object]:
    """A logarithmic axis where clicks are rare: most rows would be in a corner."""
    return scale(ends) if ends[1] < _RARE else {}
