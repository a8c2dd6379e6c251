"""The table: mean test log losses over seeds, and paired differences to the search's ensemble."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.outcome.methods import METHODS, TITLES
from benchmarks.outcome.models import labels_of
from benchmarks.outcome.results import ENSEMBLE, folder_of, read_outcome, read_predictions, row_losses

REFERENCE = ("search", ENSEMBLE)
"""What all others are compared with: a method, and one of its models."""
DRAWS = 2000
ROWS_AT_ONCE = 200
"""Draws of rows that are made at once."""


@dataclass(frozen=True)
class Difference:
    """The reference's mean test log loss less another's: below 0 the reference is better.

    Attributes:
        mean: Over seeds and rows.
        low, high: The 95 % interval.
        p: Two-sided.
        seeds: How many both have.
    """

    mean: float
    low: float
    high: float
    p: float
    seeds: int

    def __str__(self) -> str:
        return f"{self.mean:+.4f} ({self.low:+.4f} … {self.high:+.4f})"


def table(output: Path, data: Sequence[Path], minutes: Sequence[float], seeds: int) -> str:
    """All that has ended, as Markdown."""
    lines = [
        "| data | minutes | method | seeds | validation | test log loss | AUC | s | search's ensemble less this | p |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for folder in data:
        for time in minutes:
            lines += _rows(output, folder, time, seeds)
    return "\n".join(lines) + "\n"


def difference(ours: np.ndarray, theirs: np.ndarray, seed: int = 0) -> Difference:
    """Compares the losses of two methods on the same rows with the same seeds.

    The interval is of a bootstrap that draws seeds and, independently, rows. With one seed it is of the rows alone.

    Args:
        ours: `[S, N]`, of the reference.
        theirs: `[S, N]`.
        seed: Of the draws.
    """
    gaps, rng = ours - theirs, np.random.default_rng(seed)
    seeds, rows = gaps.shape
    means = np.empty((DRAWS, seeds))
    for start in range(0, DRAWS, ROWS_AT_ONCE):
        # How often each row is drawn: Poisson numbers are as good as multinomial ones, and cheaper.
        times = rng.poisson(1.0, size=(min(ROWS_AT_ONCE, DRAWS - start), rows)).astype(np.float32)
        means[start : start + len(times)] = times @ gaps.T.astype(np.float32) / times.sum(axis=1, keepdims=True)
    drawn = np.take_along_axis(means, rng.integers(seeds, size=(DRAWS, seeds)), axis=1).mean(axis=1)
    low, high = np.quantile(drawn, [0.025, 0.975])
    p = 2 * min((drawn <= 0).mean(), (drawn >= 0).mean())
    return Difference(float(gaps.mean()), float(low), float(high), float(np.clip(p, 1 / DRAWS, 1)), seeds)


def _rows(output: Path, data: Path, minutes: float, seeds: int) -> Iterator[str]:
    """Those of a data set in a time, the best test log loss first."""
    found: dict[tuple[str, str], dict[int, Mapping[str, Any]]] = {}
    for method in METHODS:
        for seed in range(seeds):
            result = read_outcome(folder_of(output, data, seed, minutes, method))
            for model, figures in (result or {"models": {}})["models"].items():
                found.setdefault((method, model), {})[seed] = figures | {"seconds": result["seconds"]}
    if not found:
        return
    labels = labels_of(data)["test"]

    def losses(which: tuple[str, str], of_seeds: Sequence[int]) -> np.ndarray:
        folders = [folder_of(output, data, seed, minutes, which[0]) for seed in of_seeds]
        return np.stack([row_losses(read_predictions(folder, which[1], "test"), labels) for folder in folders])

    def mean(which: tuple[str, str], split: str, figure: str) -> float:
        return statistics.mean(item[split][figure] for item in found[which].values())

    for which in sorted(found, key=lambda which: mean(which, "test", "log_loss")):
        both = sorted(set(found[which]) & set(found.get(REFERENCE, {})))
        compared, p = "", ""
        if which != REFERENCE and both:
            gap = difference(losses(REFERENCE, both), losses(which, both))
            compared, p = str(gap), f"{gap.p:.2g}"
        seconds = statistics.mean(item["seconds"] for item in found[which].values())
        cells = [
            data.name,
            f"{minutes:g}",
            f"{TITLES[which[0]]}, {which[1]}",
            str(len(found[which])),
            f"{mean(which, 'validation', 'log_loss'):.4f}",
            f"{mean(which, 'test', 'log_loss'):.4f}",
            f"{mean(which, 'test', 'auc'):.4f}",
            f"{seconds:.0f}",
            compared,
            p,
        ]
        yield f"| {' | '.join(cells)} |"
