"""Simulated searches → one HTML file: which strategy is ahead when, made of what `recnas bench run` found."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import plotly.graph_objects as go

from recnas.report.axes import log_scale
from recnas.report.html import duration, figure_html, fill
from recnas.report.style import INK, axis, plot_layout
from recnas.util.files import write_text

PAGE = "report.html"
SHOWN = 6
"""Strategies that are drawn at first, the best by rank; the others are a click in the legend away."""
COLORS = ("#2468a8", "#c8553d", "#3a7d44", "#8a5fa8", "#c28e0e", "#3b8ea5", "#a34a7a", "#6b7d3a", "#7a5c46", "#5c6470")
RANKED_AT = 30
"""The moment of the table of ranks, in median training times, or the one nearest to it."""
LEAST = 1e-5
"""Regret that is drawn in the place of a smaller one, as the axis is logarithmic."""


def write_strategies_page(results: Mapping[str, Any], folder: Path) -> Path:
    """Writes the page of simulated searches.

    Args:
        results: What `recnas.bench.run.run_bench` gives.
        folder: Where `report.html` is written.

    Raises:
        RunError: It cannot be written.
    """
    target = folder / PAGE
    write_text(target, _render(results))
    return target


def _render(results: Mapping[str, Any]) -> str:
    budgets = list(results["standings"])
    at = min(budgets, key=lambda budget: abs(float(budget) - RANKED_AT))
    standings = results["standings"][at]
    return fill(
        "strategies.html",
        title=results["table"],
        lead=_lead(results, standings, at),
        facts=_facts(results),
        standings=standings,
        at=at,
        apart=results["critical_difference"],
        best=standings[0]["rank"] + (results["critical_difference"] or 0.0),
        cost=results["cost"],
        figures={"regret": figure_html("regret", regret_figure(results, [line["strategy"] for line in standings]))},
    )


def regret_figure(results: Mapping[str, Any], order: list[str]) -> go.Figure:
    """Median regret of each strategy over simulated time, and its quartiles.

    Args:
        results: As in `write_strategies_page`.
        order: The strategies, in the order of the legend.
    """
    by_name = {line["strategy"]: line for line in results["anytime"]}
    figure = go.Figure()
    for place, name in enumerate(order):
        line, color = by_name[name], COLORS[place % len(COLORS)]
        visible = True if place < SHOWN or name == "random-trained" else "legendonly"
        low, high = ([max(LEAST, value) for value in line[bound]] for bound in ("low", "high"))
        budgets = line["budgets"]
        figure.add_scatter(
            x=[*budgets, *reversed(budgets)],
            y=[*high, *reversed(low)],
            fill="toself",
            fillcolor=color,
            opacity=0.12,
            line={"width": 0},
            hoverinfo="skip",
            showlegend=False,
            legendgroup=name,
            visible=visible,
        )
        figure.add_scatter(
            x=budgets,
            y=[max(LEAST, value) for value in line["median"]],
            name=name,
            legendgroup=name,
            mode="lines+markers",
            line={"color": INK if name == "random-trained" else color, "width": 2},
            marker={"size": 5},
            customdata=line["mean"],
            hovertemplate=f"<b>{name}</b><br>after %{{x:g}} trainings' time<br>median regret %{{y:.4f}}, mean "
            "%{customdata:.4f}<extra></extra>",
            visible=visible,
        )
    budgets = results["budgets"]
    regrets = [max(LEAST, value) for line in results["anytime"] for value in line["median"]]
    figure.update_layout(
        plot_layout(
            520,
            xaxis=axis("simulated time, in median trainings", **log_scale(budgets)),
            yaxis=axis("regret: test log loss above the best known", **log_scale(regrets)),
        )
    )
    return figure


def _lead(results: Mapping[str, Any], standings: list[dict[str, Any]], at: str) -> str:
    """What came of it, in a sentence or two."""
    first = standings[0]
    apart = [
        line["strategy"]
        for line in standings[1:]
        if line["rank"] <= first["rank"] + (results["critical_difference"] or 0.0)
    ]
    text = f"After the time of {at} trainings {first['strategy']} has the best mean rank, {first['rank']:.1f}"
    text += "." if first["of_random"] is None else f", and {first['of_random']:.0%} of random search's regret."
    if apart:
        text += f" Not to be told from it: {', '.join(apart)}."
    return text


def _facts(results: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The header's small print: name and value."""
    fit = results["fit"]
    return [
        ("table", results["table"]),
        ("trained candidates", f"{fit['candidates']:,}"),
        ("strategies", f"{len(results['anytime'])}"),
        ("searches of each", f"{results['seeds']}"),
        ("a median training", duration(results["unit_seconds"])),
        ("lowest test log loss known", f"{results['best']:.4f}"),
        ("surrogate", f"R² {fit['r2']:.2f}, τ {fit['tau']:.2f} on held-out candidates"),
        ("two trainings agree", "–" if fit["ceiling"] is None else f"τ {fit['ceiling']:.2f}"),
    ]
