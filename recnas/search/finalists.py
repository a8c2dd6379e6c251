"""Final training: finalists and hand-made models from scratch, on the same rows, loader, optimiser and budget."""

from __future__ import annotations

import json
import math
import time
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import nn

from recnas.data import Dataset
from recnas.errors import RunError
from recnas.nn.dlrm import DLRM
from recnas.nn.embeddings import EmbeddingOptimizer, Embeddings, ShardedEmbeddings, WholeEmbeddings
from recnas.nn.model import CTRModel, count_dense_parameters, default_device, found_network
from recnas.nn.network import EMBEDDING_DIM
from recnas.schema import Schema
from recnas.search.scoring import stage_seed, stop_scoring
from recnas.search.settings import Settings
from recnas.space import Architecture
from recnas.train.checkpoint import load_model_tensors, load_tensors, model_tensors, save_tensors
from recnas.train.loop import Diverged, ModelLearner, evaluate, train
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

    def network(self, schema: Schema) -> nn.Module:
        """Its dense part, with fresh weights."""
        if self.arch is None:
            return DLRM(schema.num_dense, schema.num_sparse, EMBEDDING_DIM)
        return found_network(schema, self.arch)


@dataclass(frozen=True)
class Trained:
    """How one training of an entrant ended.

    Attributes:
        entrant: Who.
        learning_rate: The schedule's peak.
        epoch: The epoch that was best on validation, from 1; 0 when the training diverged before the first ended.
        validation: Its figures; None likewise.
        diverged: Why the training was given up, if it was.
        seconds: Wall-clock time.
        parameters: Of the dense part.
    """

    entrant: Entrant
    learning_rate: float
    epoch: int
    validation: Quality | None
    diverged: str | None
    seconds: float
    parameters: int

    @property
    def usable(self) -> bool:
        """Whether the training ran to its end; a diverged one is never chosen."""
        return self.validation is not None and self.diverged is None

    def weights(self, run: Path) -> Path:
        """Where its best epoch's weights are."""
        return self.entrant.folder(run) / f"weights-{self.learning_rate!r}.safetensors"


@dataclass(frozen=True)
class Job:
    """One entrant at one learning rate."""

    entrant: Entrant
    learning_rate: float


_settings: Settings | None = None


def start_training(settings: Settings) -> None:
    """Prepares this process to `train_job` and `measure_job`."""
    global _settings
    _settings = settings


def train_job(job: Job) -> Trained:
    """Trains one entrant from scratch, writing a line an epoch and the weights of the best one."""
    assert _settings is not None, "start_training has not run in this process"
    stop_scoring()
    return train_entrant(_settings, Dataset(_settings.data), job.entrant, job.learning_rate)


def train_entrant(settings: Settings, dataset: Dataset, entrant: Entrant, learning_rate: float) -> Trained:
    """Trains a model from scratch on the training rows; see `FinalSettings`."""
    final, run = settings.final, Path(settings.run)
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
    folder = entrant.folder(run)
    folder.mkdir(parents=True, exist_ok=True)
    start, best, best_epoch, diverged = time.perf_counter(), None, 0, None
    trained = Trained(entrant, learning_rate, 0, None, None, 0.0, count_dense_parameters(model))
    for epoch in range(1, final.epochs + 1):
        batches = dataset.batches("train", optimization.batch_size, seed=order, epoch=epoch - 1)
        try:
            loss = train(
                learner,
                batches,
                steps=len(batches) * final.epochs,
                first_step=len(batches) * (epoch - 1),
                learning_rate=learning_rate,
                device=device,
            )
            quality = evaluate(model, dataset, "validation", device=device)
            if not math.isfinite(quality.log_loss):
                raise Diverged(f"the validation log loss is {quality.log_loss} after epoch {epoch}")
        except Diverged as error:
            diverged = str(error)
            break
        line = {
            "learning_rate": learning_rate,
            "epoch": epoch,
            "rows": epoch * dataset.rows("train"),
            "train_loss": loss,
            "validation": quality.to_json(),
            "seconds": time.perf_counter() - start,
        }
        with open(folder / "metrics.jsonl", "a") as file:
            file.write(json.dumps(line) + "\n")
        if best is None or quality.log_loss < best.log_loss:
            best, best_epoch = quality, epoch
            save_tensors(trained.weights(run), model_tensors(model))
    return replace(trained, epoch=best_epoch, validation=best, diverged=diverged, seconds=time.perf_counter() - start)


def measure_job(entrant: Entrant) -> Quality:
    """Measures an entrant, with the weights that the run kept, on the test rows."""
    assert _settings is not None, "start_training has not run in this process"
    dataset = Dataset(_settings.data)
    device = default_device()
    return evaluate(restore(Path(_settings.run), dataset.schema, entrant).to(device), dataset, "test", device=device)


def keep_weights(run: Path, trained: Trained) -> None:
    """Makes a training's weights its entrant's, and removes those of its other learning rates."""
    folder = trained.entrant.folder(run)
    trained.weights(run).replace(folder / "weights.safetensors")
    for other in folder.glob("weights-*.safetensors"):
        other.unlink()


def restore(run: Path, schema: Schema, entrant: Entrant) -> CTRModel:
    """An entrant with the weights that the run kept, for inference."""
    path = entrant.folder(run) / "weights.safetensors"
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
