"""The rival: a supernet that computes every layer at its largest width and masks what a candidate does not use.

This is how the public code of NASRec computes (facebookresearch/NasRec, `nasrec/supernet/supernet.py`): a block reads
all earlier outputs at their largest width, those that the candidate does not choose as zeros; operators that it does
not choose are left out. The gradient is a dense one of every whole parameter and every whole table.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from recnas.data import Batch
from recnas.features.schema import Schema
from recnas.nn.elastic import Primitives, WeightSlices
from recnas.nn.embeddings import WholeEmbeddings
from recnas.nn.network import EMBEDDING_DIM, ChoiceNetwork
from recnas.space import Architecture, SearchSpace


class _Widths(WeightSlices):
    """Notes how wide every norm is in a candidate."""

    def __init__(self) -> None:
        super().__init__()
        self.widths: dict[nn.Module, int] = {}

    def norm(self, layer: nn.Module, x: Tensor, weight: Tensor, bias: Tensor, relu: bool) -> Tensor:
        self.widths[layer] = x.shape[-1]
        return super().norm(layer, x, weight, bias, relu)


class _Masks(WeightSlices):
    """Computes with whole parameters, and sets to zero what a candidate does not choose or lies beyond its widths."""

    def __init__(self, candidate: _Widths) -> None:
        super().__init__()
        self.widths = candidate.widths
        self.chosen = {item.parameter for item in candidate.taken}

    def take(self, layer: nn.Module, parameter: nn.Parameter, sizes: tuple[int, ...]) -> Tensor:
        whole = parameter if tuple(parameter.shape) == sizes else parameter[tuple(slice(size) for size in sizes)]
        return whole if parameter in self.chosen else whole * 0

    def norm(self, layer: nn.Module, x: Tensor, weight: Tensor, bias: Tensor, relu: bool) -> Tensor:
        result = super().norm(layer, x, weight, bias, relu)
        if (width := self.widths.get(layer, x.shape[-1])) == x.shape[-1]:
            return result
        return result * (torch.arange(x.shape[-1]) < width)

    def attention(self, packed: Tensor, heads: int) -> Tensor:
        return Primitives.attention(self, packed, heads)


class MaskedSupernet(nn.Module):
    """A supernet without slices, with a dense gradient for its tables."""

    def __init__(self, schema: Schema, space: SearchSpace) -> None:
        super().__init__()
        self.embeddings = WholeEmbeddings(schema, EMBEDDING_DIM).train().requires_grad_()
        self.network = ChoiceNetwork(space, schema.num_dense, schema.num_sparse)

    def forward(self, batch: Batch, arch: Architecture) -> Tensor:
        """Logits `[B]`."""
        candidate = _Widths()
        with torch.no_grad():
            one = torch.zeros(1, batch.dense.shape[1]), torch.zeros(1, self.network.num_sparse, EMBEDDING_DIM)
            self.network(*one, arch, candidate)
        widest = Architecture(
            tuple(
                replace(
                    block,
                    dense_width=max(choices.dense_width.values),
                    sparse_width=max(choices.sparse_width.values),
                    dense_inputs=choices.dense_inputs.pool,
                    sparse_inputs=choices.sparse_inputs.pool,
                )
                for block, choices in zip(arch.blocks, self.network.space.blocks, strict=True)
            ),
            # NASRec has no branches: one is computed as deep as the candidate has it.
            arch.branches,
        )
        return self.network(batch.dense, self.embeddings(batch.sparse), widest, _Masks(candidate))


def score(supernet: MaskedSupernet, arch: Architecture, batches: Sequence[Batch]) -> float:
    """ZiCo of a candidate from whole gradients, as running sums over the batches."""
    parameters = list(supernet.parameters())
    sums: list[tuple[Tensor, Tensor, Tensor] | None] = [None] * len(parameters)
    for batch in batches:
        loss = F.binary_cross_entropy_with_logits(supernet(batch, arch), batch.label)
        for index, gradient in enumerate(torch.autograd.grad(loss, parameters, allow_unused=True)):
            if gradient is None:
                continue
            if (known := sums[index]) is None:
                sums[index] = (gradient.clone(), gradient.abs(), gradient.square())
            else:
                known[0].add_(gradient)
                known[1].add_(gradient.abs())
                known[2].add_(gradient.square())
    result, count = 0.0, len(batches)
    for known in sums:
        if known is not None:
            total, magnitude, squares = known
            deviation = (squares - total.square() / count).clamp(min=0).sqrt()
            result += torch.log(torch.where(deviation > 0, magnitude / deviation, 0).sum() + 1e-12).item()
    return result
