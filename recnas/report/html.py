"""Means that all pages are made with: templates, figures as HTML, and numbers as text."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import plotly.graph_objects as go
from jinja2 import BaseLoader, ChoiceLoader, Environment, FileSystemLoader, PackageLoader, StrictUndefined
from markupsafe import Markup

from recnas.report import style

PLACES = 4
"""Decimal places of a log loss or an AUC."""
_PLOTLY = Path(__file__).with_name("plotly") / "plotly-basic.min.js"
"""Plotly's published bundle of scatter, bar and pie: a quarter of the whole library, which the plotly package holds."""
NOTHING = "\N{EN DASH}"
"""Stands for a number that there is none of."""


def fill(template: str, folder: Path | None = None, **values: Any) -> str:
    """A page that needs nothing else to be looked at: the template with these values, its style and Plotly in it.

    Args:
        template: The name of the template's file.
        folder: The template's folder, if it is not one of the report's own; it may include those.
        **values: What it asks for.
    """
    loaders: list[BaseLoader] = [PackageLoader("recnas.report", ".")]
    if folder is not None:
        loaders.append(FileSystemLoader(folder))
    environment = Environment(
        loader=ChoiceLoader(loaders), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    environment.filters.update(decimals=decimals, count=count, compact=compact, percent=percent, duration=duration)
    return environment.get_template(template).render(
        style=style, plotly=Markup(_PLOTLY.read_text(encoding="utf-8")), **values
    )


def figure_html(name: str, figure: go.Figure | None) -> Markup | None:
    """A figure as a part of a page; None if there is none."""
    if figure is None:
        return None
    # A figure with several panels has Plotly's own look to begin with, which a layout is only laid over.
    figure.layout.template = "none"
    config = {"displaylogo": False, "responsive": name != "drawing", "displayModeBar": False}
    return Markup(figure.to_html(full_html=False, include_plotlyjs=False, div_id=f"figure-{name}", config=config))


def decimals(value: float | None, places: int = PLACES) -> str:
    """A number with so many decimals, such as 0.5681."""
    return NOTHING if value is None else f"{value:.{places}f}"


def count(value: float | None) -> str:
    """A whole number in groups of three digits, such as 1,747,477."""
    return NOTHING if value is None else f"{value:,.0f}"


def compact(value: float | None) -> str:
    """1.75 M rather than 1,747,477."""
    if value is None:
        return NOTHING
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:.3g} {letter}"
    return f"{value:g}"


def percent(share: float, places: int = 1) -> str:
    """A share in percent, such as 12.5%."""
    return f"{share:.{places}%}"


def duration(seconds: float | None) -> str:
    """42 s, 12 min, or 3 h 5 min."""
    if seconds is None:
        return NOTHING
    if seconds < 120:
        return f"{seconds:.3g} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60} min"
