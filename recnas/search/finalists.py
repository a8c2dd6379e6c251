"""Final training of one model: finalists and hand-made ones alike, on the same rows, loader, optimiser and budget."""

from __future__ import annotations

import gc
import json
import math
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import torch

from recnas.candidates.definition import BASELINE, FOUND, Definition
from recnas.data import Dataset
from recnas.features.schema import Schema
from recnas.nn.baselines.registry import find_baseline
from recnas.nn.embeddings import ShardedEmbeddings, WholeEmbeddings
from recnas.nn.model import CTRModel, count_dense_parameters, default_device
from recnas.nn.processes import all_processes
from recnas.runs.folder import BASELINES, RETRAIN
from recnas.runs.settings import Settings
from recnas.search.scoring import stage_seed, stop_scoring
from recnas.train.checkpoint import Checkpoint, load_model_tensors, load_tensors, save_model
from recnas.train.divergence import Diverged
from recnas.train.log import ProgressLog
from recnas.train.loop import ModelLearner, Progress, Tally, evaluate, train
from recnas.train.metrics import Quality
from recnas.util import forms
from recnas.util.errors import InputError
from recnas.util.files import read_json, write_json, write_text


@dataclass(frozen=True)
class Entrant(Definition):
    """A model that takes part in the final training."""

    def folder(self, run: Path) -> Path:
        """Where the run keeps its figures and weights."""
        return run / (RETRAIN if self.kind == FOUND else BASELINES) / self.id


@dataclass(frozen=True)
class Epoch:
    """A line of an entrant's `metrics.jsonl`: a measurement after a pass over the training rows, or where one paused.

    Attributes:
        learning_rate: The schedule's peak.
        epoch: Passes so far: a whole number after one, else where the training paused.
        rows: Training rows seen so far.
        train_loss: Mean training loss of this pass.
        validation: Log loss and AUC.
        seconds: Wall-clock time so far.
    """

    learning_rate: float
    epoch: float
    rows: int
    train_loss: float
    validation: Quality
    seconds: float

    @property
    def whole(self) -> bool:
        """Whether it was measured at the end of a pass; only then may its weights be kept."""
        return self.epoch == int(self.epoch)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Epoch:
        return cls(**{**value, "validation": Quality(**value["validation"])})


@dataclass(frozen=True)
class Trained:
    """What one training of an entrant has come to.

    Attributes:
        entrant: Who.
        learning_rate: The schedule's peak.
        epochs: What was measured after each, and where the training paused.
        finished: Whether it ran to its end; if not, it paused or diverged.
        diverged: Why the training was given up, if it was.
        seconds: Wall-clock time.
        parameters: Of the dense part.
    """

    entrant: Entrant
    learning_rate: float
    epochs: tuple[Epoch, ...]
    finished: bool
    diverged: str | None
    seconds: float
    parameters: int

    @property
    def paused(self) -> bool:
        """Whether it can go on."""
        return not self.finished and self.diverged is None

    @property
    def best(self) -> Epoch | None:
        """The epoch that was best on validation, whose weights are kept; None when there was none to its end."""
        return min((item for item in self.epochs if item.whole), key=_log_loss, default=None)

    @property
    def epoch(self) -> int:
        """The best epoch's number, from 1; 0 when there is none."""
        return 0 if self.best is None else int(self.best.epoch)

    @property
    def validation(self) -> Quality | None:
        """The best epoch's figures."""
        return None if self.best is None else self.best.validation

    @property
    def lowest(self) -> Epoch | None:
        """Where it was best on validation so far, in the middle of a pass too: how a paused training is judged."""
        return min(self.epochs, key=_log_loss, default=None)

    @property
    def rows(self) -> int:
        """Training rows seen when it was last measured."""
        return self.epochs[-1].rows if self.epochs else 0

    def paused_at(self, rows: int) -> Trained:
        """What it had come to when it paused after so many training rows."""
        epochs = tuple(item for item in self.epochs if item.rows <= rows)
        return replace(self, epochs=epochs, finished=False, diverged=None, seconds=epochs[-1].seconds)

    def weights(self, run: Path) -> Path:
        """Where its best epoch's weights are."""
        return weights_file(run, self.entrant, self.learning_rate)

    def to_json(self) -> dict[str, Any]:
        """All but the entrant."""
        return {
            "learning_rate": self.learning_rate,
            "epochs": [item.to_json() for item in self.epochs],
            "finished": self.finished,
            "diverged": self.diverged,
            "seconds": self.seconds,
            "parameters": self.parameters,
        }

    @classmethod
    def from_json(cls, entrant: Entrant, value: Mapping[str, Any]) -> Trained:
        return cls(entrant, **{**value, "epochs": tuple(Epoch.from_json(item) for item in value["epochs"])})


@dataclass(frozen=True)
class Job:
    """One entrant at one learning rate.

    Attributes:
        entrant: Who.
        learning_rate: The schedule's peak.
        rows: Training rows after which the training pauses, if that is not its end; a whole number of batches.
    """

    entrant: Entrant
    learning_rate: float
    rows: int


WEIGHTS, ARCHITECTURE = "weights.safetensors", "architecture.json"
"""An entrant's weights, once its best learning rate is chosen, and what they are the weights of."""

_settings: Settings | None = None


def start_training(settings: Settings) -> None:
    """Prepares this process to `train_job` and `measure_job`."""
    global _settings
    _settings = settings


def train_job(job: Job) -> Trained:
    """Trains one entrant, from scratch or from where it paused, and keeps the weights of its best epoch."""
    assert _settings is not None, "start_training has not run in this process"
    stop_scoring()
    try:
        return train_entrant(_settings, Dataset(_settings.data), job)
    finally:
        gc.collect()  # frees the model now: TorchRec's modules refer to one another in circles


def train_entrant(settings: Settings, dataset: Dataset, job: Job) -> Trained:
    """Trains a model on so many training rows: from scratch, or from where it paused or a killed process left it.

    The learning rate follows the schedule of the whole training. So a training that paused and went on is, bit for bit,
    the one that never paused. What came of it is kept beside the weights, and is not done again; see `FinalSettings`.
    """
    final, run, entrant, learning_rate = settings.final, Path(settings.run), job.entrant, job.learning_rate
    device = default_device()
    processes = all_processes(device)
    checkpoint = Checkpoint(checkpoint_folder(run, entrant, learning_rate), settings.checkpoint_seconds, processes)
    if (known := processes.first(partial(outcome, run, job))) is not None:
        if not known.paused:
            checkpoint.remove()
        return known
    import_code(entrant)
    optimization = replace(final.optimization, learning_rate=learning_rate)
    torch.manual_seed(stage_seed(settings, f"train/{entrant.id}"))
    embeddings = ShardedEmbeddings(
        dataset.schema,
        entrant.dim,
        optimization.of_tables,
        device,
        entrant.first_order,
        processes,
        settings.sharding,
        optimization.batch_size,
    )
    model = CTRModel(dataset.schema, embeddings, entrant.network(dataset.schema)).to(device)
    learner = ModelLearner(model, optimization)
    order, batch_size = stage_seed(settings, "train"), optimization.batch_size
    kept = checkpoint.restore(learner) or {"epochs": [], "tally": {}}
    epochs: list[Epoch] = [Epoch.from_json(line) for line in kept["epochs"]]
    tally = Tally(**kept["tally"])

    def save(tally: Tally) -> None:
        notes = {"epochs": [item.to_json() for item in epochs], "tally": asdict(tally)}
        checkpoint.save(learner, notes)

    def seed_step(step: int) -> None:
        # What dropout draws hangs on the step alone: a training that goes on draws what it would have drawn.
        torch.manual_seed((order + step) * processes.size + processes.rank)

    def save_if_due(step: int, tally: Tally) -> None:
        if checkpoint.due():
            save(tally)

    pass_rows = dataset.rows("train")
    pass_steps = len(dataset.batches("train", batch_size))
    diverged = None
    # `recnas baselines` has a flag of its own.
    rate_flag = "--learning-rate" if settings.searches else "--learning-rates"
    log = ProgressLog(progress_file(run, entrant, learning_rate)) if processes.leads else None
    while (rows := epochs[-1].rows if epochs else 0) < job.rows:
        passes = rows // pass_rows
        stop = math.ceil(min(job.rows - passes * pass_rows, pass_rows) / batch_size)
        batches = dataset.batches(
            "train",
            batch_size,
            seed=order,
            epoch=passes,
            rank=processes.rank,
            world_size=processes.size,
            first_batch=tally.steps,
        )

        def report(now: Progress, rows_before: int = passes * pass_rows) -> None:
            if log is not None:
                log.add(replace(now, rows=rows_before + now.rows))

        try:
            loss = train(
                learner,
                islice(batches, stop - tally.steps),
                steps=pass_steps * final.epochs,
                first_step=pass_steps * passes + tally.steps,
                learning_rate=learning_rate,
                device=device,
                report=report,
                before_step=seed_step,
                after_step=save_if_due,
                tally=tally,
                rate_flag=rate_flag,
            )
            rows, whole = passes * pass_rows + tally.rows, tally.steps == pass_steps
            epoch = passes + 1 if whole else rows / pass_rows
            quality = evaluate(model, dataset, "validation", device=device)
            if not math.isfinite(quality.log_loss):
                raise Diverged(
                    f"the validation log loss is {quality.log_loss} after epoch {epoch:g}; try a smaller {rate_flag}"
                )
        except Diverged as error:
            diverged = str(error)
            break
        if whole and all(quality.log_loss < item.validation.log_loss for item in epochs if item.whole):
            save_model(weights_file(run, entrant, learning_rate), model)
        epochs.append(Epoch(learning_rate, epoch, rows, loss, quality, checkpoint.spent))
        if whole:
            tally = Tally()
    finished = diverged is None and job.rows == final.epochs * pass_rows
    seconds, parameters = checkpoint.spent, count_dense_parameters(model)
    trained = Trained(entrant, learning_rate, tuple(epochs), finished, diverged, seconds, parameters)
    if trained.paused:
        save(tally)
    if processes.leads:
        write_json(outcome_file(run, entrant, learning_rate), trained.to_json())
    if not trained.paused:
        checkpoint.remove()
    return trained


def outcome(run: Path, job: Job) -> Trained | None:
    """What a training came to before, at the job's end; None if it has not come so far, or its weights are gone."""
    file = outcome_file(run, job.entrant, job.learning_rate)
    if not file.exists():
        return None
    trained = Trained.from_json(job.entrant, read_json(file, form=forms.Training))
    if trained.finished and trained.best is None:
        raise InputError(f"{file}: finished, without an epoch to its end; without this file the training starts anew")
    if trained.finished and trained.rows == job.rows:
        kept = job.entrant.folder(run) / WEIGHTS
        return trained if trained.weights(run).exists() or kept.exists() else None
    if trained.rows >= job.rows and trained.epochs[0].rows <= job.rows:
        # It went on from there before the process was killed.
        return trained.paused_at(job.rows)
    return trained if trained.diverged is not None else None


def measure_job(entrant: Entrant) -> Quality:
    """Measures an entrant, with the weights that the run kept, on the test rows."""
    assert _settings is not None, "start_training has not run in this process"
    dataset = Dataset(_settings.data)
    device = default_device()
    return evaluate(restore(Path(_settings.run), dataset.schema, entrant).to(device), dataset, "test", device=device)


def write_metrics(run: Path, trainings: Sequence[Trained]) -> None:
    """Writes an entrant's `metrics.jsonl`: a line for each epoch of its trainings."""
    lines = [json.dumps(item.to_json()) + "\n" for trained in trainings for item in trained.epochs]
    write_text(trainings[0].entrant.folder(run) / "metrics.jsonl", "".join(lines))


def keep_weights(run: Path, trained: Trained) -> None:
    """Makes a training's weights its entrant's, and removes those of its other learning rates.

    A found one's architecture is put beside them.
    """
    folder = trained.entrant.folder(run)
    if trained.entrant.arch is not None:
        write_json(folder / ARCHITECTURE, trained.entrant.arch.to_json())
    # A killed process may have come so far before.
    if trained.weights(run).exists():
        trained.weights(run).replace(folder / WEIGHTS)
    for other in folder.glob("weights-*.safetensors"):
        other.unlink()


def forget_state(run: Path, entrant: Entrant) -> None:
    """Removes the weights and the paused training of a model that does not go on; its figures stay."""
    for path in entrant.folder(run).glob("checkpoint-*"):
        shutil.rmtree(path)
    for path in entrant.folder(run).glob("weights-*.safetensors"):
        path.unlink()


def checkpoint_folder(run: Path, entrant: Entrant, learning_rate: float) -> Path:
    """Where a training under way keeps its state."""
    return entrant.folder(run) / f"checkpoint-{learning_rate!r}"


def weights_file(run: Path, entrant: Entrant, learning_rate: float) -> Path:
    """Where a training keeps its best epoch's weights."""
    return entrant.folder(run) / f"weights-{learning_rate!r}.safetensors"


def outcome_file(run: Path, entrant: Entrant, learning_rate: float) -> Path:
    """Where a training that paused or ended keeps what it came to."""
    return entrant.folder(run) / f"training-{learning_rate!r}.json"


def progress_file(run: Path, entrant: Entrant, learning_rate: float) -> Path:
    """Where a training writes down how it comes along."""
    return entrant.folder(run) / f"progress-{learning_rate!r}.jsonl"


def restore(run: Path, schema: Schema, entrant: Entrant) -> CTRModel:
    """An entrant with the weights that the run kept, for inference."""
    import_code(entrant)
    path = entrant.folder(run) / WEIGHTS
    embeddings = WholeEmbeddings(schema, entrant.dim, first_order=entrant.first_order)
    model = CTRModel(schema, embeddings, entrant.network(schema))
    load_model_tensors(model, load_tensors(path), path)
    return model.eval()


def import_code(entrant: Entrant) -> None:
    """Imports a baseline of the user's own in this process; the run has its name from the user."""
    if entrant.kind == BASELINE:
        find_baseline(entrant.name)


def best_of(trainings: Sequence[Trained]) -> Trained | None:
    """The finished training that is best on validation; None when there is none."""
    finished = [item for item in trainings if item.finished]
    return min(finished, key=lambda item: item.validation.log_loss, default=None)


def _log_loss(epoch: Epoch) -> float:
    return epoch.validation.log_loss
