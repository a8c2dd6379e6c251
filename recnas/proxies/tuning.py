"""One-shot search's judgement: a candidate's last layer is fine-tuned, then it is measured on validation rows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from recnas.candidates.recipe import Optimization
from recnas.data import Batch, Dataset
from recnas.nn.model import Supernet
from recnas.proxies.activations import LastInputs
from recnas.space import Architecture
from recnas.train.loop import largest_table
from recnas.train.schedule import learning_rate
from recnas.train.warmup import VALIDATION_BATCH


@dataclass(frozen=True)
class LastLayerTuning:
    """What candidates are fine-tuned and measured on, and how.

    Attributes:
        dataset: Training and validation rows.
        steps: Of fine-tuning.
        batch_size: Rows of a step.
        validation_rows: Rows they are measured on.
        optimization: The warm-up's: Adagrad's eps, the peak learning rate and what scales it; one layer's gradient is
            not clipped, its weights do not decay.
        seed: Chooses the rows.
        device: Where to compute.
    """

    dataset: Dataset
    steps: int
    batch_size: int
    validation_rows: int
    optimization: Optimization
    seed: int
    device: torch.device | str = "cpu"

    def training_batches(self, supernet: Supernet) -> Iterator[Batch]:
        """A batch for each step; passes follow one another where the training rows are few."""
        step, epoch = 0, 0
        while step < self.steps:
            for batch in self.dataset.batches(
                "train",
                self.batch_size,
                seed=self.seed,
                epoch=epoch,
                rows=min(self.dataset.rows("train"), self.steps * self.batch_size),
                max_rows_per_table=largest_table(supernet),
            ):
                if step == self.steps:
                    return
                yield batch.to(self.device)
                step += 1
            epoch += 1

    def validation_batches(self, supernet: Supernet) -> Iterator[Batch]:
        """Rows to measure on."""
        for batch in self.dataset.batches(
            "validation",
            VALIDATION_BATCH,
            seed=self.seed,
            rows=min(self.validation_rows, self.dataset.rows("validation")),
            max_rows_per_table=largest_table(supernet),
        ):
            yield batch.to(self.device)


@torch.no_grad()
def tune_last_layer(supernet: Supernet, arch: Architecture, tuning: LastLayerTuning) -> float:
    """Fine-tunes a copy of a candidate's last layer; gives the validation log loss. Changes no weight."""
    slices = LastInputs(supernet.network.last)

    def read(batch: Batch) -> Tensor:
        """What the last layer reads, and a column of ones for its bias."""
        supernet.network(batch.dense, supernet.embeddings(batch.sparse).detach(), arch, slices)
        return F.pad(slices.inputs, (0, 1), value=1.0)

    weights: Tensor | None = None
    loss, rows = 0.0, 0
    for step, batch in enumerate(tuning.training_batches(supernet)):
        inputs = read(batch)
        if weights is None:
            weights = torch.cat([slices.weights, slices.bias])
            sums = torch.zeros_like(weights)
            # Every source's weights, and the bias, have a rate of their own.
            rates = torch.cat([weights.new_full((n,), tuning.optimization.width_factor(n)) for n in slices.widths])
            rates = F.pad(rates, (0, 1), value=1.0)
        delta = torch.sigmoid(inputs @ weights) - batch.label
        gradient = delta @ inputs / len(delta)
        sums += gradient.square()
        lr = learning_rate(tuning.optimization, step, tuning.steps)
        weights -= lr * rates * gradient / (sums.sqrt() + tuning.optimization.dense_eps)
    for batch in tuning.validation_batches(supernet):
        inputs = read(batch)
        if weights is None:
            weights = torch.cat([slices.weights, slices.bias])
        logits = inputs @ weights
        loss += F.binary_cross_entropy_with_logits(logits.double(), batch.label.double(), reduction="sum").item()
        rows += len(batch)
    return loss / rows
