"""Gradient statistics of a candidate, collected once; every gradient proxy is a few lines on top of them.

Definitions: SiGeo (Zheng et al. 2024, section 3.5). For N batches, gₙ is the loss gradient of batch n, all at the same
weights θ. A module is a leaf layer with its weight and bias together, or an embedding table; only the slices that the
candidate uses count.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from recnas.nn import kernels
from recnas.nn.model import Supernet
from recnas.proxies.batches import FieldBatches, LookedUp, ProxyBatches
from recnas.proxies.bfloat16 import Bfloat16Recorder
from recnas.proxies.recorder import Recorder, whole_rows
from recnas.space import Architecture

Tile = tuple[Tensor, Tensor]
"""Gradients of some rows of a weight, `[batches, rows, n]`, and these rows `[rows, n]`."""

RECORDERS: Mapping[str, Callable[[], Recorder]] = {"fp32": Recorder, "bf16": Bfloat16Recorder}
"""What takes notes of a candidate's passes in each precision."""


@dataclass(frozen=True)
class ModuleStatistics:
    """What N batches say about one module: sums over its elements.

    μ is the mean of |gₙ| over the batches, σ the standard deviation of gₙ over them (with N - 1), ḡ the mean of gₙ.
    Of an embedding table, the elements are those of the rows that a batch has looked up.

    Attributes:
        ratio: Σ μ / σ; elements with σ = 0 are left out, and 0 when none is left.
        magnitude: Σ μ.
        deviation: Σ σ.
        gradient_square: Σ ḡ².
        saliency: Σ |θ ḡ|.
        weight_square: Σ θ².
    """

    ratio: float
    magnitude: float
    deviation: float
    gradient_square: float
    saliency: float
    weight_square: float


@dataclass(frozen=True)
class GradientStatistics:
    """What N batches say about a candidate.

    Attributes:
        modules: Of every module the candidate uses.
        projections: θᵀgₙ of each batch, embedding tables included.
        losses: The loss of each batch.
    """

    modules: tuple[ModuleStatistics, ...]
    projections: tuple[float, ...]
    losses: tuple[float, ...]


def collect(
    supernet: Supernet, arch: Architecture, batches: ProxyBatches, precision: str = "fp32"
) -> GradientStatistics:
    """Computes a candidate's statistics with the weights it inherits. Changes no weight.

    Args:
        supernet: Holds the weights.
        arch: The candidate.
        batches: What its gradients are taken on.
        precision: What its passes compute in.
    """
    recorder, row_gradients, losses = RECORDERS[precision](), [], []
    for together in batches.passes():
        recorder.begin(len(together))
        dense = torch.cat([batch.dense for batch in together]).to(recorder.dtype).requires_grad_()
        fields = torch.cat([batch.fields for batch in together]).to(recorder.dtype).requires_grad_()
        loss = _losses(supernet.network(dense, fields, arch, recorder), together)
        _, field_gradient = torch.autograd.grad(loss.sum(), [dense, fields], allow_unused=True)
        if field_gradient is not None:
            row_gradients += [
                batches.row_gradients(batch, gradient.to(batch.fields.dtype))
                for batch, gradient in zip(together, field_gradient.chunk(len(together)), strict=True)
            ]
        losses += loss.tolist()
    layers = ((tile for weight in weights for tile in weight.tiles()) for weights in recorder.layers.values())
    return summed_up(chain(layers, table_gradients(batches, row_gradients)), losses)


def table_gradients(batches: FieldBatches, row_gradients: Sequence[Tensor]) -> Iterator[list[Tile]]:
    """Every table as a module: its touched rows, and their gradients.

    Args:
        batches: Whose tables they are.
        row_gradients: Of every batch at all touched rows `[rows, E]`; none where a candidate reads no field.
    """
    for rows, weights in batches.tables if row_gradients else ():
        yield [(torch.stack([gradient[rows] for gradient in row_gradients]), weights)]


def summed_up(modules: Iterable[Iterable[Tile]], losses: Sequence[float]) -> GradientStatistics:
    """The statistics of N batches.

    Args:
        modules: Of every module its weights in parts, each used before the next is drawn.
        losses: Of every batch.
    """
    count, projections, found = len(losses), np.zeros(len(losses)), []
    # μ = Σ|g| / N and σ² = Σ(g - ḡ)² / (N - 1)
    scale = np.array([math.sqrt(count - 1) / count, 1 / count, 1 / math.sqrt(count - 1), 1, 1, 1])
    for tiles in modules:
        sums = np.zeros(6)
        for gradients, weights in tiles:
            _measure(gradients, weights, projections, sums)
        found.append(ModuleStatistics(*(sums * scale).tolist()))
    return GradientStatistics(tuple(found), tuple(projections.tolist()), tuple(losses))


@torch.no_grad()
def look_at_losses(
    supernet: Supernet, arch: Architecture, batches: ProxyBatches, precision: str = "fp32"
) -> tuple[float, ...]:
    """The loss of each batch with the weights that a candidate inherits, without gradients: a forward pass alone.

    Args:
        supernet: Holds the weights.
        arch: The candidate.
        batches: What it is measured on.
        precision: What its passes compute in.
    """
    recorder, losses = RECORDERS[precision](), []
    for together in batches.passes():
        recorder.begin(len(together))
        dense, fields = (
            torch.cat([getattr(batch, name) for batch in together]).to(recorder.dtype) for name in ("dense", "fields")
        )
        losses += _losses(supernet.network(dense, fields, arch, recorder), together).tolist()
    return tuple(losses)


def _losses(logits: Tensor, together: Sequence[LookedUp]) -> Tensor:
    """The mean loss of each of the batches that went through the network together."""
    label = torch.cat([batch.label for batch in together]).to(logits.dtype)
    losses = F.binary_cross_entropy_with_logits(logits, label, reduction="none")
    return losses.unflatten(0, (len(together), -1)).mean(1)


def _measure(gradients: Tensor, weights: Tensor, projections: np.ndarray, sums: np.ndarray) -> None:
    """Adds what some rows of a weight say: see `kernels.statistics`.

    Args:
        gradients: `[batches, rows, n]`, and
        weights: `[rows, n]`: contiguous, or the leading columns of what is.
        projections: `[batches]`.
        sums: `[6]`.
    """
    if kernels.take(gradients):
        weights = weights.to(kernels.computed_in(gradients))
        arrays = (kernels.array(whole_rows(gradients)), whole_rows(weights).numpy())
        kernels.statistics(len(gradients))(*arrays, gradients.shape[2], projections, sums)
        return
    mean, magnitude = gradients.mean(0), gradients.abs().sum(0)
    deviation = (gradients - mean).square_().sum(0).sqrt_()
    ratio = torch.where(deviation == 0, 0, magnitude / deviation)
    elementwise = (ratio, magnitude, deviation, mean.square(), (weights * mean).abs_(), weights.square())
    sums += [item.sum(dtype=torch.float64).item() for item in elementwise]
    projections += (gradients * weights).sum((1, 2), dtype=torch.float64).cpu().numpy()
