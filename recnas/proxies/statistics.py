"""Gradient statistics of a candidate, collected once; every gradient proxy is a few lines on top of them.

Definitions: SiGeo (Zheng et al. 2024, section 3.5). For N batches, gₙ is the loss gradient of batch n, all at the same
weights θ. A module is a leaf layer with its weight and bias together, or an embedding table; only the slices that the
candidate uses count.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from recnas.data import Batch
from recnas.nn.elastic import Slices
from recnas.nn.model import Supernet
from recnas.schema import Schema
from recnas.space import Architecture

CACHED_ELEMENTS = 131_072
"""Elements whose statistics are taken at a time: few enough that their gradients stay in a core's cache."""


@dataclass(frozen=True)
class GradientStatistics:
    """What N batches say about a candidate.

    Attributes:
        module_ratios: For every module the candidate uses, the sum over its elements of μ / σ: the mean of |gₙ| over
            the batches by the standard deviation of gₙ over them (with N - 1). Elements with σ = 0 are left out; a
            module with no element left has 0.
        projections: θᵀgₙ of each batch, embedding tables included.
        losses: The loss of each batch.
    """

    module_ratios: tuple[float, ...]
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
        batches: N batches, N ≥ 2, on the supernet's device.
    """

    def __init__(self, supernet: Supernet, batches: Sequence[Batch]) -> None:
        if len(batches) < 2:
            raise ValueError(f"{len(batches)} batches; a standard deviation over batches needs at least 2")
        ids = [_ids(batch, supernet.schema) for batch in batches]
        stacked = torch.cat([torch.stack((feature, row)) for feature, row, _, _ in ids], dim=1)
        touched, number = stacked.unique(dim=1, return_inverse=True)
        numbers = number.split([len(row) for _, row, _, _ in ids])
        self.num_tables = len(supernet.schema.sparse)
        self.table_of_row = touched[0]
        self.looked_up: list[_LookedUp] = []
        with torch.no_grad():
            for batch, (_, _, lookup, weight), row in zip(batches, ids, numbers, strict=True):
                fields = supernet.embeddings(batch.sparse).detach().clone()
                self.looked_up.append(_LookedUp(batch.dense, fields, batch.label, lookup, weight, row))

    def row_gradients(self, batch: _LookedUp, gradient: Tensor) -> Tensor:
        """The gradient at the fields `[B, n₀, E]` as one at the touched table rows `[rows, E]`."""
        by_id = gradient.flatten(0, 1)[batch.lookup]
        if batch.weight is not None:
            by_id = by_id * batch.weight.unsqueeze(1).to(by_id.dtype)
        rows = by_id.new_zeros(len(self.table_of_row), by_id.shape[1])
        return rows.index_add_(0, batch.row, by_id)


def collect(supernet: Supernet, arch: Architecture, batches: ProxyBatches) -> GradientStatistics:
    """Computes a candidate's statistics with the weights it inherits. Changes no weight.

    Args:
        supernet: Holds the weights.
        arch: The candidate.
        batches: What its gradients are taken on.
    """
    arch = arch.canonical()
    slices = Slices()
    gradients: list[Sequence[Tensor]] = []
    row_gradients: list[Tensor] = []
    losses, projections = [], []
    weights: list[Tensor] = []
    for batch in batches.looked_up:
        fields = batch.fields.detach().requires_grad_()
        logits = supernet.network(batch.dense, fields, arch, slices)
        loss = F.binary_cross_entropy_with_logits(logits, batch.label.to(logits.dtype))
        leaves = [taken.leaf for taken in slices.taken]
        *leaf_gradients, field_gradient = torch.autograd.grad(loss, [*leaves, fields], allow_unused=True)
        if not weights:
            weights = [_as_it_lies(leaf.detach(), like) for leaf, like in zip(leaves, leaf_gradients, strict=True)]
        products = [
            torch.dot(weight, _as_it_lies(gradient, gradient))
            for weight, gradient in zip(weights, leaf_gradients, strict=True)
        ]
        total = torch.stack(products).double().sum()
        gradients.append(leaf_gradients)
        if field_gradient is not None:
            # Pooling is linear, so ⟨rows, their gradients⟩ is ⟨pooled fields, their gradient⟩.
            total = total + torch.sum(fields.detach() * field_gradient).double()
            row_gradients.append(batches.row_gradients(batch, field_gradient))
        losses.append(loss.item())
        projections.append(total.item())
    by_module: dict[int, Tensor] = {}
    for taken, of_batches in zip(slices.taken, zip(*gradients, strict=True), strict=True):
        flat = [_as_it_lies(gradient, gradient).split(CACHED_ELEMENTS) for gradient in of_batches]
        ratio = sum(_ratios(pieces).sum(dtype=torch.float64) for pieces in zip(*flat, strict=True))
        by_module[id(taken.layer)] = by_module.get(id(taken.layer), 0.0) + ratio
    ratios = list(torch.stack(list(by_module.values())).tolist())
    if row_gradients:
        per_row = _ratios(row_gradients).sum(1, dtype=torch.float64)
        per_table = per_row.new_zeros(batches.num_tables).index_add_(0, batches.table_of_row, per_row)
        ratios += per_table.tolist()
    return GradientStatistics(tuple(ratios), tuple(projections), tuple(losses))


def _as_it_lies(tensor: Tensor, like: Tensor) -> Tensor:
    """Flattens in the order in which `like` lies in memory: the gradient of a sliced matrix comes transposed."""
    if like.ndim == 2 and not like.is_contiguous():
        tensor = tensor.t()
    return tensor.reshape(-1)


def _ratios(gradients: Sequence[Tensor]) -> Tensor:
    """μ / σ elementwise over batches, 0 where σ is 0. Overwrites the gradients."""
    # In place and one tensor at a time: torch.std over a stacked axis takes ten times as long.
    count = len(gradients)
    mean = gradients[0] + gradients[1]
    for gradient in gradients[2:]:
        mean.add_(gradient)
    mean.div_(count)
    difference = gradients[0] - mean
    squares = difference.square()
    for gradient in gradients[1:]:
        torch.sub(gradient, mean, out=difference)
        squares.addcmul_(difference, difference)
    deviation = squares.div_(count - 1).sqrt_()
    absolute = gradients[0].abs_()
    for gradient in gradients[1:]:
        absolute.add_(gradient.abs_())
    return absolute.div_(count).div_(deviation.masked_fill_(deviation == 0, torch.inf))


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
    share = torch.where(mean[:, None], 1 / lengths.clamp(min=1), torch.ones_like(lengths, dtype=torch.float64))
    return feature, values, lookup, share.flatten()[bag]
