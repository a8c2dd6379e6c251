"""Final training: finalists and hand-made models from scratch, on the same rows, loader, optimiser and budget."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from recnas.data import Dataset
from recnas.errors import RunError
from recnas.files import read_json, write_json, write_text
from recnas.nn import dlrm
from recnas.nn.embeddings import EmbeddingOptimizer, Embeddings, ShardedEmbeddings, WholeEmbeddings
from recnas.nn.model import CTRModel, count_dense_parameters, default_device, found_network
from recnas.nn.network import EMBEDDING_DIM
from recnas.schema import Schema
from recnas.search.scoring import stage_seed, stop_scoring
from recnas.search.settings import Settings
from recnas.space import Architecture, cost
from recnas.train.checkpoint import Checkpoint, load_model_tensors, load_tensors, model_tensors, save_tensors
from recnas.train.log import ProgressLog
from recnas.train.loop import Diverged, ModelLearner, Progress, Tally, evaluate, train
from recnas.train.metrics import Quality


@dataclass(frozen=True)
class Entrant:
    """A model that takes part in the final training.

    Attributes:
        id: The architecture's id, or the hand-made model's name.
        kind: `found` or `baseline`.
        arch: The architecture of a found one.
    """

    id: str
    kind: str
    arch: Architecture | None = None

    def folder(self, run: Path) -> Path:
        """Where the run keeps its figures and weights."""
        return run / ("retrain" if self.kind == "found" else "baselines") / self.id

    def flops(self, schema: Schema) -> int:
        """Multiply–accumulates a row of its dense part."""
        if self.arch is None:
            return dlrm.flops(schema.num_dense, schema.num_sparse, EMBEDDING_DIM)
        return cost.flops(self.arch, schema.num_dense, schema.num_sparse, EMBEDDING_DIM)

    def network(self, schema: Schema) -> nn.Module:
        """Its dense part, with fresh weights."""
        if self.arch is None:
            return dlrm.DLRM(schema.num_dense, schema.num_sparse, EMBEDDING_DIM)
        return found_network(schema, self.arch)


@dataclass(frozen=True)
class Epoch:
    """A line of an entrant's `metrics.jsonl`: one pass over the training rows, and the validation rows after it.

    Attributes:
        learning_rate: The schedule's peak.
        epoch: From 1.
        rows: Training rows seen so far.
        train_loss: Mean training loss of this pass.
        validation: Log loss and AUC after it.
        seconds: Wall-clock time so far.
    """

    learning_rate: float
    epoch: int
    rows: int
    train_loss: float
    validation: Quality
    seconds: float

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Epoch:
        return cls(**{**value, "validation": Quality(**value["validation"])})


@dataclass(frozen=True)
class Trained:
    """How one training of an entrant ended.

    Attributes:
        entrant: Who.
        learning_rate: The schedule's peak.
        epochs: What was measured after each.
        diverged: Why the training was given up, if it was.
        seconds: Wall-clock time.
        parameters: Of the dense part.
    """

    entrant: Entrant
    learning_rate: float
    epochs: tuple[Epoch, ...]
    diverged: str | None
    seconds: float
    parameters: int

    @property
    def best(self) -> Epoch | None:
        """The epoch that was best on validation, whose weights are kept; None when it diverged in the first."""
        return min(self.epochs, key=lambda item: item.validation.log_loss, default=None)

    @property
    def epoch(self) -> int:
        """The best epoch's number, from 1; 0 when there is none."""
        return 0 if self.best is None else self.best.epoch

    @property
    def validation(self) -> Quality | None:
        """The best epoch's figures."""
        return None if self.best is None else self.best.validation

    @property
    def usable(self) -> bool:
        """Whether the training ran to its end; a diverged one is never chosen."""
        return self.validation is not None and self.diverged is None

    def weights(self, run: Path) -> Path:
        """Where its best epoch's weights are."""
        return weights_file(run, self.entrant, self.learning_rate)

    def to_json(self) -> dict[str, Any]:
        """All but the entrant."""
        return {
            "learning_rate": self.learning_rate,
            "epochs": [item.to_json() for item in self.epochs],
            "diverged": self.diverged,
            "seconds": self.seconds,
            "parameters": self.parameters,
        }

    @classmethod
    def from_json(cls, entrant: Entrant, value: Mapping[str, Any]) -> Trained:
        return cls(entrant, **{**value, "epochs": tuple(Epoch.from_json(item) for item in value["epochs"])})


@dataclass(frozen=True)
class Job:
    """One entrant at one learning rate."""

    entrant: Entrant
    learning_rate: float


WEIGHTS, ARCHITECTURE = "weights.safetensors", "architecture.json"
"""An entrant's weights, once its best learning rate is chosen, and what they are the weights of."""

_settings: Settings | None = None


def start_training(settings: Settings) -> None:
    """Prepares this process to `train_job` and `measure_job`."""
    global _settings
    _settings = settings


def train_job(job: Job) -> Trained:
    """Trains one entrant from scratch, and keeps the weights of its best epoch."""
    assert _settings is not None, "start_training has not run in this process"
    stop_scoring()
    return train_entrant(_settings, Dataset(_settings.data), job.entrant, job.learning_rate)


def train_entrant(settings: Settings, dataset: Dataset, entrant: Entrant, learning_rate: float) -> Trained:
    """Trains a model from scratch on the training rows, or goes on where a killed process left it; see `FinalSettings`.

    What came of it is kept beside the weights: a training that ended is not done again.
    """
    final, run = settings.final, Path(settings.run)
    state = entrant.folder(run) / f"checkpoint-{learning_rate!r}.safetensors"
    checkpoint = Checkpoint(state, settings.checkpoint_seconds)
    if (done := _outcome(run, entrant, learning_rate)) is not None:
        checkpoint.remove()
        return done
    optimization = replace(final.optimization, learning_rate=learning_rate)
    device = default_device()
    torch.manual_seed(stage_seed(settings, f"train/{entrant.id}"))
    embeddings = ShardedEmbeddings(
        dataset.schema,
        EMBEDDING_DIM,
        EmbeddingOptimizer(optimization.embedding_optimizer, optimization.embedding_eps),
        device,
    )
    model = CTRModel(dataset.schema, embeddings, entrant.network(dataset.schema)).to(device)
    learner = ModelLearner(model, optimization)
    order = stage_seed(settings, "train")
    kept = checkpoint.restore(learner) or {"epochs": [], "tally": {}, "seconds": 0.0}
    epochs: list[Epoch] = [Epoch.from_json(line) for line in kept["epochs"]]
    tally, start = Tally(**kept["tally"]), time.perf_counter() - kept["seconds"]
    diverged = None
    log = ProgressLog(progress_file(run, entrant, learning_rate))
    for epoch in range(len(epochs) + 1, final.epochs + 1):
        whole = dataset.batches("train", optimization.batch_size, seed=order, epoch=epoch - 1)
        first = len(whole) * (epoch - 1)
        rows_before = (epoch - 1) * dataset.rows("train")

        def keep(step: int, tally: Tally) -> None:
            if checkpoint.due:
                notes = {"epochs": [item.to_json() for item in epochs], "tally": asdict(tally)}
                checkpoint.save(learner, notes | {"seconds": time.perf_counter() - start})

        def report(now: Progress, rows_before: int = rows_before) -> None:
            log.add(replace(now, rows=rows_before + now.rows))

        try:
            loss = train(
                learner,
                dataset.batches("train", optimization.batch_size, seed=order, epoch=epoch - 1, first_batch=tally.steps),
                steps=len(whole) * final.epochs,
                first_step=first + tally.steps,
                learning_rate=learning_rate,
                device=device,
                report=report,
                after_step=keep,
                tally=tally,
            )
            quality = evaluate(model, dataset, "validation", device=device)
            if not math.isfinite(quality.log_loss):
                raise Diverged(f"the validation log loss is {quality.log_loss} after epoch {epoch}")
        except Diverged as error:
            diverged = str(error)
            break
        if all(quality.log_loss < item.validation.log_loss for item in epochs):
            save_tensors(weights_file(run, entrant, learning_rate), model_tensors(model))
        rows = rows_before + dataset.rows("train")
        epochs.append(Epoch(learning_rate, epoch, rows, loss, quality, time.perf_counter() - start))
        tally = Tally()
    seconds = time.perf_counter() - start
    trained = Trained(entrant, learning_rate, tuple(epochs), diverged, seconds, count_dense_parameters(model))
    write_json(outcome_file(run, entrant, learning_rate), trained.to_json())
    checkpoint.remove()
    return trained


def _outcome(run: Path, entrant: Entrant, learning_rate: float) -> Trained | None:
    """What a training that ended before came to; None if there was none, or its weights are gone."""
    try:
        trained = Trained.from_json(entrant, read_json(outcome_file(run, entrant, learning_rate)))
    except FileNotFoundError:
        return None
    kept = entrant.folder(run) / WEIGHTS
    return trained if not trained.usable or trained.weights(run).exists() or kept.exists() else None


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


def weights_file(run: Path, entrant: Entrant, learning_rate: float) -> Path:
    """Where a training keeps its best epoch's weights."""
    return entrant.folder(run) / f"weights-{learning_rate!r}.safetensors"


def outcome_file(run: Path, entrant: Entrant, learning_rate: float) -> Path:
    """Where a training that ended keeps what it came to."""
    return entrant.folder(run) / f"training-{learning_rate!r}.json"


def progress_file(run: Path, entrant: Entrant, learning_rate: float) -> Path:
    """Where a training writes down how it comes along."""
    return entrant.folder(run) / f"progress-{learning_rate!r}.jsonl"


def restore(run: Path, schema: Schema, entrant: Entrant) -> CTRModel:
    """An entrant with the weights that the run kept, for inference."""
    path = entrant.folder(run) / WEIGHTS
    embeddings: Embeddings = WholeEmbeddings(schema, EMBEDDING_DIM)
    model = CTRModel(schema, embeddings, entrant.network(schema))
    load_model_tensors(model, load_tensors(path), path)
    return model.eval()


def best_of(trainings: list[Trained]) -> Trained | None:
    """The usable training that is best on validation; None when all diverged."""
    usable = [item for item in trainings if item.usable]
    return min(usable, key=lambda item: item.validation.log_loss, default=None)


def no_finalist_left(trainings: list[Trained]) -> RunError:
    """The error to raise when every finalist diverged."""
    reason = next((item.diverged for item in trainings if item.diverged), "")
    return RunError(f"every finalist's training diverged ({reason}); try a smaller --learning-rate")
