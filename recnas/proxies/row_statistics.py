"""What single rows say about a candidate, for the proxies of `recnas.proxies.rows`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from recnas.nn.model import Supernet
from recnas.proxies.activations import ActivationRecorder
from recnas.proxies.batches import ProxyBatches
from recnas.space import Architecture

ROWS = 128
"""How many rows are compared with one another; the published code takes a minibatch of as many."""


@dataclass(frozen=True)
class RowStatistics:
    """What single rows say about a candidate.

    Attributes:
        jacobian: The gradient of each row's logit at its inputs, dense features and embedded fields, `[rows, inputs]`.
        codes: Which ReLUs each row opens, `[rows, ReLUs]` of 0 and 1.
        label: `[rows]`.
    """

    jacobian: Tensor
    codes: Tensor
    label: Tensor


def look_at_rows(supernet: Supernet, arch: Architecture, batches: ProxyBatches) -> RowStatistics:
    """Measures the first `ROWS` rows of the batches."""
    recorder = ActivationRecorder()
    dense, fields, label = batches.rows(ROWS)
    dense, fields = dense.requires_grad_(), fields.requires_grad_()
    logits = supernet.network(dense, fields, arch, recorder)
    return row_statistics(logits, [dense, fields], recorder.codes, label)


def row_statistics(logits: Tensor, inputs: Sequence[Tensor], codes: Sequence[Tensor], label: Tensor) -> RowStatistics:
    """The statistics of rows that have gone through a network.

    Args:
        logits: What it gave, `[rows]`.
        inputs: What it was given, `[rows, …]` each.
        codes: Where each of its ReLUs let something through, `[rows …, …]`; there may be none.
        label: `[rows]`.
    """
    # No layer mixes rows: the gradient of the sum at a row's inputs is that of its own logit. Where batch norm does,
    # it is taken all the same, as in the published code.
    gradients = torch.autograd.grad(logits.sum(), inputs, materialize_grads=True)
    jacobian = torch.cat([gradient.flatten(1) for gradient in gradients], 1).double()
    of_rows = [code.reshape(len(label), -1).double() for code in codes]
    return RowStatistics(jacobian, torch.cat([label.new_zeros(len(label), 0).double(), *of_rows], 1), label)
