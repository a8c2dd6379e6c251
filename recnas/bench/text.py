"""What simulated searches came to, in Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

SHOWN = ("1", "3", "10", "30", "100")
"""Moments that have a column of regret, in median training times, where searches are that long."""
RANKED_AT = ("30", "100")


def to_markdown(results: Mapping[str, Any]) -> str:
    """Regret over time, ranks with their critical difference, and what a search costs.

    Args:
        results: Of `run_bench`.
    """
    fit, seeds = results["fit"], results["seeds"]
    shown = [budget for budget in SHOWN if budget in results["standings"]]
    ranked = [budget for budget in RANKED_AT if budget in results["standings"]] or shown[-1:]
    order = [line["strategy"] for line in results["standings"][ranked[0]]]
    by_budget = {
        budget: {line["strategy"]: line for line in results["standings"][budget]} for budget in {*shown, *ranked}
    }
    difference = results["critical_difference"]
    apart = "" if difference is None else f"Mean ranks differ when they are {difference:.2f} apart (Nemenyi, 5 %); "
    ceiling = "" if fit["ceiling"] is None else f"; two trainings of each agree with τ {fit['ceiling']:.2f}"
    head = [
        "strategy",
        *(f"regret after {budget}" for budget in shown),
        *(f"rank after {budget}" for budget in ranked),
        f"share of random's after {ranked[0]}",
        "p",
        "s a search",
    ]
    rows = [
        [
            name,
            *(f"{by_budget[budget][name]['regret']:.4f}" for budget in shown),
            *(f"{by_budget[budget][name]['rank']:.1f}" for budget in ranked),
            _share(by_budget[ranked[0]][name]["of_random"]),
            _p_value(by_budget[ranked[0]][name]["p"]),
            f"{results['cost'][name]['seconds']:.2f}",
        ]
        for name in order
    ]
    return "\n".join(
        [
            f"Simulated searches on the table {results['table']} ({fit['candidates']} trained candidates): {seeds} of "
            "each strategy. Regret is the expected test log loss of what a search has, above the best that is known "
            f"({results['best']:.4f}); time is in median trainings of {results['unit_seconds']:.0f} s. The surrogate: "
            f"R² {fit['r2']:.2f}, τ {fit['tau']:.2f} on held-out candidates{ceiling}. {apart}p is of Wilcoxon's test "
            "against random search.",
            "",
            *_table(head, rows),
            "",
        ]
    )


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    return [f"| {' | '.join(line)} |" for line in (head, ["---"] * len(head), *rows)]


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


def _p_value(p: float | None) -> str:
    if p is None:
        return ""
    return "< 0.0001" if p < 1e-4 else f"{p:.4f}"
