"""What is minimised, over the rows of all processes that learn from a step together."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from torch import Tensor, nn
from torch.nn import functional as F

from recnas.data import Batch
from recnas.nn.number_fields import inner_network
from recnas.nn.processes import Processes


class Mean(Protocol):
    """Means over the rows of a step."""

    def __call__(self, values: Tensor) -> Tensor:
        """A value for each of this process's rows, `[…, B]` → their means over the rows of all processes, `[…]`."""


@runtime_checkable
class HasTrainingLoss(Protocol):
    """A network that learns by another loss than the log loss of its prediction."""

    def training_loss(self, logits: Tensor, label: Tensor, mean: Mean) -> Tensor:
        """What is minimised.

        Args:
            logits: What the network gives in training, `[…, B]`.
            label: `[B]`.
            mean: Takes means over rows; whatever else it does must be the same in all processes.
        """


def training_loss(network: nn.Module, logits: Tensor, batch: Batch, processes: Processes) -> Tensor:
    """What a network's training minimises: a loss of its own, or the mean log loss of its logits.

    Args:
        network: The network; it may be a `HasTrainingLoss`, which counts while it is in training mode.
        logits: What it gives of the batch.
        batch: B rows; of the last step a process may have fewer than the others, or none.
        processes: The processes that learn from this step together, by the means of their gradients.
    """
    own = inner_network(network)
    if not (network.training and isinstance(own, HasTrainingLoss)):
        return mean_loss(logits, batch, processes)
    return own.training_loss(logits, batch.label, lambda values: mean_of_rows(values, batch, processes))


def mean_of_rows(values: Tensor, batch: Batch, processes: Processes) -> Tensor:
    """The means over all rows of a step, in all processes alike: `[…, B]` → `[…]`.

    Its gradient reaches a process's own rows, such that the mean of all processes' gradients is that of the mean.
    """
    if processes.alone:
        return values.mean(-1)
    own = values.sum(-1) * (processes.size / rows_of_step(batch))
    return own + (processes.sum(own.detach().clone()) / processes.size - own.detach())


def mean_loss(logits: Tensor, batch: Batch, processes: Processes) -> Tensor:
    """The mean log loss of a batch, such that its mean over all processes is that of all their rows.

    Args:
        logits: The outputs of a model, `[B]`, or of several, `[…, B]`.
        batch: B rows; of the last step a process may have fewer than the others, or none.
        processes: The processes that learn from this step together.
    """
    label = batch.label.expand_as(logits)
    if processes.alone:
        return F.binary_cross_entropy_with_logits(logits, label)
    models = logits.numel() // len(batch) if len(batch) else 1
    total = F.binary_cross_entropy_with_logits(logits, label, reduction="sum")
    return total * (processes.size / (rows_of_step(batch) * models))


def rows_of_step(batch: Batch) -> int:
    """Rows of all processes' batches of a step together."""
    assert batch.rows_of_step is not None, "a batch of one process"
    return batch.rows_of_step
