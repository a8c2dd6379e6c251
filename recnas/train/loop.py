"""The training loop: one for warm-up and final training, searched models and baselines."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from recnas.candidates.evaluation import Quality
from recnas.candidates.recipe import Optimization
from recnas.data import Batch, Dataset
from recnas.nn.batch_norm import share_statistics
from recnas.nn.elastic import ElasticLinear
from recnas.nn.embeddings import ShardedEmbeddings
from recnas.nn.model import CTRModel
from recnas.nn.network import LastLayer
from recnas.nn.processes import Processes, shared
from recnas.train.divergence import explain
from recnas.train.losses import training_loss
from recnas.train.metrics import Measured, Metrics
from recnas.train.optimizers import dense_optimizer, dense_state, set_rate
from recnas.train.schedule import learning_rate

REPORT_EVERY = 0.5
"""Seconds between two reports of a loop's progress."""
ONE_BUCKET = 1024
"""Megabytes of gradients exchanged at once that hold any model's dense part."""
FIELDS_SHARE_OF_CLIP = 1 / 6
"""The bound on the gradient at the fields, as a share of the bound on the dense part's."""


@dataclass
class Tally:
    """What a loop has done so far in one pass.

    Attributes:
        steps: Number of updates made.
        rows: Number of rows seen.
        loss: The sum of the updates' losses.
    """

    steps: int = 0
    rows: int = 0
    loss: float = 0.0

    @property
    def mean(self) -> float:
        """The mean loss of an update."""
        return self.loss / max(1, self.steps)


@dataclass(frozen=True)
class Progress:
    """Where a loop is: steps done and in all, rows seen, mean loss since the last report, rate and learning rate."""

    step: int
    steps: int
    rows: int
    loss: float
    learning_rate: float
    rows_per_second: float

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


class Learner(Protocol):
    """Something that turns a batch into a loss and learns from it."""

    optimization: Optimization

    @property
    def model(self) -> CTRModel:
        """The model that is trained."""

    def set_learning_rate(self, lr: float) -> None: ...

    def loss(self, batch: Batch) -> Tensor: ...

    def step(self) -> None: ...

    def optimizer_state(self) -> dict[str, Tensor]:
        """The optimiser's state for the dense part, by its parameters' names; they share memory with the live ones."""

    def state_dict(self) -> dict[str, Any]:
        """What it needs besides weights and optimizer state to resume, as plain JSON values."""

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restores what `state_dict` gave."""


class ModelLearner:
    """Trains a whole model: an optimiser for the dense part, a fused one for the tables.

    Where several processes hold the tables, each has all of the dense part, and they learn by their mean gradient.
    """

    def __init__(self, model: CTRModel, optimization: Optimization) -> None:
        self.model, self.optimization = model, optimization
        self.processes = processes_of(model)
        share_statistics(model.network, self.processes)
        self.network = model.network if self.processes.alone else _data_parallel(model.network, self.processes)
        self.parameters = list(model.network.parameters())
        # A parameter belongs to its layer and to all modules around it, for which it is no matrix.
        columns = dict.fromkeys(self.parameters, 1)
        for layer in model.network.modules():
            for parameter in layer.parameters():
                columns[parameter] = max(columns[parameter], input_columns(layer, parameter))
        by_factor: dict[float, list[nn.Parameter]] = {}
        for parameter in self.parameters:
            by_factor.setdefault(optimization.width_factor(columns[parameter]), []).append(parameter)
        self.optimizer = dense_optimizer(by_factor, optimization)

    def set_learning_rate(self, lr: float) -> None:
        set_rate(self.optimizer, lr)
        set_embedding_learning_rate(self.model, lr * self.optimization.embedding_rate)

    def loss(self, batch: Batch) -> Tensor:
        fields = clip_gradient(self.model.embeddings(batch.sparse), self.optimization, self.processes)
        return training_loss(self.model.network, self.network(batch.dense, fields), batch, self.processes)

    def step(self) -> None:
        if self.optimization.clip is not None:
            nn.utils.clip_grad_norm_(self.parameters, self.optimization.clip)
        self.optimizer.step()
        self.optimizer.zero_grad()

    def optimizer_state(self) -> dict[str, Tensor]:
        return dense_state(self.optimizer, dict(self.model.network.named_parameters()))

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        pass


def input_columns(layer: nn.Module, weight: Tensor) -> int:
    """How many inputs each output of a layer sums with this weight, or slice of it; 1 for a bias or a norm's weight."""
    if isinstance(layer, LastLayer):
        return weight.numel()
    return weight.shape[1] if isinstance(layer, nn.Linear | ElasticLinear) and weight.ndim == 2 else 1


def clip_gradient(fields: Tensor, optimization: Optimization, processes: Processes) -> Tensor:
    """Bounds the norm of the gradient that reaches the tables, whose optimiser runs inside the backward pass.

    It is the gradient at the fields of all processes together.
    """
    if optimization.clip is not None and fields.requires_grad:
        bound = optimization.clip * FIELDS_SHARE_OF_CLIP

        def clip(gradient: Tensor) -> Tensor:
            norm = gradient.norm()
            if not processes.alone:
                # Each process's gradient is to be divided by their number.
                norm = processes.sum(norm.square()).sqrt() / processes.size
            return gradient * (bound / norm.clamp(min=bound))

        fields.register_hook(clip)
    return fields


def average(gradients: Sequence[Tensor], processes: Processes) -> None:
    """Replaces gradients by their means over all processes, in one exchange."""
    if processes.alone:
        return
    flat = processes.sum(torch.cat([gradient.flatten() for gradient in gradients])) / processes.size
    for gradient, mean in zip(gradients, flat.split([item.numel() for item in gradients]), strict=True):
        gradient.copy_(mean.view_as(gradient))


def processes_of(model: CTRModel) -> Processes:
    """The processes that train a model together: those that hold its tables.

    Raises:
        ValueError: Its tables are held whole, for inference.
    """
    if not isinstance(model.embeddings, ShardedEmbeddings):
        raise ValueError("tables held whole have no optimiser; train a model with ShardedEmbeddings")
    return model.embeddings.processes


def _data_parallel(network: nn.Module, processes: Processes) -> nn.Module:
    device = next(network.parameters()).device
    on_cuda = device.type == "cuda"
    return DistributedDataParallel(
        network,
        device_ids=[device] if on_cuda else None,
        process_group=processes.group,
        gradient_as_bucket_view=True,
        # Buffers are the same in all processes, and each step computes the same.
        forward_sync_buffers=False,
        static_graph=True,
        # CPUs have nothing beside them that would exchange a first part while they compute the next.
        bucket_cap_mb=None if on_cuda else ONE_BUCKET,
    )


def set_embedding_learning_rate(model: CTRModel, lr: float) -> None:
    """Hands a learning rate to tables that train inside the backward pass."""
    processes_of(model)
    model.embeddings.set_learning_rate(lr)


def train(
    learner: Learner,
    batches: Iterable[Batch],
    *,
    steps: int,
    first_step: int = 0,
    measured: Sequence[float] = (),
    device: torch.device | str = "cpu",
    report: Callable[[Progress], None] | None = None,
    before_step: Callable[[int], None] | None = None,
    after_step: Callable[[int, Tally], None] | None = None,
    tally: Tally | None = None,
    rate_flag: str = "--learning-rate",
) -> float:
    """One update a batch, from `first_step` of the learner's schedule over `steps`.

    Args:
        learner: The model and how it learns.
        batches: The batches to learn from.
        steps: The length of the whole schedule.
        first_step: Where in the schedule these batches begin.
        measured: Validation log losses of the measurements so far, by which `plateau` cuts the learning rate.
        device: The device that batches are moved to.
        report: Called about twice a second and at the end.
        before_step: Called before each update with its number.
        after_step: Called after each update with the number of the next, and what was done so far.
        tally: What was done before in this pass, if it is resumed in its middle.
        rate_flag: The flag that sets the learning rate, to be named if it is too large.

    Returns:
        The mean training loss over these batches, and over what `tally` holds.

    Raises:
        Diverged: The loss is not a finite number.
    """
    tally, processes = tally or Tally(), processes_of(learner.model)
    window_loss, window_rows, window_start = 0.0, 0, time.perf_counter()
    step, before = first_step, None
    for batch in batches:
        batch = batch.to(device, non_blocking=True)
        if before_step is not None:
            before_step(step)
        lr = learning_rate(learner.optimization, step, steps, measured)
        learner.set_learning_rate(lr)
        loss = learner.loss(batch)
        mean_of_all = processes.start_mean(loss)
        loss.backward()
        value = mean_of_all()
        if not math.isfinite(value):
            # An input far out of scale may ruin the weights first, and the loss at the next step.
            last = [batch] if before is None else [before, batch]
            what = f"the training loss is {value} at step {step + 1}"
            raise shared(explain(what, last, learner.model.schema, processes, rate_flag))
        learner.step()
        before = batch
        step += 1
        rows = len(batch) if processes.alone else batch.rows_of_step
        tally.steps, tally.rows, tally.loss = tally.steps + 1, tally.rows + rows, tally.loss + value
        window_loss, window_rows = window_loss + value * rows, window_rows + rows
        elapsed = time.perf_counter() - window_start
        if report is not None and (elapsed >= REPORT_EVERY or step == steps):
            report(Progress(step, steps, tally.rows, window_loss / window_rows, lr, window_rows / max(elapsed, 1e-9)))
            window_loss, window_rows, window_start = 0.0, 0, time.perf_counter()
        if after_step is not None:
            after_step(step, tally)
    return tally.mean


def evaluate(
    model: nn.Module, dataset: Dataset, split: str, batch_size: int = 4096, device: torch.device | str = "cpu"
) -> Quality:
    """Log loss and AUC of a model over a whole split; see `measure`."""
    return measure(model, dataset, split, batch_size, device).quality


@torch.no_grad()
def measure(
    model: nn.Module, dataset: Dataset, split: str, batch_size: int = 4096, device: torch.device | str = "cpu"
) -> Measured:
    """Log loss, AUC and logits of a model over a whole split, tables capped as its schema says; without dropout.

    Processes that hold its tables together share the rows out; all get the figures, and the first one the logits.
    """
    metrics, training = Metrics(), model.training
    processes = processes_of(model) if isinstance(model.embeddings, ShardedEmbeddings) else None
    rank, size = (processes.rank, processes.size) if processes else (0, 1)
    model.eval()
    for batch in dataset.batches(
        split, batch_size, max_rows_per_table=largest_table(model), rank=rank, world_size=size
    ):
        batch = batch.to(device, non_blocking=True)
        metrics.update(model(batch), batch.label)
    model.train(training)
    return metrics.of_all(processes)


def largest_table(model: CTRModel) -> int:
    """The rows of a model's largest table: the cap that loading needs to fit it."""
    return max(feature.rows for feature in model.schema.sparse)
