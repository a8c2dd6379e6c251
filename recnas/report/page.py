"""A run folder → one HTML file that needs nothing else to be looked at, not even a network."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import plotly.graph_objects as go
from markupsafe import Markup

from recnas.report import figures, joint_search, training_figures
from recnas.report.calibration_figure import calibration_figure
from recnas.report.drawing import draw_architecture, operator_names, output_name
from recnas.report.html import NOTHING, compact, figure_html, fill
from recnas.report.importance import what_mattered
from recnas.report.study import study_page
from recnas.report.summary import outcome, ranked, searched_model
from recnas.report.tree_figure import tree_figure
from recnas.report.wiring import DENSE, LEFT, RIGHT, SPARSE, connections, takes_products
from recnas.runs.folder import command_of
from recnas.runs.leaderboard import Results
from recnas.runs.reader import Run, read_run
from recnas.space import Architecture
from recnas.study.settings import StudySettings
from recnas.util.files import write_text

REPORT = "report.html"


def write_report(run: Path | str) -> Path:
    """Writes a run's `report.html`.

    Args:
        run: The folder of a search, finished or not: what has not happened yet is said in the report. Or that of a
            finished study.

    Returns:
        The path of the report, `run/report.html`.

    Raises:
        InputError: The folder is missing or no run's, its study has not ended, or one of its files is damaged.
        RunError: The report cannot be written.
    """
    run = Path(run)
    page = study_page(run) if command_of(run) == StudySettings.command else render_report(read_run(run))
    target = run / REPORT
    write_text(target, page)
    return target


def render_report(run: Run) -> str:
    """The report as HTML text."""
    return fill(
        "template.html",
        run=run,
        title=_data_name(run),
        facts=_facts(run),
        outcome=outcome(run),
        models=ranked(run),
        ensemble=run.results.ensemble if run.results else None,
        compared=run.results.comparison if run.results else None,
        timed=any(model.latency_ms is not None for model in ranked(run)),
        front=run.results.front if run.results else (),
        best_id=run.results.best if run.results else None,
        over_rows=training_figures.shows_rows(run.epochs, run.curves),
        best_searched_id=_best_searched(run),
        unscored=sum(candidate.score is None for candidate in run.history),
        sources=joint_search.sources(run.history) if run.trains else (),
        proxies=joint_search.proxies(run.history, run.proxies) if run.trains else (),
        mattered=what_mattered(run.history) if run.trains else None,
        figures=_figures(run),
        rows_in_words=_in_words(run.best_architecture) if run.best_architecture else (),
    )


def _figures(run: Run) -> dict[str, Markup | None]:
    """Every section's figure as HTML, None where the run has nothing for it."""
    models = run.results.models if run.results else ()
    best = _best_searched(run)
    finalists = [model.id for model in models]
    makers: dict[str, Callable[[], go.Figure | None]] = {
        "calibration": lambda: calibration_figure(run.results) if run.results else None,
        "cost": lambda: figures.cost_figure(models, best, _cost_limits(run)),
        "warmup": lambda: figures.warmup_figure(run.warmup) if run.warmup else None,
        "training": lambda: training_figures.training_figure(run.training),
        "search": lambda: _search_figure(run, finalists, best),
        "proxy": lambda: None if run.trains else figures.proxy_figure(run.history, models, run.epochs, best),
        "final": lambda: training_figures.final_training_figure(run.epochs, models, best, run.curves),
        "trees": lambda: tree_figure(run.tree_rounds, models),
        "drawing": lambda: draw_architecture(run.best_architecture, run.data) if run.best_architecture else None,
    }
    return {name: figure_html(name, make()) for name, make in makers.items()}


def _search_figure(run: Run, finalists: list[str], best: str | None) -> go.Figure | None:
    if run.trains:
        return joint_search.search_figure(run.history)
    return figures.search_figure(run.history, finalists, best) if run.history else None


def _best_searched(run: Run) -> str | None:
    """The id of the best searched model."""
    return model.id if (model := searched_model(run)) else None


def _data_name(run: Run) -> str:
    if run.results and run.results.data_name:
        return run.results.data_name
    data = run.setting("data")
    return Path(str(data)).name if data else run.path.name


def _facts(run: Run) -> list[tuple[str, str]]:
    """The header's small print: name and value."""
    results = run.results
    rows = results.rows if results else {}
    facts = [
        ("rows", " · ".join(_counted(results, split) for split in rows) or None),
        ("click rate", f"{results.positive_rate:.2%}" if results and results.positive_rate is not None else None),
        ("search space", ((results.space if results else None) or run.setting("space")) if run.searches else None),
        ("objectives", ", ".join(objectives) if len(objectives := run.setting("objectives") or ()) > 1 else None),
        ("limits", _limits_in_words(run)),
        ("candidates", _candidates(run)),
        ("budget", run.setting("budget") if run.trains else None),
        ("re-ranked", f"{len(run.reranked):,} candidates" if run.reranked else None),
        ("last changed", f"{run.changed:%Y-%m-%d %H:%M}"),
        ("learning rates tried", _learning_rates(run)),
        ("seed", run.setting("seed")),
        ("recnas", run.setting("version")),
    ]
    return [(name, str(value)) for name, value in facts if value is not None]


def _counted(results: Results, split: str) -> str:
    """How many rows of a split a run has used, and of how many."""
    there = results.of_rows.get(split)
    return f"{results.rows[split]:,} {'' if there is None else f'of {there:,} '}{split}"


def _candidates(run: Run) -> str | None:
    """How many were explored."""
    if run.trains:
        return f"{len({item.candidate for item in run.history}):,} trained"
    return f"{len(run.history):,} scored" if run.history else None


def _learning_rates(run: Run) -> str | None:
    """The learning rates of the baselines, and of the best candidate; None where there was nothing to choose."""
    others = run.setting("final.other_learning_rates") or ()
    rates = sorted({run.setting("final.optimization.learning_rate"), *others} - {None})
    return " · ".join(f"{rate:g}" for rate in rates) if len(rates) > 1 else None


def _cost_limits(run: Run) -> dict[str, float]:
    """The bounds that the search was given on what a figure shows."""
    bounds = {"macs": run.setting("limits.max_macs"), "latency_ms": run.setting("limits.max_latency_ms")}
    return {name: bound for name, bound in bounds.items() if bound is not None}


def _limits_in_words(run: Run) -> str | None:
    macs, parameters, latency = (
        run.setting(f"limits.{name}") for name in ("max_macs", "max_parameters", "max_latency_ms")
    )
    words = [
        f"{compact(macs)} MACs a row" if macs is not None else None,
        f"{compact(parameters)} dense parameters" if parameters is not None else None,
        f"{latency:g} ms for {run.setting('limits.latency_batch'):,} rows" if latency is not None else None,
    ]
    return " · ".join(word for word in words if word) or None


def _in_words(arch: Architecture) -> list[dict[str, Any]]:
    """The drawing as a table: a row a block, with what it reads and whether it counts."""
    links = connections(arch)
    rows = []
    for index, (block, live) in enumerate(zip(arch.blocks, arch.live(), strict=True), start=1):
        read: dict[str, list[str]] = {DENSE: [], SPARSE: []}
        for link in links:
            if link.reader == index:
                role = f"{link.role} " if link.role in (LEFT, RIGHT) else ""
                read[link.kind].append(f"{role}{output_name(link.kind, link.source)}")
        rows.append(
            {
                "index": index,
                "live": live,
                "dense": operator_names(block.dense_operators) or "none",
                "dense_width": None if block.sets_width else block.dense_width,
                "takes_products": takes_products(block),
                "reads_dense": ", ".join(read[DENSE]) or NOTHING,
                "sparse": operator_names(block.sparse_operators) or "none",
                "sparse_width": block.sparse_width,
                "reads_sparse": ", ".join(read[SPARSE]) or NOTHING,
                "dense_to_sparse": block.dense_to_sparse,
                "fm": block.fm,
            }
        )
    return rows
