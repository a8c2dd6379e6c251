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
from recnas.candidates.recipe import Recipe
from recnas.data import Dataset
from recnas.execution.executor import computing_with
from recnas.nn.processes import num_started
from recnas.runs.folder import CONFIG
from recnas.runs.models import ModelFolder
from recnas.runs.settings import Settings
from recnas.search.beginning import Beginning
from recnas.search.feeding import LEAST_VALIDATION, TRAIN_ROWS_A_VALIDATION, open_data
from recnas.search.joint_search import joint_space
from recnas.search.testing import FORWARD_ALONE
from recnas.search.training import train_candidate
from recnas.util.console import Console
from recnas.util.files import read_json_lines

SHARE_OF_BUDGET = 1 / 5
"""Share of a budget in time that one whole training of an ordinary network may take. Most end earlier; a search of
fewer finds little."""
SLOWEST = 400_000
"""Values a second, rows times features, that one training learns from at least: a log that is small enough at this pace
needs no trial."""
TRIAL_ROWS = 65_536
"""Training rows of the trial: one row group. It passes over them once."""


def fitted_to_budget(settings: Settings, dataset: Dataset, resume: bool, console: Console) -> Settings:
    """Settings that say how many rows are learned from, if all of them are too many for the budget.

    The first network is trained for some seconds, before the budget begins, to see how fast this machine is. A run that
    was begun keeps what it began with; the processes of `torchrun`, each of which would find another pace, take all.

    Args:
        settings: Of a search.
        dataset: Its data set, with all rows.
        resume: Whether a run that was begun may be gone on with.
        console: Told of it.

    Raises:
        InputError: The data set or the portfolio cannot be read.
    """
    seconds = settings.limit.seconds if settings.trains else None
    begun = resume and (Path(settings.run) / CONFIG).exists()
    if seconds is None or settings.train_rows is not None or begun or num_started() > 1:
        return settings
    rows, yardstick = dataset.rows("train"), _yardstick(settings, dataset)
    features = dataset.own_schema.num_dense + dataset.own_schema.num_sparse
    if yardstick is None or rows * features * yardstick.passes <= SLOWEST * SHARE_OF_BUDGET * seconds:
        return settings
    console.say("data: it is large for the budget; a network is trained for a moment, to see how fast that is here")
    most = rows_within(SHARE_OF_BUDGET * seconds, _rows_a_second(settings, yardstick), yardstick.recipe)
    if most >= rows:
        return settings
    console.say(
        f"data: about {most:,} of {rows:,} training rows are learned from, as a budget of {seconds:,.0f} s allows; "
        "--train-rows says otherwise"
    )
    return replace(settings, train_rows=most)


def rows_within(seconds: float, pace: float, recipe: Recipe) -> int:
    """Training rows of which a whole training takes so long, 1 or more.

    Args:
        seconds: How long.
        pace: Rows a second that are learned from.
        recipe: It is measured as often as this says, on a quarter as many rows or `LEAST_VALIDATION`, whatever is more.
    """
    a_pass = seconds * pace / recipe.epochs
    measured = FORWARD_ALONE * recipe.evaluations
    rows = a_pass / (1 + measured / TRAIN_ROWS_A_VALIDATION)
    if rows < TRAIN_ROWS_A_VALIDATION * LEAST_VALIDATION:
        rows = a_pass - measured * LEAST_VALIDATION
    return max(1, int(rows))


def _yardstick(settings: Settings, dataset: Dataset) -> Candidate | None:
    """The network by which the pace is told: the first that the search would train; None if it trains trees alone."""
    space = joint_space(settings, Beginning((), 0, (), 0, 1, ()), dataset.own_schema)
    members = [space.kept(member.candidate) for member in load_portfolio(settings.portfolio)]
    found = [candidate for candidate in members if candidate in space] or [space.own(kind) for kind in space.kinds]
    return next((candidate for candidate in found if not are_trees(candidate.network)), None)


def _rows_a_second(settings: Settings, candidate: Candidate) -> float:
    """How fast one of a search's trainings is."""
    side_by_side = settings.processes > 1
    with tempfile.TemporaryDirectory() as run, computing_with(threads=1) if side_by_side else nullcontext():
        trial = replace(settings, run=run, train_rows=TRIAL_ROWS)
        once = Evaluation(candidate, 1 / candidate.passes)
        train_candidate(trial, once, open_data(trial, candidate.inputs).with_rows("validation", 1))
        paces = [line["rows_per_second"] for line in read_json_lines(ModelFolder(Path(run), candidate).progress)]
    # Of the first ones, much is compiling. What is over before it is looked at takes less than a second.
    return statistics.median(paces[len(paces) // 2 :]) if paces else TRIAL_ROWS
