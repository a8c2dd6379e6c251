"""Colours and type that the page, its figures and the drawing share."""

from __future__ import annotations

import plotly.graph_objects as go

INK = "#1d2733"
MUTED = "#66717e"
RULE = "#e3e7ec"
PAPER = "#ffffff"
DENSE = "#2468a8"
DENSE_TINT = "#e8f1fa"
SPARSE = "#c2620c"
SPARSE_TINT = "#fdf0e2"
BEST = "#0f8a5f"
DEAD = "#c3cad2"
DEAD_TEXT = "#9aa4af"
DEAD_TINT = "#f5f6f8"

FONT = "Inter, 'Segoe UI', 'Helvetica Neue', Helvetica, Arial, 'Liberation Sans', sans-serif"


def plot_layout(height: int, **more: object) -> go.Layout:
    """The look of all data figures: white, thin rules, legend above the plot."""
    return go.Layout(
        template="none",
        height=height,
        font={"family": FONT, "size": 13, "color": INK},
        paper_bgcolor=PAPER,
        plot_bgcolor=PAPER,
        margin={"l": 76, "r": 24, "t": 44, "b": 60},
        legend={"orientation": "h", "x": 0, "xanchor": "left", "y": 1.02, "yanchor": "bottom", "font": {"size": 12.5}},
        hoverlabel={"bgcolor": PAPER, "bordercolor": DEAD, "font": {"family": FONT, "size": 12.5, "color": INK}},
        hovermode="closest",
        **more,
    )


def axis(title: str, **more: object) -> dict[str, object]:
    """One axis of a data figure."""
    return {
        "title": {"text": title, "standoff": 10, "font": {"size": 13, "color": MUTED}},
        "gridcolor": RULE,
        "linecolor": DEAD,
        "showline": True,
        "zeroline": False,
        "ticks": "outside",
        "tickcolor": DEAD,
        "ticklen": 4,
        "tickfont": {"size": 12, "color": MUTED},
        **more,
    }
