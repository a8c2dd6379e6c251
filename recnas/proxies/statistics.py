"""Gradient statistics of a candidate, collected once; every gradient proxy is a few lines on top of them.

Definitions: SiGeo (Zheng et al. 2024, section 3.5). For N batches, gₙ is the loss gradient of batch n, all at the same
weights θ. A module is a leaf layer with its weight and bias together, or an embedding table; only the slices that the
candidate uses count.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from recnas.data import Batch
from recnas.features.schema import Schema
from recnas.nn import kernels
from recnas.nn.model import Supernet
from recnas.proxies.recorder import Recorder, whole_rows
from recnas.space import Architecture

ROWS_OF_A_PASS = 1024
"""Batches go through the network together up to so many rows; more would only leave the cache."""


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


@dataclass(frozen=True)
class _LookedUp:
    """One batch with its fields, and which table row every lookup of it read."""

    dense: Tensor
    fields: Tensor
    label: Tensor
    lookup: Tensor
    """For each id of the batch: its position (row · n₀ + feature) in the flattened fields."""
    weight: Tensor | None
    """For each id: its share of the pooled field; None when every share is 1."""
    row: Tensor
    """For each id: the number of its table row among all rows that any of the batches touched."""


class ProxyBatches:
    """The batches that candidates are scored on, with their embeddings looked up once.

    A copy of the looked-up fields is kept, cut from the graph: a fused optimiser would train the tables in a backward.

    Args:
        supernet: Whose tables are looked up.
        batches: N batches of one size, N ≥ 2, on the supernet's device.

    Attributes:
        tables: For every table, which of the touched rows are its own, and these rows `[rows, E]`.

    Raises:
        ValueError: Fewer than two batches, or of different sizes.
    """

    def __init__(self, supernet: Supernet, batches: Sequence[Batch]) -> None:
        if len(batches) < 2:
            raise ValueError(f"{len(batches)} batches; a standard deviation over batches needs at least 2")
        if len({len(batch) for batch in batches}) > 1:
            raise ValueError("proxy batches differ in size")
        ids = [_ids(batch, supernet.schema) for batch in batches]
        stacked = torch.cat([torch.stack((feature, row)) for feature, row, _, _ in ids], dim=1)
        touched, number = stacked.unique(dim=1, return_inverse=True)
        numbers = number.split([len(row) for _, row, _, _ in ids])
        self.num_rows = touched.shape[1]
        counts = touched[0].bincount(minlength=len(supernet.schema.sparse)).tolist()
        # Rows are numbered table by table.
        self.tables: list[tuple[slice, Tensor]] = []
        start = 0
        for table, count in zip(supernet.embeddings.tables().values(), counts, strict=True):
            end = start + count
            self.tables.append((slice(start, end), table[touched[1, start:end]].detach().clone()))
            start = end
        self.looked_up: list[_LookedUp] = []
        with torch.no_grad():
            for batch, (_, _, lookup, weight), row in zip(batches, ids, numbers, strict=True):
                fields = supernet.embeddings(batch.sparse).detach().clone()
                self.looked_up.append(_LookedUp(batch.dense, fields, batch.label, lookup, weight, row))

    def passes(self) -> list[list[_LookedUp]]:
        """The batches, grouped by the pass in which they go through the network."""
        together = max(1, ROWS_OF_A_PASS // len(self.looked_up[0].label))
        return [self.looked_up[start : start + together] for start in range(0, len(self.looked_up), together)]

    @property
    def num_batch_rows(self) -> int:
        """Rows of all batches together."""
        return sum(len(batch.label) for batch in self.looked_up)

    def rows(self, most: int | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """Dense features `[rows, d₀]`, fields `[rows, n₀, E]` and labels of all batches' rows, or of the first ones."""
        dense, fields, label = (
            torch.cat([getattr(batch, name) for batch in self.looked_up])[:most]
            for name in ("dense", "fields", "label")
        )
        return dense, fields, label.to(dense.dtype)

    def row_gradients(self, batch: _LookedUp, gradient: Tensor) -> Tensor:
        """The gradient at the fields `[B, n₀, E]` as one at the touched table rows `[rows, E]`."""
        by_id = gradient.flatten(0, 1)[batch.lookup]
        if batch.weight is not None:
            by_id = by_id * batch.weight.unsqueeze(1).to(by_id.dtype)
        rows = by_id.new_zeros(self.num_rows, by_id.shape[1])
        return rows.index_add_(0, batch.row, by_id)


def collect(supernet: Supernet, arch: Architecture, batches: ProxyBatches) -> GradientStatistics:
    """Computes a candidate's statistics with the weights it inherits. Changes no weight.

    Args:
        supernet: Holds the weights.
        arch: The candidate.
        batches: What its gradients are taken on.
    """
    recorder, row_gradients, losses = Recorder(), [], []
    for together in batches.passes():
        recorder.begin(len(together))
        dense = torch.cat([batch.dense for batch in together]).requires_grad_()
        fields = torch.cat([batch.fields for batch in together]).requires_grad_()
        loss = _losses(supernet.network(dense, fields, arch, recorder), together)
        _, field_gradient = torch.autograd.grad(loss.sum(), [dense, fields], allow_unused=True)
        if field_gradient is not None:
            row_gradients += [
                batches.row_gradients(batch, gradient)
                for batch, gradient in zip(together, field_gradient.chunk(len(together)), strict=True)
            ]
        losses += loss.tolist()
    projections, modules = np.zeros(len(losses)), []

    def module(tiles: Iterable[tuple[Tensor, Tensor]]) -> None:
        sums = np.zeros(6)
        for gradients, weights in tiles:
            _measure(gradients, weights, projections, sums)
        # μ = Σ|g| / N and σ² = Σ(g - ḡ)² / (N - 1)
        count = len(losses)
        scale = np.array([math.sqrt(count - 1) / count, 1 / count, 1 / math.sqrt(count - 1), 1, 1, 1])
        modules.append(ModuleStatistics(*(sums * scale).tolist()))

    for weights in recorder.layers.values():
        module(tile for weight in weights for tile in weight.tiles())
    if row_gradients:
        for rows, weights in batches.tables:
            module([(torch.stack([gradient[rows] for gradient in row_gradients]), weights)])
    return GradientStatistics(tuple(modules), tuple(projections.tolist()), tuple(losses))


@torch.no_grad()
def look_at_losses(supernet: Supernet, arch: Architecture, batches: ProxyBatches) -> tuple[float, ...]:
    """The loss of each batch with the weights that a candidate inherits, without gradients: a forward pass alone.

    Args:
        supernet: Holds the weights.
        arch: The candidate.
        batches: What it is measured on.
    """
    recorder, losses = Recorder(), []
    for together in batches.passes():
        recorder.begin(len(together))
        dense, fields = (torch.cat([getattr(batch, name) for batch in together]) for name in ("dense", "fields"))
        losses += _losses(supernet.network(dense, fields, arch, recorder), together).tolist()
    return tuple(losses)


def _losses(logits: Tensor, together: Sequence[_LookedUp]) -> Tensor:
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
        arrays = (whole_rows(gradients).numpy(), whole_rows(weights).numpy())
        kernels.statistics(len(gradients))(*arrays, gradients.shape[2], projections, sums)
        return
    mean, magnitude = gradients.mean(0), gradients.abs().sum(0)
    deviation = (gradients - mean).square_().sum(0).sqrt_()
    ratio = torch.where(deviation == 0, 0, magnitude / deviation)
    elementwise = (ratio, magnitude, deviation, mean.square(), (weights * mean).abs_(), weights.square())
    sums += [item.sum(dtype=torch.float64).item() for item in elementwise]
    projections += (gradients * weights).sum((1, 2), dtype=torch.float64).cpu().numpy()


def _ids(batch: Batch, schema: Schema) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
    """Each id's feature number, table row, position in the flattened fields, and share of its pooled field."""
    size, count = len(batch), len(schema.sparse)
    lengths = batch.sparse.lengths().view(count, size)
    values = batch.sparse.values()
    bag = torch.repeat_interleave(torch.arange(count * size, device=values.device), lengths.flatten())
    feature = torch.div(bag, size, rounding_mode="floor")
    lookup = (bag % size) * count + feature
    mean = torch.tensor([item.pooling == "mean" for item in schema.sparse], device=values.device)
    if not bool(mean.any()):
        return feature, values, lookup, None
    share = torch.where(mean[:, None], 1 / lengths.clamp(min=1).double(), 1.0)
    return feature, values, lookup, share.flatten()[bag]
