"""How many rows a search learns from, where a log is too large for its budget in time."""

from __future__ import annotations

import statistics
import tempfile
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

from recnas.candidates.candidate import Candidate
from recnas.candidates.evaluation import Evaluation
from recnas.candidates.network import are_trees
from recnas.candidates.portfolio import load_portfolio
from recnas.data import Dataset
from recnas.execution.executor import computing_with
from recnas.nn.processes import num_started
from recnas.runs.folder import CONFIG
from recnas.runs.models import ModelFolder
from recnas.runs.settings import Settings
from recnas.search.feeding import TRAIN_ROWS_A_VALIDATION, open_data
from recnas.search.testing import FORWARD_ALONE
from recnas.search.training import train_candidate
from recnas.util.console import Console
from recnas.util.files import read_json_lines

MOST_OF_BUDGET = 1 / 5
"""Share of a budget in time that one whole training of an ordinary network may take. Most end earlier; a search of
fewer finds little."""
SLOWEST = 5_000
"""Rows a second of one training, at least: a log that is small enough at this pace needs no trial."""
TRIAL_ROWS = 131_072
"""Training rows of the trial."""
TRIAL_SHARE = 0.2
"""Of the passes that its recipe asks for: one of five."""


def fitted_to_budget(settings: Settings, resume: bool, console: Console) -> Settings:
    """Settings that say how many rows are learned from, if all of them are too many for the budget.

    The portfolio's first network is trained for some seconds, to see how fast this machine is. A run that was begun
    keeps what it began with, and so do the processes of `torchrun`: each would find another pace.

    Args:
        settings: Of a search.
        resume: Whether a run that was begun may be gone on with.
        console: Told of it.

    Raises:
        InputError: The data set or the portfolio cannot be read.
    """
    seconds = settings.limit.seconds if settings.trains else None
    begun = resume and (Path(settings.run) / CONFIG).exists()
    if seconds is None or settings.train_rows is not None or begun or num_started() > 1:
        return settings
    rows = Dataset(settings.data).rows("train")
    members = [member.candidate for member in load_portfolio(settings.portfolio)]
    yardstick = next((candidate for candidate in members if not are_trees(candidate.network)), None)
    if yardstick is None or rows * yardstick.passes <= SLOWEST * MOST_OF_BUDGET * seconds:
        return settings
    # Where it is measured, a quarter as many rows are only predicted.
    measured = 1 + FORWARD_ALONE * yardstick.recipe.evaluations / TRAIN_ROWS_A_VALIDATION
    pace = _rows_a_second(settings, yardstick) / measured
    most = int(pace * MOST_OF_BUDGET * seconds / yardstick.passes)
    if most >= rows:
        return settings
    console.say(
        f"data: about {most:,} of {rows:,} training rows are learned from, as a budget of {seconds:,.0f} s allows; "
        "--train-rows says otherwise"
    )
    return replace(settings, train_rows=max(1, most))


def _rows_a_second(settings: Settings, candidate: Candidate) -> float:
    """How fast one of a search's trainings is."""
    side_by_side = settings.processes > 1
    with tempfile.TemporaryDirectory() as run, computing_with(threads=1) if side_by_side else nullcontext():
        trial = replace(settings, run=run, train_rows=TRIAL_ROWS)
        train_candidate(trial, Evaluation(candidate, TRIAL_SHARE), open_data(trial, candidate.inputs))
        paces = [line["rows_per_second"] for line in read_json_lines(ModelFolder(Path(run), candidate).progress)]
    # Of the first ones, much is compiling.
    return statistics.median(paces[len(paces) // 2 :]) if paces else SLOWEST
