"""Proxies that look at single rows: how the logit depends on each, and which ReLUs each opens."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from recnas.nn.model import Supernet
from recnas.proxies.activations import ActivationRecorder
from recnas.proxies.declaration import proxy
from recnas.proxies.statistics import ProxyBatches
from recnas.space import Architecture

if TYPE_CHECKING:
    from recnas.proxies.inputs import ProxyInputs

ROWS = 128
"""How many rows are compared with one another; the published code takes a minibatch of as many."""
SMALLEST = 1e-5
"""Added to what a logarithm is taken of, as in the published code."""


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
    # No layer mixes rows: the gradient of the sum at a row's inputs is that of its own logit.
    gradients = torch.autograd.grad(logits.sum(), [dense, fields], materialize_grads=True)
    jacobian = torch.cat([gradient.flatten(1) for gradient in gradients], 1).double()
    codes = torch.cat([code.reshape(len(label), -1) for code in recorder.codes], 1).double()
    return RowStatistics(jacobian, codes, label)


@proxy(direction="higher", weights="fresh", reads="rows")
def jacov(inputs: ProxyInputs) -> float:
    """-Σᵢ (log(λᵢ + k) + 1 / (λᵢ + k)), λ the eigenvalues of the correlations between rows' Jacobians (Mellor et al.
    2020, version 1)."""
    eigenvalues = torch.linalg.eigvalsh(_correlations(inputs.rows.jacobian)) + SMALLEST
    return -(eigenvalues.log() + 1 / eigenvalues).sum().item()


@proxy(direction="higher", weights="fresh", reads="rows")
def naswot(inputs: ProxyInputs) -> float:
    """NASWOT (Mellor et al. 2021): log |det K|, Kᵢⱼ the number of ReLUs that rows i and j agree on."""
    codes = inputs.rows.codes
    agreement = codes @ codes.T + (1 - codes) @ (1 - codes).T
    return torch.linalg.slogdet(agreement).logabsdet.item()


@proxy(direction="higher", weights="fresh", reads="rows")
def epe_nas(inputs: ProxyInputs) -> float:
    """EPE-NAS (Lopes et al. 2021): Σ over classes of |Σᵢⱼ log(|ρᵢⱼ| + k)|, ρ the correlations between the Jacobians of
    a class's rows."""
    rows, total = inputs.rows, 0.0
    for label in rows.label.unique():
        correlations = _correlations(rows.jacobian[rows.label == label])
        total += abs((correlations.abs() + SMALLEST).log().sum().item())
    return total


def _correlations(rows: Tensor) -> Tensor:
    """Pearson's correlations between rows `[n, inputs]`: `[n, n]`; 0 with a row that is constant."""
    centred = rows - rows.mean(1, keepdim=True)
    norm = centred.norm(dim=1, keepdim=True)
    scaled = torch.where(norm > 0, centred / norm, 0)
    return scaled @ scaled.T
