"""One training of a candidate of a table: how good it is at every stop on validation and test rows, what it takes."""

from __future__ import annotations

import gc
import shutil
import time
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from recnas.bench.settings import TableSettings
from recnas.candidates.candidate import Candidate
from recnas.candidates.evaluation import Quality, Training
from recnas.data import Dataset
from recnas.execution.executor import computing_with
from recnas.nn.model import default_device
from recnas.nn.networks import count_macs, dim_of
from recnas.nn.processes import all_processes
from recnas.runs.models import ModelFolder
from recnas.search.feeding import open_data
from recnas.search.latency import median_ms
from recnas.search.scoring import stage_seed
from recnas.search.training import TrainingRun, import_code, restore
from recnas.train.checkpoint import Checkpoint
from recnas.train.loop import measure

IN_FLIGHT = "in-flight"
"""The folder of trainings under way; nothing of it is kept."""


@dataclass(frozen=True)
class Repetition:
    """One of several trainings of a candidate.

    Attributes:
        candidate: Which one.
        seed: Its number, from 0.
        place: The candidate's among all of the table, in the order in which they were drawn.
    """

    candidate: Candidate
    seed: int
    place: int = 0

    @property
    def key(self) -> tuple[str, int]:
        """What no other training of the table has."""
        return self.candidate.id, self.seed


@dataclass(frozen=True)
class Stop:
    """A measurement in the course of a training.

    Attributes:
        fidelity: Share of the whole training.
        rows: Training rows seen.
        seconds: Processor time of training up to here, with its measurements on validation rows.
        train_loss: Mean training loss of this pass so far.
        validation: Of the weights at this moment.
        test: The same.
        planned: Whether the recipe asks for a measurement here; only then may these be the weights that are kept.
    """

    fidelity: float
    rows: int
    seconds: float
    train_loss: float
    validation: Quality
    test: Quality
    planned: bool


@dataclass(frozen=True)
class TableTraining:
    """What came of a training.

    Attributes:
        id: The candidate's.
        seed: Which of its trainings.
        stops: In the course of it; of one that lost patience or diverged, up to then.
        validation: Of the weights that are kept, the best on validation; None when it diverged.
        test: The same.
        seconds: Processor time of the whole training, by one thread.
        macs: Multiply–accumulates a row.
        parameters: Of the dense part.
        latency_ms: Median wall time of predicting a batch; None when it diverged.
        diverged: Why the training was given up, if it was.
    """

    id: str
    seed: int
    stops: tuple[Stop, ...]
    validation: Quality | None
    test: Quality | None
    seconds: float
    macs: int
    parameters: int
    latency_ms: float | None
    diverged: str | None


def train(settings: TableSettings, repetition: Repetition) -> TableTraining:
    """Trains one candidate from scratch and measures it on its way; nothing but the figures is left of it.

    Args:
        settings: The table's.
        repetition: Which training.
    """
    candidate = repetition.candidate
    own = _settings_of(settings, repetition)
    # What a killed process has left is not gone on with: seconds would not be whole.
    shutil.rmtree(own.run, ignore_errors=True)
    try:
        with computing_with(1):
            return _train(own, repetition, open_data(settings, candidate.inputs))
    finally:
        shutil.rmtree(own.run, ignore_errors=True)
        gc.collect()
        with suppress(OSError):
            # Another process may be at work on another seed.
            Path(own.run).parent.rmdir()


def _train(own: TableSettings, repetition: Repetition, dataset: Dataset) -> TableTraining:
    candidate = repetition.candidate
    import_code(own, candidate)
    folder, processes = ModelFolder(Path(own.run), candidate), all_processes(default_device())
    folder.begin()
    checkpoint = Checkpoint(folder.checkpoint, float("inf"), processes)
    run = TrainingRun(own, dataset, candidate, folder, checkpoint, processes)
    stops: list[Stop] = []
    total = candidate.recipe.epochs * dataset.rows("train")
    spent = 0.0
    training: Training | None = None
    for rows in stops_of(own, candidate, dataset.rows("train")):
        start = time.process_time()
        training = run.to(rows)
        spent += time.process_time() - start
        if training.rows < rows:
            break
        last = training.epochs[-1]
        test = measure(run.model, dataset, "test", device=run.device).quality
        stops.append(Stop(rows / total, rows, spent, last.train_loss, last.validation, test, last.planned))
        if training.finished:
            break
    assert training is not None, "a training has a stop at least"
    kept = latency = None
    if training.finished:
        model = restore(Path(own.run), dataset.schema, candidate).to(run.device)
        kept = measure(model, dataset, "test", device=run.device).quality
        batch = next(iter(dataset.batches("validation", own.limits.latency_batch))).to(run.device)
        latency = median_ms(partial(model, batch), run.device, own.limits.latency_threads)
    return TableTraining(
        candidate.id,
        repetition.seed,
        tuple(stops),
        training.validation if training.finished else None,
        kept,
        spent,
        count_macs(candidate.network, dataset.schema, dim_of(candidate)),
        training.parameters,
        latency,
        training.diverged,
    )


def _settings_of(settings: TableSettings, repetition: Repetition) -> TableSettings:
    """The settings of one training, in a folder of its own."""
    run = Path(settings.run) / IN_FLIGHT / repetition.candidate.id / str(repetition.seed)
    return replace(settings, run=str(run), seed=stage_seed(settings, f"bench/{repetition.seed}"))


def stops_of(settings: TableSettings, candidate: Candidate, pass_rows: int) -> list[int]:
    """Training rows after which a training is measured; the whole of it is last.

    Args:
        settings: The table's.
        candidate: Whose training.
        pass_rows: Training rows in a pass.
    """
    recipe = candidate.recipe
    total = recipe.epochs * pass_rows
    shares = {recipe.in_whole_batches(max(1, round(share * total)), pass_rows) for share in settings.shares}
    return sorted({*shares, *recipe.measured_after(pass_rows), total})
