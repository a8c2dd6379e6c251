"""SiGeo's ablation, small: the best candidates by ZiCo, by FR norm, by loss and by SiGeo, trained from scratch.

In the paper (Section 4.5, Figure 4) the top 15 models that each proxy selects are trained from scratch, after 1 % of
warm-up and "following the same configuration" as its main experiment: a regularised evolution for each proxy. So **each
criterion has a search of its own** here, and does not choose from one common pool; with the same seed all begin with
the same random candidates and the same supernet. Each has the sign that it has in SiGeo: ZiCo and log FR high first,
loss low first.

What differs from the paper: the data set, the size of the searches (`--candidates`; the paper's are of 2,048), and two
criteria more. The paper names ZiCo, the FR norm and SiGeo; the loss is SiGeo's third term, and random candidates are
what a criterion has to be better than. All models are trained with the same budget at one learning rate, and one that
two criteria find is trained once. The paper gives box plots without numbers, so there is none to stand beside.

Quartiles are interpolated between models. Times are seconds of one core, those of the first search with
what is compiled at its start.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import plotly.graph_objects as go
from plotly.colors import hex_to_rgb

from benchmarks.paper.runs import RANDOM, Method, Runs
from benchmarks.paper.sections import Section
from recnas.proxies.expression import SIGEO
from recnas.report.html import NOTHING, compact, decimals
from recnas.report.study_figures import loss_range
from recnas.report.style import BEST, DENSE, INK, MUTED, PAPER, SPARSE, axis, plot_layout
from recnas.study.text import to_csv
from recnas.study.trainings import RepetitionResult

TITLE = "Ablation: what each term of SiGeo finds"
MODELS = "models.csv"
HEADER = (
    "criterion",
    "models",
    "best",
    "lower quartile",
    "median",
    "upper quartile",
    "worst",
    "dense\nparameters",
    "search,\nseconds",
)
CRITERIA = (("ZiCo", "zico", DENSE), ("FR", "fr", SPARSE), ("loss", "loss", "#7a4fa3"), ("SiGeo", SIGEO, BEST))
"""Their names, how `recnas search --proxy` calls them, and their colours."""


@dataclass(frozen=True)
class Model:
    """One of a criterion's best.

    Attributes:
        criterion: Whose.
        seed: Of search and training.
        place: In its search, from 1.
        macs: Multiply–accumulates a row.
        result: What came of its training.
    """

    criterion: Method
    seed: int
    place: int
    macs: int
    result: RepetitionResult

    def row(self) -> dict[str, Any]:
        """Its line of `models.csv`; no figures when the training diverged."""
        result = self.result
        return {
            "criterion": self.criterion.name,
            "warmup": self.criterion.warmup,
            "seed": self.seed,
            "place": self.place,
            "id": result.id,
            "validation": result.validation and result.validation.to_json(),
            "test": result.test and result.test.to_json(),
            "parameters": result.parameters,
            "macs": self.macs,
            "seconds": result.seconds,
        }


def run(runs: Runs, output: Path, best: int, warmups: Sequence[float], seeds: int) -> Section:
    """Searches by each criterion, trains what it finds best, and writes what came of it.

    Args:
        runs: Does the searches and the trainings.
        output: Folder of the files.
        best: Models of each criterion.
        warmups: Amounts of warm-up.
        seeds: How often it all is done; a box holds the models of all seeds.

    Raises:
        RunError: A warm-up diverged.
    """
    methods = [Method(name, score, amount) for amount in warmups for name, score, _ in CRITERIA] + [RANDOM]
    models: dict[Method, list[Model]] = {method: [] for method in methods}
    seconds: dict[Method, float] = dict.fromkeys(methods, 0.0)
    for seed in range(seeds):
        chosen = {}
        for method in methods:
            ranked = runs.search(method, seed)
            chosen[method] = ranked.archs[:best]
            seconds[method] += ranked.seconds / seeds
        trained = runs.train([arch for archs in chosen.values() for arch in archs], seed)
        for method, archs in chosen.items():
            models[method] += [
                Model(method, seed, place, runs.macs(arch), trained[arch.id])
                for place, arch in enumerate(archs, start=1)
            ]
    return _write(runs, output, best, seeds, models, seconds)


def _write(
    runs: Runs,
    output: Path,
    best: int,
    seeds: int,
    models: dict[Method, list[Model]],
    seconds: dict[Method, float],
) -> Section:
    settings = runs.settings
    losses = {method: _losses(items) for method, items in models.items()}
    everything = [loss for values in losses.values() for loss in values]
    distinct = len({(item.seed, item.result.id) for items in models.values() for item in items})
    paragraphs = [
        f"{runs.data_name}, {settings.block_space}: best {best} of {settings.evolution.candidates:,} candidates, by a "
        f"search of its own for each criterion{'' if seeds == 1 else f' and each of {seeds} seeds'}, trained from "
        f"scratch on {runs.dataset.rows('train'):,} rows. {distinct} distinct models; test log loss, lower is better. "
        f"Random candidates have no ranking. Search: seconds of one core for warm-up and scores."
    ]
    if diverged := distinct - len({(m.seed, m.result.id) for items in models.values() for m in items if m.result.test}):
        paragraphs.append(f"{diverged} trainings diverged and are left out.")
    medians = {method: float(np.median(values)) for method, values in losses.items() if values}
    lowest = min(medians, key=medians.__getitem__, default=None)
    section = Section(
        TITLE,
        tuple(paragraphs),
        HEADER,
        tuple(_cells(method, items, seconds[method]) for method, items in models.items()),
        (MODELS,),
        tuple("best" if method == lowest else "baseline" if method == RANDOM else "" for method in models),
        box_plot(losses, models) if everything else None,
    )
    section.save(output, {MODELS: to_csv([item.row() for items in models.values() for item in items])})
    return section


def _losses(models: Sequence[Model]) -> list[float]:
    """Test log losses of those that did not diverge."""
    return [item.result.test.log_loss for item in models if item.result.test is not None]


def _cells(method: Method, models: Sequence[Model], seconds: float) -> tuple[str, ...]:
    losses = _losses(models)
    quartiles = np.quantile(losses, (0, 0.25, 0.5, 0.75, 1)).tolist() if losses else [None] * 5
    parameters = compact(float(np.mean([item.result.parameters for item in models]))) if models else NOTHING
    return (method.label, str(len(losses)), *map(decimals, quartiles), parameters, f"{seconds:,.0f}")


def box_plot(losses: dict[Method, list[float]], models: dict[Method, list[Model]]) -> go.Figure:
    """A box for each criterion over the test log losses of its models, each of which is a point."""
    colors = {score: color for _, score, color in CRITERIA}
    low, high = loss_range([loss for values in losses.values() for loss in values])
    figure = go.Figure(layout=plot_layout(480, showlegend=False))
    for method, values in losses.items():
        color = colors.get(method.score, MUTED)
        sound = [item for item in models[method] if item.result.test is not None]
        figure.add_box(
            y=values,
            name=method.label.replace(", ", "<br>"),
            boxpoints="all",
            jitter=0.6,
            pointpos=0,
            whiskerwidth=0.4,
            line={"color": color, "width": 1.6},
            fillcolor=f"rgba{(*hex_to_rgb(color), 0.13)}",
            marker={"color": color, "size": 8, "opacity": 0.75, "line": {"color": PAPER, "width": 1}},
            text=[f"{item.result.id}, place {item.place} of seed {item.seed}" for item in sound],
            hoveron="points",
            hovertemplate="<b>%{text}</b><br>test log loss %{y:.4f}<extra></extra>",
        )
        if above := sum(value > high for value in values):
            figure.add_annotation(
                x=method.label.replace(", ", "<br>"),
                y=1,
                yref="paper",
                text=f"↑ {above} more",
                showarrow=False,
                yanchor="bottom",
                font={"size": 12, "color": MUTED},
            )
    figure.update_xaxes(axis("", ticks="", tickfont={"size": 13, "color": INK}))
    figure.update_yaxes(axis("test log loss", range=[low, high], nticks=8))
    return figure
